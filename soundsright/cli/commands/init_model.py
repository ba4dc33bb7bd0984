"""`soundsright init-model`: write a model template that passes `verify` at once."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.core.errors import UsageError
from soundsright.core.shipped import template_folder


@click.command("init-model")
@click.argument("folder", type=click.Path(path_type=Path))
def command(folder: Path) -> None:
    """Write a model into FOLDER: Dockerfile, app, README, tests. It returns what it gets; make it better."""
    from shlex import quote

    write_template(folder)
    model, named = folder / "app" / "enhance.py", quote(str(folder))
    click.echo(f"Wrote {folder}. Put your model into {model}, then: soundsright verify {named}")


def write_template(folder: Path) -> None:
    """The template's files in a new or empty folder.

    Raises:
        UsageError: the folder holds something or cannot be written, or there is no template.
    """
    import shutil

    template = template_folder()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder", "Name another.")
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".pytest_cache")
    try:
        shutil.copytree(template, folder, ignore=ignored, dirs_exist_ok=True)
    except OSError as e:
        raise UsageError(f"{folder} cannot be written: {e}", "Name another.") from e
