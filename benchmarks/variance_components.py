"""Measures how much paired differences vary by noise, room, prompt and speaker, for `soundsright plan-study`.

    python -m benchmarks.variance_components score --out scores.json --competition DENOISING_16000HZ [--clips 80]
    python -m benchmarks.variance_components fit scores.json [more.json] [--write]

`score` lets the honest systems below models/ enhance clips of which several share a noise, a room or a prompt: the
speech is limited to a few prompts, and the rooms to a few simulated ones. The rest is drawn as for any set. It
writes the scores after every fifth clip, so that you can stop it at any time. `fit` prints the components of each
competition and metric. With `--write` it replaces the file that the package ships. Where there are fewer than three
honest systems, the unprocessed input counts as one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Set these before the next lines import NumPy, which reads them once.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.enhancers import available
from benchmarks.honest_scores import SYSTEMS, outputs_of
from soundsright import __version__
from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.competition import PUBLISHED, Competition, competition_by_id
from soundsright.core.material import MIXED_NOISE
from soundsright.core.tasks import Task
from soundsright.data.clips import noise_of
from soundsright.data.corpora import Corpus
from soundsright.data.manifest import groups_of
from soundsright.data.recipe import PUBLISHED_RECIPE, SetTask
from soundsright.data.recordings import RecordingSet
from soundsright.data.render import render
from soundsright.data.reverb import Room
from soundsright.data.rooms import simulated_room
from soundsright.data.sources import Sources
from soundsright.data.turns import ROOMS, Turn
from soundsright.metrics.suite import score_clip
from soundsright.ranking import MeasuredComponents, components_to_json, measured_components

SHIPPED = Path(__file__).parents[1] / "soundsright" / "ranking" / "variance_components.json"
FEWEST_SYSTEMS = 3
PROMPTS = 20
ROOMS_OF_SET = 20
EXTRA_METRICS = ("ESTOI", "SI_SDR", "SI_SIR", "SI_SAR")


@dataclass(frozen=True)
class FewRooms:
    """The same few simulated rooms, which the clips of a set use in turn."""

    seed: int
    count: int

    def draw(self, rng: np.random.Generator, sample_rate_hz: int, *, turn: Turn | None = None) -> Room:
        number = int(rng.integers(self.count)) if turn is None else turn.of(self.count).number
        own = np.random.default_rng((self.seed, number, ROOMS))
        return simulated_room(own, sample_rate_hz, rt60_s=PUBLISHED_RECIPE.rt60_s)


def few_prompts(speech: RecordingSet, count: int) -> RecordingSet:
    """Recordings of as many speakers as possible, in turns of one recording per speaker."""
    by_speaker: dict[str, list[Any]] = {}
    for recording in speech.recordings:
        by_speaker.setdefault(recording.speaker, []).append(recording)
    turns = [
        (number, speaker, recording)
        for speaker, recordings in by_speaker.items()
        for number, recording in enumerate(recordings)
    ]
    return RecordingSet(tuple(recording for *_, recording in sorted(turns, key=lambda turn: turn[:2])[:count]))


def measure(competition: Competition, clips: int, seed: int, out: Path) -> None:
    """Write the scores by system and metric and the factors of the clips, again after every fifth clip."""
    assert isinstance(competition.task, Task)
    rate = competition.sample_rate_hz
    corpus = Corpus.open()
    sources = Sources(
        speech=few_prompts(corpus.speech_for(rate), PROMPTS),
        noise=noise_of(corpus, rate, None, MIXED_NOISE),
        rooms=FewRooms(seed, ROOMS_OF_SET),
    )
    models = dict(available(SYSTEMS[competition.task, rate]))
    metrics = tuple(dict.fromkeys((*competition.metric_weights, *EXTRA_METRICS)))
    recipes: dict[str, dict[str, str | None]] = {}
    systems: dict[str, dict[str, list[float]]] = {}
    for index in range(clips):
        clip = render(
            SetTask.of(competition.task), rate, seed, index, sources=sources, recipe=PUBLISHED_RECIPE
        ).as_clip()
        own = clip.recipe
        recipes[clip.id] = {"speech": own.speech, "noise": own.noise, "rir": own.rir, "speaker": own.speaker}
        for name, output in outputs_of(clip, models, rate, honest_only=True):
            audio = Audio(on_pcm16_grid(np.asarray(output, dtype=np.float32)), rate)
            for metric, value in score_clip(clip.clean, audio, clip.degraded, metrics).items():
                systems.setdefault(name, {}).setdefault(metric, []).append(round(value, 4))
        if index % 5 == 4 or index == clips - 1:
            found = {"seed": seed, "recipes": recipes, "honest": list(models), "systems": systems}
            out.write_text(json.dumps({competition.id: found}) + "\n", encoding="utf-8")


def fit(scores: dict[str, Any]) -> dict[str, dict[str, MeasuredComponents]]:
    """The components of every competition and metric of the scores, over the pairs of its systems."""
    fitted: dict[str, dict[str, MeasuredComponents]] = {}
    for competition_id, run in scores.items():
        names = run["honest"] if len(run["honest"]) >= FEWEST_SYSTEMS else [*run["honest"], "unprocessed"]
        known = groups_of(run["recipes"])
        assert known is not None
        factors = {**known.factors, "speaker": tuple(recipe["speaker"] for recipe in run["recipes"].values())}
        source = (
            f"benchmarks/variance_components.py of SoundsRight {__version__}: {', '.join(names)} on "
            f"{len(run['recipes'])} clips of seed {run['seed']} of the shipped material"
        )
        for metric in run["systems"][names[0]]:
            systems = {name: run["systems"][name][metric] for name in names}
            fitted.setdefault(competition_id, {})[metric] = measured_components(systems, factors, source=source)
    return fitted


def print_table(fitted: dict[str, dict[str, MeasuredComponents]]) -> None:
    """The standard deviation of one clip's difference and the shares of the factors, of a typical pair."""
    print("| competition | metric | sd | cautious sd | noise or room | prompt | speaker | pairs | clips |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for competition_id, metrics in fitted.items():
        for metric, found in metrics.items():
            typical = found.typical
            shares = [
                f"{typical.share(name):.2f}" if name in typical.factors else "–"
                for name in ("noise" if "noise" in found.groups else "room", "prompt", "speaker")
            ]
            sds = (f"{each.total**0.5:.3f}" for each in (typical, found.cautious))
            print(
                f"| {competition_id} | {metric} | {' | '.join((*sds, *shares))} | {found.pairs} | {found.clips} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    score = commands.add_parser("score")
    score.add_argument("--out", type=Path, required=True)
    score.add_argument("--competition", required=True)
    score.add_argument("--clips", type=int, default=80)
    score.add_argument("--seed", type=int, default=1)
    fitting = commands.add_parser("fit")
    fitting.add_argument("scores", type=Path, nargs="+")
    fitting.add_argument("--write", action="store_true", help="replace the file that the package ships")
    arguments = parser.parse_args()
    if arguments.command == "fit":
        scores: dict[str, Any] = {}
        for path in arguments.scores:
            scores |= json.loads(path.read_text(encoding="utf-8"))
        fitted = fit({each.id: scores[each.id] for each in PUBLISHED if each.id in scores})
        print_table(fitted)
        if arguments.write:
            SHIPPED.write_text(components_to_json(fitted), encoding="utf-8")
        return
    measure(competition_by_id(arguments.competition), arguments.clips, arguments.seed, arguments.out)


if __name__ == "__main__":
    main()
