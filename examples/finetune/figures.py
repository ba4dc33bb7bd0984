"""Draws the figures of the tutorial: `python -m examples.finetune.figures --out docs/assets/finetune`.

`curves.svg` shows the gains on validation clips over the steps, from the logs of the runs below `--runs`.
`NAME.png` shows, for each competition, spectrograms of one held-out clip: clean, degraded, and enhanced by the
baseline.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import enhancers
from examples.finetune import evaluate
from soundsright.cli.main import run
from soundsright.core.audio import Samples
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import UsageError

MODELS = Path(__file__).resolve().parents[2] / "models"
FLOOR_DB = -80.0
METRICS = {"PESQ_WB": "PESQ-WB", "ESTOI": "ESTOI", "SI_SDR": "SI-SDR, dB"}


def levels_db(samples: Samples, sample_rate_hz: int) -> np.ndarray:
    """Levels in dB relative to a full-scale tone, shape `(bins, frames)`, of 32 ms Hann frames every 16 ms."""
    frame = round(0.032 * sample_rate_hz)
    framed = np.lib.stride_tricks.sliding_window_view(samples, frame)[:: frame // 2]
    window = np.hanning(frame)
    power = np.abs(np.fft.rfft(framed * window) / (window.sum() / 2)) ** 2
    return np.asarray(10 * np.log10(power + 1e-12).T)


def draw_spectrograms(path: Path, signals: dict[str, Samples], sample_rate_hz: int, title: str) -> None:
    """Draw one panel for each signal, all on one scale."""
    plt = _pyplot()
    figure, axes = plt.subplots(len(signals), 1, figsize=(8, 1.9 * len(signals)), sharex=True, layout="constrained")
    for axis, (name, samples) in zip(axes, signals.items(), strict=True):
        extent = (0, len(samples) / sample_rate_hz, 0, sample_rate_hz / 2000)
        image = axis.imshow(
            levels_db(samples, sample_rate_hz), origin="lower", aspect="auto", extent=extent, vmin=FLOOR_DB - 20,
            vmax=-20, cmap="magma",
        )  # fmt: skip
        axis.set_ylabel("kHz")
        axis.set_title(name, loc="left", fontsize=10)
    axes[-1].set_xlabel("seconds")
    figure.colorbar(image, ax=axes, label="dB re full scale", pad=0.01)
    figure.suptitle(title)
    figure.savefig(path, dpi=70)
    plt.close(figure)


def draw_curves(path: Path, runs: Path) -> None:
    """Draw the gains on the validation clips of each run, one panel for each metric.

    Raises:
        UsageError: there are no logs.
    """
    plt = _pyplot()
    logs = {
        p.parent.name: [json.loads(x) for x in p.read_text().splitlines()] for p in sorted(runs.glob("*/log.jsonl"))
    }
    if not logs:
        raise UsageError(f"There are no runs in {runs}", "Train first, or give another --runs.")
    figure, axes = plt.subplots(1, len(METRICS), figsize=(11, 3.2), layout="constrained")
    for axis, (metric, title) in zip(axes, METRICS.items(), strict=True):
        for name, lines in logs.items():
            points = [(line["step"], line[f"gain_{metric}"]) for line in lines if f"gain_{metric}" in line]
            axis.plot(*zip(*points, strict=True), marker=".", label=name)
        axis.axhline(0, color="0.7", linewidth=0.8)
        axis.set_title(f"gain in {title}", fontsize=10)
        axis.set_xlabel("step")
    axes[0].legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


@click.command(context_settings={"show_default": True})
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs/assets/finetune"))
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs/baseline"))
@click.option("--clip", default=1, help="Number of the held-out clip.")
def main(out: Path, runs: Path, clip: int) -> None:
    """Draw curves and spectrograms."""
    out.mkdir(parents=True, exist_ok=True)
    draw_curves(out / "curves.svg", runs)
    for competition in PUBLISHED:
        folder = MODELS / evaluate.baseline_of(competition)
        if not (folder / "network.onnx").is_file():
            click.echo(f"{folder.name} does not exist yet")
            continue
        drawn = evaluate.held_out_clips(competition, clip + 1, evaluate.SEED)[clip]
        rate = competition.sample_rate_hz
        enhanced = enhancers.enhancer_in(folder).enhance(drawn.degraded.samples, rate)
        signals = {"clean": drawn.clean.samples, "degraded": drawn.degraded.samples, "enhanced": enhanced}
        draw_spectrograms(out / f"{folder.name}.png", signals, rate, f"{competition.title}: a held-out clip")
        click.echo(out / f"{folder.name}.png")


if __name__ == "__main__":
    sys.exit(run(main))
