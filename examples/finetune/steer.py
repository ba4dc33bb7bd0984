"""Turns a round's feedback into the next set: `python -m examples.finetune.steer FEEDBACK.json --out sets/steered`.

The round's clips are drawn again from its seed; the set's digest proves that they are the same. The quarter of
clips with the entry's worst scores decides the next set: their range of SNR or of reverberation times, slightly
widened, and the training noises with the most similar spectra. The round's own recordings are not used. The
commands that make the set and fine-tune on it are printed and stored in `steer.json`.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from soundsright.adapters.peers.keys import valid_signature
from soundsright.cli.main import run
from soundsright.core.audio import Clip, digest_of_digests
from soundsright.core.competition import Competition, Task, competition_by_id
from soundsright.core.errors import UsageError
from soundsright.data.clips import draw_clips
from soundsright.data.corpora import Corpus
from soundsright.data.journal import written_atomically
from soundsright.data.spectrum import power_spectrum
from soundsright.data.splits import Split
from soundsright.services.records import Feedback, SignedFeedbackFile, read_document

WORST_SHARE = 0.25
NOISES = 6
_EDGES_HZ = (0, 125, 250, 500, 1_000, 2_000, 4_000, 8_000)


@dataclass(frozen=True)
class Steering:
    """The recipe of the next set: ranges in dB and s, None if the task has no such range, and noises by id."""

    competition: str
    round: str
    worst: tuple[str, ...]
    snr_db: tuple[float, float] | None
    rt60_s: tuple[float, float] | None
    noises: tuple[str, ...]


def worst_clips(feedback: Feedback, competition: Competition, share: float = WORST_SHARE) -> list[str]:
    """The ids of the clips with the lowest ranks, averaged over the metrics that pay, worst first.

    Raises:
        UsageError: the feedback has no scores.
    """
    scored = {clip.id: clip.scores for clip in feedback.clips if clip.scores}
    weights = competition.metric_weights
    metrics = [name for name in weights if scored and all(name in scores for scores in scored.values())]
    if not metrics:
        raise UsageError("The feedback has no scores of clips", "Wait for a round in which the entry was scored.")
    ids = sorted(scored)
    rank = np.zeros(len(ids))
    for name in metrics:
        rank += weights[name] * np.argsort(np.argsort([scored[i][name] for i in ids], kind="stable"))
    count = max(1, round(share * len(ids)))
    return [ids[k] for k in np.argsort(rank, kind="stable")[:count]]


def steering(feedback: Feedback, corpus: Corpus) -> Steering:
    """The recipe that follows from the worst clips.

    Raises:
        UsageError: there are no scores, or this corpus does not give the clips of the round.
    """
    competition = competition_by_id(feedback.competition)
    worst = worst_clips(feedback, competition)
    clips = {clip.id: clip for clip in draw_clips(competition, feedback.seed, len(feedback.clips), corpus=corpus)}
    if digest_of_digests({name: clip.digest for name, clip in clips.items()}) != feedback.set_digest:
        raise UsageError(
            f"Round {feedback.round}: this corpus does not give the clips that were scored",
            "Use the corpus and the version of soundsright that the validator used.",
        )
    chosen = [clips[name] for name in worst]
    denoising = competition.task is Task.DENOISING
    snr = [clip.recipe.snr_db for clip in chosen if clip.recipe.snr_db is not None]
    rt60 = [clip.recipe.rt60_s for clip in chosen if clip.recipe.rt60_s is not None]
    return Steering(
        competition=competition.id,
        round=feedback.round,
        worst=tuple(worst),
        snr_db=_range(snr, 1.0, (-60.0, 100.0)) if denoising else None,
        rt60_s=None if denoising else _range(rt60, 0.1, (0.1, 5.0)),
        noises=nearest_noises(chosen, corpus, competition.sample_rate_hz) if denoising else (),
    )


def _range(values: list[float], margin: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """The range of the middle 80 % of the values, widened by the margin, within the bounds."""
    low, high = np.quantile(values, (0.1, 0.9))
    return round(max(bounds[0], low - margin), 2), round(min(bounds[1], high + margin), 2)


def nearest_noises(clips: list[Clip], corpus: Corpus, sample_rate_hz: int, count: int = NOISES) -> tuple[str, ...]:
    """The ids of the training noises whose spectra are most similar to the noise of one of the clips."""
    recordings = corpus.noise_for(sample_rate_hz, Split.TRAIN)
    offered = np.array(
        [_shape(recordings.samples(i, sample_rate_hz), sample_rate_hz) for i in range(len(recordings))]
    )
    of_clips = np.array([_shape(c.degraded.samples - c.clean.samples, sample_rate_hz) for c in clips])
    distance = np.linalg.norm(offered[:, None] - of_clips[None], axis=-1).min(axis=1)
    return tuple(recordings.utterance_id(int(i)) for i in np.argsort(distance, kind="stable")[:count])


def _shape(samples: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float64]:
    """Levels in octave bands, in dB, with a mean of zero."""
    power = power_spectrum(samples)
    edges = [round(hz / (sample_rate_hz / 2) * (len(power) - 1)) for hz in _EDGES_HZ]
    levels = 10 * np.log10([power[a : max(a + 1, b)].mean() + 1e-12 for a, b in pairwise(edges)])
    return np.asarray(levels - levels.mean())


def commands(steered: Steering, out: Path) -> tuple[str, str]:
    """The commands that make a set of such clips, and fine-tune the competition's baseline on them."""
    competition = competition_by_id(steered.competition)
    task, rate = competition.task.value.lower(), competition.sample_rate_hz
    flags = ""
    if steered.snr_db is not None:
        noise = shlex.quote(str(out / "noise"))
        flags += f" --snr {steered.snr_db[0]:g} {steered.snr_db[1]:g} --noise {noise}"
    if steered.rt60_s is not None:
        flags += f" --rt60 {steered.rt60_s[0]:g} {steered.rt60_s[1]:g}"
    name = f"{task}-{rate // 1000}k"
    return (
        f"soundsright generate --task {task} --sample-rate {rate} --n 1000 --split train{flags}"
        f" --out {shlex.quote(str(out / 'set'))}",
        f"python -m examples.finetune.train --competition {competition.id} --out runs/steered-{name} --steps 600"
        f" --learning-rate 5e-4 --init models/baseline-{name}/weights.safetensors{flags}",
    )


def write(steered: Steering, out: Path, corpus: Corpus) -> None:
    """Copy the noises and write `steer.json`."""
    out.mkdir(parents=True, exist_ok=True)
    folder = out / "noise"
    for recording in corpus.noise:
        if recording.id in steered.noises:
            folder.mkdir(exist_ok=True)
            shutil.copyfile(recording.path, folder / recording.path.name)
    with written_atomically(out / "steer.json") as stream:
        facts = asdict(steered) | {"commands": commands(steered, out)}
        stream.write(json.dumps(facts, indent=2).encode() + b"\n")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the noises and steer.json.")
@click.option(
    "--corpus", "corpus_root", type=click.Path(path_type=Path), help="The validator's recordings, if elsewhere."
)
def main(file: Path, out: Path, corpus_root: Path | None) -> None:
    """Read the feedback FILE and print the commands that train on its worst clips."""
    corpus = Corpus.open(corpus_root)
    document = read_document(file, valid_signature=valid_signature)
    steered = steering(document.feedback, corpus)
    write(steered, out, corpus)
    if not isinstance(document, SignedFeedbackFile):
        click.echo(f"Unsigned: the sender of {file} is unknown.")
    click.echo(f"Round {steered.round}: the worst clips are {', '.join(steered.worst)}")
    if steered.noises:
        click.echo(f"Training noises most like theirs: {', '.join(steered.noises)}")
    for command in commands(steered, out):
        click.echo(command)


if __name__ == "__main__":
    sys.exit(run(main))
