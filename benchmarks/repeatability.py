"""Measures how well a model's answers agree with its own, with near copies, and with those of other models.

    python benchmarks/repeatability.py [--clips 3] [--seed 1] [--models dtln gtcrn] [--packages DIR] [--docker]

Agreements are those of errors, in dB, as a verifier of served models computes them. `--clips` counts the clips of
each of the four competitions. Each model enhances all of them. The first run, on one thread, is compared with runs
in other circumstances and sandboxes. Other models are compared on four times as many clips. `--packages` names a
folder with other builds of packages, such as another ONNX Runtime. `--docker` starts an engine of its own. At the
end come the margins of the thresholds of `soundsright`, and what passes in each tier besides the model itself.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

if not __package__:  # Run as a file: find the folder `benchmarks` by its name.
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.repeatability_copies import NEAR_COPIES, Change
from benchmarks.repeatability_runs import (
    HONEST,
    LOWER_PRECISION,
    REFERENCE,
    SAME_MODEL,
    Answers,
    Circumstance,
    Pcm,
    answers_in,
    answers_in_sandbox,
    sandboxes,
)
from soundsright.adapters.containers import BuildLimits, DockerSandbox, DockerSettings
from soundsright.core.audio import Clip, pcm16
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import InfrastructureFault, ModelFault, UsageError
from soundsright.core.ports import Sandbox
from soundsright.core.tiers_rules import TiersRules, tiers_rules
from soundsright.data.clips import checked_clip_count, draw_clip
from soundsright.data.corpora import Corpus
from soundsright.ranking import OwnAnswer, error_agreement_db, verify_answer
from tests.engines import BASE, NoEngine, container_engine

INPUT = "the input returned"
SANDBOXES = ("process", "bubblewrap")
OTHERS_FACTOR = 4
"""Other models are compared on this many times as many clips, because a rate needs more of them than a minimum."""


@dataclass(frozen=True)
class Row:
    """The agreements of a comparison over models and clips. `lowest` names the model and the clip of the lowest."""

    name: str
    agreements_db: tuple[float, ...]
    lowest: str
    models: int

    @classmethod
    def of(cls, name: str, by_pair: Mapping[tuple[str, str], float]) -> Row:
        """The row of agreements by model and clip."""
        (model, clip), _ = min(by_pair.items(), key=lambda item: item[1])
        return cls(name, tuple(by_pair.values()), f"{model} on {clip}", len({model for model, _ in by_pair}))

    def __str__(self) -> str:
        low, high = min(self.agreements_db), max(self.agreements_db)
        middle = float(np.median(self.agreements_db))
        return f"| {self.name} | {self.models} | {low:.1f} | {middle:.1f} | {high:.1f} |"


@dataclass(frozen=True)
class Material:
    """The clips by name, their clean and degraded samples, and the answers of the reference run."""

    clips: Mapping[str, Clip]
    own: Answers

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(model for model, _ in self.own))

    def first(self, per_competition: int) -> Material:
        """The same with the first clips of each competition alone."""
        clips = {name: clip for name, clip in self.clips.items() if int(name.rpartition("-")[2]) < per_competition}
        return Material(clips, {key: answer for key, answer in self.own.items() if key[1] in clips})

    def clean(self, clip: str) -> Pcm:
        return pcm16(self.clips[clip].clean.samples)

    def degraded(self, clip: str) -> Pcm:
        return pcm16(self.clips[clip].degraded.samples)

    def agreements(self, answers: Answers) -> dict[tuple[str, str], float]:
        """The agreement of each answer with the reference run's, by model and clip."""
        return {
            (model, clip): error_agreement_db(self.clean(clip), self.own[model, clip], answer)
            for (model, clip), answer in answers.items()
        }


def drawn(per_competition: int, seed: int) -> dict[str, Clip]:
    """Clips of the shipped recordings, by name."""
    corpus = Corpus.open()
    return {
        f"{competition.id}-{index}": draw_clip(competition, seed, index, corpus=corpus)
        for competition in PUBLISHED
        for index in range(checked_clip_count(per_competition))
    }


def reference(models: Sequence[str], clips: Mapping[str, Clip]) -> Material:
    """The answers of the models on one thread, from two processes."""
    with ThreadPoolExecutor(2) as pool:
        halves = pool.map(lambda half: answers_in(REFERENCE, half, clips), (models[::2], models[1::2]))
        answers = {key: answer for half in halves for key, answer in half.items()}
    return Material(clips, {(m, c): answers[m, c] for m in models for c in clips if (m, c) in answers})


def rows_of_circumstances(material: Material, circumstances: Sequence[Circumstance]) -> Iterator[Row]:
    """The rows of the same models in other circumstances. Two run at a time."""

    def row(circumstance: Circumstance) -> Row | None:
        answers = answers_in(circumstance, material.models, material.clips)
        return Row.of(circumstance.name, material.agreements(answers)) if answers else None

    with ThreadPoolExecutor(2) as pool:
        yield from (made for made in pool.map(row, circumstances) if made is not None)


def row_of_sandbox(material: Material, sandbox: Sandbox, base: str = "") -> Row | None:
    """The row of the models in a sandbox. Prints the models that do not run in it."""
    answers: Answers = {}
    for model in material.models:
        try:
            answers.update(answers_in_sandbox(sandbox, model, material.clips, base))
        except (ModelFault, InfrastructureFault) as fault:
            print(f"{model} is left out of {sandbox.name}: {str(fault)[:200]}", file=sys.stderr)
    return Row.of(f"the sandbox {sandbox.name}", material.agreements(answers)) if answers else None


@contextmanager
def docker_sandbox() -> Iterator[Sandbox]:
    """Docker on this machine, with an engine of its own if none runs."""
    with container_engine() as engine:
        yield DockerSandbox(engine, settings=DockerSettings(build=BuildLimits(network="none")))


def near_copies(material: Material, change: Change) -> Answers:
    """A near copy of each answer. The other model is the next one in the list."""
    models, copies = material.models, {}
    for model, clip in material.own:
        other = models[(models.index(model) + 1) % len(models)]
        own, another = (material.own[name, clip].astype(np.float32) / np.float32(32_768) for name in (model, other))
        given = material.clips[clip].degraded
        copies[model, clip] = pcm16(np.clip(change(own, given.samples, another, given.sample_rate_hz), -1, 1))
    return copies


def pass_rates(rules: TiersRules, material: Material, answers: Answers) -> list[float]:
    """The part of the answers that passes, by tier."""
    rates = []
    for tier in rules.table:
        passed = 0
        for (model, clip), answer in answers.items():
            rate_hz = material.clips[clip].clean.sample_rate_hz
            own = OwnAnswer(material.clean(clip), material.own[model, clip], rate_hz)
            passed += verify_answer(rules, tier.name, own, answer, rate_hz).result.passed
        rates.append(passed / len(answers))
    return rates


def other_models(material: Material) -> dict[tuple[str, str], float]:
    """The agreement of each two models and of each model with its input, by pair and clip."""
    outputs = {name: {clip: material.own[name, clip] for clip in material.clips} for name in material.models}
    outputs[INPUT] = {clip: material.degraded(clip) for clip in material.clips}
    return {
        (f"{one} and {other}", clip): error_agreement_db(
            material.clean(clip), outputs[one][clip], outputs[other][clip]
        )
        for one, other in itertools.combinations(outputs, 2)
        for clip in material.clips
    }


def highest_rate(pairs: Mapping[tuple[str, str], float], least_db: float) -> tuple[float, str]:
    """The highest part of a competition's clips on which two models agree by `least_db`, and which they are."""
    counts: dict[str, list[bool]] = {}
    for (pair, clip), agreement in pairs.items():
        counts.setdefault(f"{pair}, {clip.rpartition('-')[0]}", []).append(agreement >= least_db)
    return max((float(np.mean(passed)), name) for name, passed in counts.items())


def most_gain_db(least_db: float) -> float:
    """The most by which any passing answer's error can be below that of the model's own, in dB.

    An error r times as large as one's own differs from it by (1 - r) of it at least. So the agreement is at most
    10 lg(r / (1 - r)²). The result is -20 lg of the least r that reaches `least_db`.

    >>> round(most_gain_db(15.0), 2), round(most_gain_db(30.0), 2)
    (1.54, 0.27)
    """
    half = 10 ** (-least_db / 10) / 2
    return -20 * math.log10(1 + half - math.sqrt(half * (2 + half)))


@dataclass(frozen=True)
class Mixture:
    """The largest part of a better model's answers that passes, and what it gains in SNR over the model's own."""

    part: float
    gain_db: float


def best_mixtures(material: Material, least_db: float, rate: float) -> list[Mixture]:
    """For each model and each better one, in each competition: the mixture that passes on `rate` of the clips."""
    found = []
    for one, other in itertools.permutations(material.models, 2):
        for competition in dict.fromkeys(clip.rpartition("-")[0] for clip in material.clips):
            clips = [clip for clip in material.clips if clip.rpartition("-")[0] == competition]
            own, better = (_errors(material, name, clips) for name in (one, other))
            if np.mean(_levels_db(better)) < np.mean(_levels_db(own)):
                found.append(_largest(own, better, least_db, rate))
    return found


def _errors(material: Material, model: str, clips: Iterable[str]) -> list[np.ndarray]:
    return [material.own[model, clip].astype(np.float64) - material.clean(clip) for clip in clips]


def _levels_db(errors: Iterable[np.ndarray]) -> list[float]:
    return [10 * math.log10(max(float(error @ error), 1.0)) for error in errors]


def _largest(own: Sequence[np.ndarray], better: Sequence[np.ndarray], least_db: float, rate: float) -> Mixture:
    """The mixture for two models. Energies are quadratic in the part, so no signal is mixed."""
    parts = np.geomspace(1e-3, 1, 200)
    passed, gains = [], []
    for e1, e2 in zip(own, better, strict=True):
        d = e2 - e1
        own_energy, cross, change = max(float(e1 @ e1), 1.0), float(e1 @ d), max(float(d @ d), 1e-9)
        mixed = np.maximum(own_energy + 2 * parts * cross + parts**2 * change, 1e-9)
        passed.append(10 * np.log10(np.sqrt(own_energy * mixed) / (parts**2 * change)) >= least_db)
        gains.append(10 * np.log10(own_energy / mixed))
    enough = np.flatnonzero(np.mean(passed, axis=0) >= rate)
    if not len(enough):
        return Mixture(0.0, 0.0)
    return Mixture(float(parts[enough[-1]]), float(np.mean(gains, axis=0)[enough[-1]]))


def print_rows(title: str, rows: Iterable[Row]) -> list[Row]:
    """Print a table as its rows come."""
    print(f"\n### {title}\n\n| | models | min | median | max |\n| --- | ---: | ---: | ---: | ---: |", flush=True)
    printed = []
    for row in rows:
        print(row, flush=True)
        printed.append(row)
    return printed


def print_near_copies(rules: TiersRules, material: Material) -> None:
    """Print the agreements of near copies, and how many pass in the lowest and in the highest tier."""
    low, high = rules.table[0].name, rules.table[-1].name
    print(f"\n### Near copies, dB\n\n| | min | median | max | pass in {low} | in {high} |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, change in NEAR_COPIES.items():
        copies = near_copies(material, change)
        values, rates = list(material.agreements(copies).values()), pass_rates(rules, material, copies)
        numbers = f"{min(values):.1f} | {np.median(values):.1f} | {max(values):.1f}"
        print(f"| {name} | {numbers} | {rates[0]:.0%} | {rates[-1]:.0%} |", flush=True)


def print_tiers(rules: TiersRules, material: Material, pairs: Mapping[tuple[str, str], float]) -> None:
    """Print what another model and a mixture with a better one reach in each tier."""
    print("\n### What passes besides the model itself\n")
    print("| tier | dB | rate | another model, highest rate | part of a better model | its gain, dB | bound, dB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for tier in rules.table:
        other, _ = highest_rate(pairs, tier.agreement_db)
        mixtures = best_mixtures(material, tier.agreement_db, tier.rate)
        part, gained = (max((getattr(m, name) for m in mixtures), default=0.0) for name in ("part", "gain_db"))
        bound = most_gain_db(tier.agreement_db)
        print(
            f"| {tier.name} | {tier.agreement_db:g} | {tier.rate:g} | {other:.0%} | {part:.0%} | {gained:.2f} "
            f"| {bound:.2f} |"
        )


def print_verdict(rules: TiersRules, same: Sequence[Row], pairs: Mapping[tuple[str, str], float]) -> bool:
    """Print the margins on both sides. Returns whether the thresholds tell the same model from another."""
    lowest = min(same, key=lambda row: min(row.agreements_db))
    least_db, top, bottom = min(lowest.agreements_db), rules.table[-1], rules.table[0]
    (pair, clip), most_db = max(pairs.items(), key=lambda item: item[1])
    rate, which = highest_rate(pairs, bottom.agreement_db)
    print(f"\nThe same model agrees by {least_db:.1f} dB at least ({lowest.name}: {lowest.lowest}).")
    print(f"{top.name} needs {top.agreement_db:g} dB: a margin of {least_db - top.agreement_db:.1f} dB.")
    print(f"Another model agrees by {most_db:.1f} dB at most ({pair} on {clip}), on one clip.")
    print(f"In a competition it passes {bottom.name} on {rate:.0%} of the clips at most ({which}).")
    print(f"{bottom.name} needs {bottom.rate:.0%}: a margin of {100 * (bottom.rate - rate):.0f} points.")
    holds = least_db >= top.agreement_db and rate < bottom.rate
    print(f"The thresholds {'hold' if holds else 'do not hold'}.")
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=3, help="clips of each competition [default: 3]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", nargs="+", choices=HONEST, default=HONEST, metavar="NAME")
    parser.add_argument("--packages", nargs="*", type=Path, default=[], metavar="DIR")
    parser.add_argument("--sandboxes", nargs="*", choices=SANDBOXES, default=SANDBOXES)
    parser.add_argument("--docker", action="store_true", help="also run the models in Docker")
    parser.add_argument("--fast", action="store_true", help="only the first two circumstances, and no sandbox")
    options = parser.parse_args()
    try:
        clips = drawn(OTHERS_FACTOR * options.clips, options.seed)
    except UsageError as error:
        parser.error(str(error))
    rules = tiers_rules()
    wide = reference(options.models, clips)
    material = wide.first(options.clips)
    print(f"{len(material.models)} models: {', '.join(material.models)}")
    print(f"{len(material.clips)} clips, and {len(wide.clips)} for the comparison of other models")
    others = [Circumstance(f"packages of {folder.name}", packages=folder.absolute()) for folder in options.packages]
    circumstances = SAME_MODEL[:2] if options.fast else (*SAME_MODEL, *others)
    same = print_rows("The same model, dB", _all_rows(material, circumstances, options))
    if not options.fast:
        print_rows("The same model with rounded weights, dB", rows_of_circumstances(material, LOWER_PRECISION))
    print_near_copies(rules, material)
    pairs = other_models(wide)
    print_rows("Other models, dB", _rows_of_others(pairs))
    print_tiers(rules, wide, pairs)
    return 0 if print_verdict(rules, same, pairs) else 1


def _rows_of_others(pairs: Mapping[tuple[str, str], float]) -> Iterator[Row]:
    with_the_input = {key: value for key, value in pairs.items() if INPUT in key[0]}
    if others := {key: value for key, value in pairs.items() if key not in with_the_input}:
        yield Row.of("two models", others)
    yield Row.of("a model and its input", with_the_input)


def _all_rows(
    material: Material, circumstances: Sequence[Circumstance], options: argparse.Namespace
) -> Iterator[Row]:
    yield from rows_of_circumstances(material, circumstances)
    for sandbox in sandboxes([] if options.fast else options.sandboxes):
        if (row := row_of_sandbox(material, sandbox)) is not None:
            yield row
    if options.docker:
        try:
            with docker_sandbox() as sandbox:
                if (row := row_of_sandbox(material, sandbox, BASE)) is not None:
                    yield row
        except NoEngine as reason:
            print(f"docker is left out: {reason}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
