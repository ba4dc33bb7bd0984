"""Real packages on the import path, written by a test: each has one module and entry points of one group."""

from __future__ import annotations

from pathlib import Path

import pytest


def install_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, group: str, code: str, **entry_points: str
) -> None:
    """Write a package and its metadata to `folder`, and put that on the import path for the length of a test."""
    (folder / f"{name}.py").write_text(code)
    metadata = folder / f"{name}-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = [f"{point} = {value}\n" for point, value in entry_points.items()]
    (metadata / "entry_points.txt").write_text(f"[{group}]\n" + "".join(lines))
    monkeypatch.syspath_prepend(str(folder))
