"""`soundsright init-competition`: write the files of a competition of one's own, ready to run."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.core.errors import UsageError


@click.command("init-competition")
@click.argument("folder", type=click.Path(path_type=Path))
def command(folder: Path) -> None:
    """Write into FOLDER what an organiser decides (competition.toml), who enters (entries.toml), and a first model.

    Both files say in comments what each line means; the competition runs as it is.
    """
    from importlib.resources import files
    from shlex import quote

    from soundsright.cli.commands.init_model import write_template

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder", "Name another.")
    samples = files("soundsright").joinpath("rulesets")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, sample in (("competition.toml", "published.toml"), ("entries.toml", "entries.toml")):
            (folder / name).write_text(samples.joinpath(sample).read_text(encoding="utf-8"), encoding="utf-8")
        write_template(folder / "models" / "baseline")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror})", "Name another.") from error
    rules, entries, out = (quote(str(folder / name)) for name in ("competition.toml", "entries.toml", "run"))
    click.echo(f"Wrote {folder}. Change competition.toml and entries.toml, then:")
    click.echo(f"  soundsright rules show {rules}")
    click.echo(f"  soundsright compete --ruleset {rules} --entries {entries} --out {out}")
