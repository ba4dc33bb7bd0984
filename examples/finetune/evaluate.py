"""Scores models on held-out clips: `python -m examples.finetune.evaluate --competition DENOISING_16000HZ`.

The clips come from the test split of the shipped corpus: no baseline was trained on their speakers, language,
noises and rooms. Each cell is a mean with the half width of its 95 % interval over the clips. The real-time factor
is processor time on one thread over the duration of the audio. Models whose package is missing are left out. A
second table has the paired differences of the baseline to each other model.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from benchmarks import enhancers  # Limits NumPy to one thread, so it comes before what imports NumPy.
from examples.finetune.material import sources_of
from soundsright.cli.main import run
from soundsright.core.audio import Audio, Clip, digest_of_digests, on_pcm16_grid
from soundsright.core.competition import PUBLISHED, Competition, Task, competition_by_id
from soundsright.core.content import content_hash, files_below, sha256_of_file
from soundsright.core.errors import UsageError
from soundsright.core.results import Estimate
from soundsright.core.tasks import AnyTask
from soundsright.data.clips import checked_clip_count
from soundsright.data.journal import written_atomically
from soundsright.data.recipe import SetRecipe, SetTask
from soundsright.data.render import render
from soundsright.data.splits import Split
from soundsright.metrics.suite import score_clip, warm_up
from soundsright.ranking.statistics import mean_estimate

UNPROCESSED = "unprocessed"
SEED = 9
HELD_OUT = SetRecipe(snr_db=(-2.5, 7.5), rt60_s=(0.2, 1.2))
"""A mean SNR of 2.5 dB, and rooms like homes, offices and halls."""

BESIDE: dict[AnyTask, tuple[str, ...]] = {
    Task.DENOISING: tuple(name for name in enhancers.ENTRIES if name != "wpe"),
    Task.DEREVERBERATION: ("wpe", "deepfilternet3", "nsnet2", "dtln", "gtcrn"),
}
"""The models that a baseline is compared with. Noise suppressors remove some reverberation; WPE removes no noise.
"""

Scores = Mapping[str, Mapping[str, list[float]]]


def baseline_of(competition: Competition) -> str:
    """The folder of the competition's baseline."""
    return f"baseline-{competition.task.value.lower()}-{competition.sample_rate_hz // 1000}k"


def held_out_clips(competition: Competition, count: int, seed: int, recipe: SetRecipe = HELD_OUT) -> list[Clip]:
    """The first `count` clips of the test split."""
    task, rate = SetTask.of(competition.task), competition.sample_rate_hz
    sources = sources_of(task, rate, recipe, split=Split.TEST)
    return [render(task, rate, seed, i, sources=sources, recipe=recipe, skipped={}).as_clip() for i in range(count)]


def measured(clips: list[Clip], models: Mapping[str, ModuleType]) -> tuple[Scores, dict[str, float]]:
    """One score per clip by model and metric, and the real-time factor of each model."""
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    seconds: dict[str, float] = defaultdict(float)
    for clip in clips:
        rate = clip.clean.sample_rate_hz
        # All models run on a clip before the next clip, so that a busy machine slows all of them alike.
        for name, model in {UNPROCESSED: None, **models}.items():
            enhanced = clip.degraded
            if model is not None:
                start = time.process_time()
                samples = model.enhance(clip.degraded.samples, rate)
                seconds[name] += time.process_time() - start
                enhanced = Audio(on_pcm16_grid(samples.clip(-1.0, 1.0)), rate)
            for metric, score in score_clip(clip.clean, enhanced, names=enhancers.METRICS).items():
                scores[name][metric].append(score)
    duration_s = sum(clip.clean.duration_s for clip in clips)
    return scores, {name: used / duration_s for name, used in seconds.items()}


def table(title: str, scores: Scores, speeds: Mapping[str, float]) -> str:
    """A Markdown table with a row for each model: means and half widths of their intervals."""
    lines = [f"### {title}", "", "| model | PESQ-WB | ESTOI | SI-SDR, dB | real-time factor |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for name, by_metric in scores.items():
        cells = []
        for metric, digits in zip(enhancers.METRICS, (2, 3, 2), strict=True):
            estimate = mean_estimate(by_metric[metric])
            cells.append(f"{estimate.mean:.{digits}f} ± {half_width(estimate, digits)}")
        speed = f"{speeds[name]:.3f}" if name in speeds else "-"
        lines.append(f"| {name} | {' | '.join(cells)} | {speed} |")
    return "\n".join(lines)


def half_width(estimate: Estimate, digits: int) -> str:
    """Half the interval, or a dash if one clip gives none."""
    return "–" if estimate.half_width is None else f"{estimate.half_width:.{digits}f}"


def differences(scores: Scores, against: str) -> str:
    """A Markdown table of the mean paired differences of `against` to each other model, with their intervals."""
    lines = [f"| {against} less | PESQ-WB | ESTOI | SI-SDR, dB |", "| --- | ---: | ---: | ---: |"]
    for name, by_metric in scores.items():
        if name == against:
            continue
        cells = []
        for metric, digits in zip(enhancers.METRICS, (2, 3, 2), strict=True):
            pairs = zip(scores[against][metric], by_metric[metric], strict=True)
            estimate = mean_estimate([ours - theirs for ours, theirs in pairs])
            cells.append(f"{estimate.mean:+.{digits}f} ± {half_width(estimate, digits)}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


class ScoreCache:
    """Scores of earlier runs, so that an unchanged model does not run again on the same clips."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.results: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            try:
                self.results = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UsageError(f"{path} has no scores ({error})", "Remove it, or give another --json.") from error

    def take(self, key: str) -> tuple[dict[str, list[float]], float | None] | None:
        """The scores and the real-time factor of the key, or None."""
        result = self.results.get(key)
        return None if result is None else (result["scores"], result["real_time_factor"])

    def put(self, key: str, scores: Mapping[str, list[float]], real_time_factor: float | None) -> None:
        """Store the scores, also on disk if there is a path."""
        self.results[key] = {"scores": scores, "real_time_factor": real_time_factor}
        if self.path is not None:
            with written_atomically(self.path) as stream:
                stream.write(json.dumps(self.results, indent=1, sort_keys=True).encode() + b"\n")


def key_of(competition: Competition, clips: list[Clip], name: str) -> str:
    """The key of a result: the competition, the digest of the clips, and the model with the hash of its files."""
    digest = digest_of_digests({clip.id: clip.digest for clip in clips})[:16]
    folder = enhancers.MODELS / name
    # The card does not change the scores.
    files = [path for path in files_below(folder) if "__pycache__" not in path.parts and path.suffix != ".md"]
    content = content_hash({path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files})[:16]
    return f"{competition.id}/{digest}/{name}/{content}"


def compared(
    competition: Competition, clips: list[Clip], names: Sequence[str], cache: ScoreCache
) -> tuple[Scores, dict[str, float]]:
    """Scores and real-time factors of the unprocessed input and of the models. Cached results are not measured
    again.
    """
    keys = {name: key_of(competition, clips, name) for name in names}
    missing = tuple(name for name in names if cache.take(keys[name]) is None)
    scores, speeds = measured(clips, dict(enhancers.available(missing)))
    for name in missing:
        if name in scores:
            cache.put(keys[name], scores[name], speeds[name])
    results = {name: result for name in names if (result := cache.take(keys[name])) is not None}
    all_scores = {UNPROCESSED: scores[UNPROCESSED], **{name: result[0] for name, result in results.items()}}
    return all_scores, {name: result[1] for name, result in results.items() if result[1] is not None}


@click.command(context_settings={"show_default": True})
@click.option("--competition", "competition_id", help="One of the four. [default: all]")
@click.option("--clips", "count", default=30)
@click.option("--seed", default=SEED)
@click.option("--models", help="Folders below models/, with commas between. [default: all that apply]")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Store the scores of every clip in this file."
)
def main(competition_id: str | None, count: int, seed: int, models: str | None, json_path: Path | None) -> None:
    """Print a table for each competition."""
    checked_clip_count(count)
    competitions = [competition_by_id(competition_id)] if competition_id else list(PUBLISHED)
    warm_up()
    cache = ScoreCache(json_path)
    for competition in competitions:
        own = baseline_of(competition)
        names = tuple(models.split(",")) if models else (own, *BESIDE[competition.task])
        names = tuple(n for n in names if (enhancers.MODELS / n / "app").is_dir())
        if not names:
            raise UsageError(f"There is no model {models}", "Give folders below models/.")
        scores, speeds = compared(competition, held_out_clips(competition, count, seed), names, cache)
        click.echo("\n" + table(f"{competition.title}: {count} held-out clips", scores, speeds))
        if own in scores:
            click.echo("\n" + differences(scores, own))


if __name__ == "__main__":
    sys.exit(run(main))
