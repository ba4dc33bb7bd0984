"""`soundsright init-competition`: write the files of a competition of your own."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.cli.shared.options import ANY_PATH
from soundsright.core.errors import UsageError


@click.command("init-competition")
@click.argument("folder", type=ANY_PATH)
def command(folder: Path) -> None:
    """Write the files of a competition of your own.

    \b
    soundsright init-competition mine

    FOLDER gets competition.toml (prizes, metrics, dates), entries.toml (who enters what) and a first model.
    Comments explain each line. The competition runs without any change.
    """
    from importlib.resources import files
    from shlex import quote

    from soundsright.cli.commands.init_model import check_is_new, write_template

    check_is_new(folder)
    samples = files("soundsright").joinpath("rulesets")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, sample in (("competition.toml", "published.toml"), ("entries.toml", "entries.toml")):
            (folder / name).write_text(samples.joinpath(sample).read_text(encoding="utf-8"), encoding="utf-8")
        write_template(folder / "models" / "baseline")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror})", "Give another folder.") from error
    rules, entries, out = (quote(str(folder / name)) for name in ("competition.toml", "entries.toml", "run"))
    click.echo(f"Wrote {folder}. Change competition.toml and entries.toml, then run:")
    click.echo(f"  soundsright rules show {rules}")
    click.echo(f"  soundsright compete --ruleset {rules} --entries {entries} --out {out}")
