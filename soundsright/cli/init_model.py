"""`soundsright init-model`: write a model template that passes `verify` at once."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.core.errors import UsageError

TEMPLATE = Path(__file__).resolve().parents[2] / "models" / "template"


@click.command("init-model")
@click.argument("folder", type=click.Path(path_type=Path))
def command(folder: Path) -> None:
    """Write a model into FOLDER: Dockerfile, app, README, tests. It returns what it gets; make it better."""
    import shutil

    if not TEMPLATE.is_dir():
        raise UsageError(f"The template is not at {TEMPLATE}", "Run this from a checkout of the project.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder", "Name another.")
    try:
        shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"), dirs_exist_ok=True)
    except OSError as e:
        raise UsageError(f"{folder} cannot be written: {e}", "Name another.") from e
    click.echo(
        f"Wrote {folder}. Put your model into {folder / 'app' / 'enhance.py'}, then: soundsright verify {folder}"
    )
