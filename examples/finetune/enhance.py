"""Enhances the degraded files of a set: `python -m examples.finetune.enhance MODEL SET --out ENHANCED`.

MODEL is a folder of your own, because its code runs in this process without a sandbox. Score the enhanced files
with `soundsright score`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmarks import enhancers
from soundsright.cli.main import run
from soundsright.core.audio import pcm16
from soundsright.core.errors import UsageError
from soundsright.data.audio_files import read_file


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("set_folder", metavar="SET", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the enhanced files go.")
def main(model: Path, set_folder: Path, out: Path) -> None:
    """Run MODEL on SET."""
    import soundfile

    if not (model / "app" / "enhance.py").is_file():
        raise UsageError(
            f"{model} is not a model's folder", "Give one with app/enhance.py, such as models/template."
        )
    folders = [set_folder / role for role in ("noisy", "reverberant") if (set_folder / role).is_dir()]
    files = sorted(folders[0].rglob("*.wav")) if folders else []
    if not files:
        raise UsageError(f"{set_folder} has no degraded WAV files", "Generate it with --format wav.")
    enhance = enhancers.enhancer_in(model).enhance
    for file in files:
        audio = read_file(file)
        target = out / file.relative_to(folders[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        samples = enhance(audio.samples, audio.sample_rate_hz)
        soundfile.write(target, pcm16(samples.clip(-1.0, 1.0)), audio.sample_rate_hz, subtype="PCM_16")
    click.echo(f"{len(files)} files in {out}")


if __name__ == "__main__":
    sys.exit(run(main))
