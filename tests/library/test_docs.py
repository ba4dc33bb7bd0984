"""The examples of docs/how-to/python.md run in order, in a folder with the template and a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import soundsright
from tests.services.records.runs import write_run

CHECKOUT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs" / "how-to" / "python.md").read_text(), re.DOTALL)


@pytest.mark.slow
def test_every_example_of_the_guide_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "runs" / "demo")
    (tmp_path / "models").symlink_to(CHECKOUT / "models")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, names)  # the guide's own text
    printed = capsys.readouterr().out
    assert len(BLOCKS) == 8
    assert "000003 (" in printed
    assert "SI_SDR" in printed
    assert "PASS" in printed
    assert names["report"].items == 4
    assert names["change"].difference.n == 4
    assert names["noisy"].summaries["SI_SDR"].n == 4


def test_the_guide_names_every_function() -> None:
    functions = {name for name in soundsright.__all__ if name.islower()}
    assert functions == {name for name in functions if any(f"soundsright.{name}(" in block for block in BLOCKS)}
