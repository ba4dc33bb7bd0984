"""Scores models on held-out clips: `python -m examples.finetune.evaluate --competition DENOISING_16000HZ`.

The clips come from the test split of the shipped corpus: speakers, a language, noises and rooms that no baseline
was trained on. Each cell is a mean with the half width of its 95 % interval over the clips; the real-time factor is
processor time on one thread over the duration of the audio. Models whose package is missing are left out.
The paired differences of the baseline to each other model follow.
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
"""A mean SNR of 2.5 dB; the rooms are those of homes, offices and halls."""

BESIDE = {
    Task.DENOISING: tuple(name for name in enhancers.ENTRIES if name != "wpe"),
    Task.DEREVERBERATION: ("wpe", "deepfilternet3", "nsnet2", "dtln", "gtcrn"),
}
"""What a baseline stands beside: suppressors of noise remove some reverberation, WPE no noise."""

Scores = Mapping[str, Mapping[str, list[float]]]


def baseline_of(competition: Competition) -> str:
    """The folder of the competition's own baseline."""
    return f"baseline-{competition.task.value.lower()}-{competition.sample_rate_hz // 1000}k"


def held_out_clips(competition: Competition, count: int, seed: int, recipe: SetRecipe = HELD_OUT) -> list[Clip]:
    """Clips of the test split."""
    task, rate = SetTask.of(competition.task), competition.sample_rate_hz
    sources = sources_of(task, rate, recipe, split=Split.TEST)
    return [render(task, rate, seed, i, sources=sources, recipe=recipe, skipped={}).as_clip() for i in range(count)]


def measured(clips: list[Clip], models: Mapping[str, ModuleType]) -> tuple[Scores, dict[str, float]]:
    """Scores by model and metric, one for each clip, and the real-time factor of each model."""
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    seconds: dict[str, float] = defaultdict(float)
    for clip in clips:
        rate = clip.clean.sample_rate_hz
        # Models take turns on each clip, so that a busy machine is unfair to none.
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
    """Means and half widths of their intervals, a row for each model."""
    lines = [f"### {title}", "", "| model | PESQ-WB | ESTOI | SI-SDR, dB | real-time factor |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for name, by_metric in scores.items():
        cells = []
        for metric, digits in zip(enhancers.METRICS, (2, 3, 2), strict=True):
            estimate = mean_estimate(by_metric[metric])
            cells.append(f"{estimate.mean:.{digits}f} ± {estimate.high - estimate.mean:.{digits}f}")
        speed = f"{speeds[name]:.3f}" if name in speeds else "-"
        lines.append(f"| {name} | {' | '.join(cells)} | {speed} |")
    return "\n".join(lines)


def differences(scores: Scores, against: str) -> str:
    """The mean paired difference of `against` to each other model, with its interval."""
    lines = [f"| {against} less | PESQ-WB | ESTOI | SI-SDR, dB |", "| --- | ---: | ---: | ---: |"]
    for name, by_metric in scores.items():
        if name == against:
            continue
        cells = []
        for metric, digits in zip(enhancers.METRICS, (2, 3, 2), strict=True):
            pairs = zip(scores[against][metric], by_metric[metric], strict=True)
            estimate = mean_estimate([ours - theirs for ours, theirs in pairs])
            cells.append(f"{estimate.mean:+.{digits}f} ± {estimate.high - estimate.mean:.{digits}f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


class Kept:
    """Scores of earlier runs: a model that has not changed is not run again on the same clips."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.results: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            try:
                self.results = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UsageError(
                    f"{path} holds no scores ({error})", "Remove it, or give another --json."
                ) from error

    def take(self, key: str) -> tuple[dict[str, list[float]], float | None] | None:
        """The scores and the real-time factor under the key, if they are there."""
        found = self.results.get(key)
        return None if found is None else (found["scores"], found["real_time_factor"])

    def put(self, key: str, scores: Mapping[str, list[float]], real_time_factor: float | None) -> None:
        self.results[key] = {"scores": scores, "real_time_factor": real_time_factor}
        if self.path is not None:
            with written_atomically(self.path) as stream:
                stream.write(json.dumps(self.results, indent=1, sort_keys=True).encode() + b"\n")


def key_of(competition: Competition, clips: list[Clip], name: str) -> str:
    """Names the clips and a model's content."""
    digest = digest_of_digests({clip.id: clip.digest for clip in clips})[:16]
    folder = enhancers.MODELS / name
    # The card holds scores, which are no part of what is scored.
    files = [path for path in files_below(folder) if "__pycache__" not in path.parts and path.suffix != ".md"]
    content = content_hash({path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files})[:16]
    return f"{competition.id}/{digest}/{name}/{content}"


def compared(
    competition: Competition, clips: list[Clip], names: Sequence[str], kept: Kept
) -> tuple[Scores, dict[str, float]]:
    """Scores and real-time factors of the unprocessed input and of the models, those that are kept included."""
    keys = {name: key_of(competition, clips, name) for name in names}
    missing = tuple(name for name in names if kept.take(keys[name]) is None)
    scores, speeds = measured(clips, dict(enhancers.available(missing)))
    for name in missing:
        if name in scores:
            kept.put(keys[name], scores[name], speeds[name])
    found = {name: result for name in names if (result := kept.take(keys[name])) is not None}
    all_scores = {UNPROCESSED: scores[UNPROCESSED], **{name: result[0] for name, result in found.items()}}
    return all_scores, {name: result[1] for name, result in found.items() if result[1] is not None}


@click.command(context_settings={"show_default": True})
@click.option("--competition", "competition_id", help="One of the four; all of them, if not given.")
@click.option("--clips", "count", default=30)
@click.option("--seed", default=SEED)
@click.option("--models", help="Folders below models/, with commas between; all that apply, if not given.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Keep every clip's scores here.")
def main(competition_id: str | None, count: int, seed: int, models: str | None, json_path: Path | None) -> None:
    """Print a table for each competition."""
    checked_clip_count(count)
    competitions = [competition_by_id(competition_id)] if competition_id else list(PUBLISHED)
    warm_up()
    kept = Kept(json_path)
    for competition in competitions:
        own = baseline_of(competition)
        names = tuple(models.split(",")) if models else (own, *BESIDE[competition.task])
        names = tuple(n for n in names if (enhancers.MODELS / n / "app").is_dir())
        if not names:
            raise UsageError(f"There is no model {models}", "Give folders below models/.")
        scores, speeds = compared(competition, held_out_clips(competition, count, seed), names, kept)
        click.echo("\n" + table(f"{competition.title}: {count} held-out clips", scores, speeds))
        if own in scores:
            click.echo("\n" + differences(scores, own))


if __name__ == "__main__":
    sys.exit(run(main))
