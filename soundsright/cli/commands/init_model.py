"""`soundsright init-model`: write a model template that passes `verify`."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.cli.shared.options import ANY_PATH
from soundsright.core.errors import UsageError


@click.command("init-model")
@click.argument("folder", type=ANY_PATH)
def command(folder: Path) -> None:
    """Write a model template that passes `verify`.

    \b
    soundsright init-model my-model
    soundsright verify my-model

    FOLDER gets a Dockerfile, the app, a README and tests. The template returns its input unchanged: replace that by
    your model.
    """
    from shlex import quote

    write_template(folder)
    model, quoted = folder / "app" / "enhance.py", quote(str(folder))
    click.echo(f"Wrote {folder}. Put your model into {model}, then run: soundsright verify {quoted}")


def write_template(folder: Path) -> None:
    """Copy the template into a new or empty folder.

    Raises:
        UsageError: the folder is not empty or cannot be written, or the template is not installed.
    """
    import shutil

    from soundsright.core.shipped import template_folder

    template = template_folder()
    check_is_new(folder)
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".pytest_cache")
    try:
        shutil.copytree(template, folder, ignore=ignored, dirs_exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error})", "Give another folder.") from error


def check_is_new(folder: Path) -> None:
    """Check that the folder does not exist, or is empty.

    Raises:
        UsageError: it is a file, or is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder", "Give another folder.")
