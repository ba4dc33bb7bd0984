"""Simulates how often intervals, ranks and tests are right, for clips that share noises and for those that do not.

    python benchmarks/calibration.py [intervals|ranks|victories ...] [--fast] [--rounds 2000] [--seed 0]

In every simulated set the truth is known. Three kinds of data are drawn, each for the effects of noises, of prompts
and of clips alike:

- normal;
- skewed: a long tail to the loss (1 - exponential); for ranks, half of the entries have it to the gain;
- rare failures: normal, and 2 % of the clips lose four standard deviations more.

"Before" is the method of version 0.3, kept here as a function: the bootstrap interval over whole clusters, the
bootstrap of the largest pair, and the test that takes each clip as independent.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.ranking import clustered_means, clustered_p_values, rank_confidence_sets

Floats = NDArray[np.float64]
Rng = np.random.Generator

KINDS = ("normal", "skewed", "rare failures")
GROUPS = (None, 2, 4, 10, 30)
"""Numbers of clusters; None are independent clips."""

CLUSTER_SHARE = 0.4
"""The part of the variance of a difference that is the noise's, as on the real generator."""

FAILURES = 0.02
LOSS = 4.0


@dataclass(frozen=True)
class Design:
    """A set's structure: numbers of noises and prompts, and their parts of the variance.

    `in_turn`: no noise and no prompt comes twice before all have come once. Otherwise each clip draws for itself,
    and some noises are more frequent.
    """

    noises: int
    prompts: int
    noise_share: float
    prompt_share: float
    in_turn: bool = False

    @property
    def name(self) -> str:
        return f"{self.noises}{' in turn' if self.in_turn else ''}, {self.noise_share:.2f}"


DESIGNS = (
    Design(19, 50, 0.37, 0.06),
    Design(19, 50, 0.65, 0.02),
    Design(27, 50, 0.42, 0.11),
    Design(40, 50, 0.42, 0.11, in_turn=True),
)
"""Median parts of PESQ, SI-SIR and SI-SDR in the real generator; the last one as it draws from version 0.4 on."""


def effects(rng: Rng, kind: str, shape: tuple[int, int]) -> Floats:
    """Effects of mean 0 and deviation 1."""
    return 1.0 - rng.exponential(size=shape) if kind == "skewed" else rng.normal(size=shape)


def failures(rng: Rng, kind: str, shape: tuple[int, int]) -> Floats:
    """The effect of rare failures on each clip; their mean is 0."""
    if kind != "rare failures":
        return np.zeros(shape)
    return np.asarray(LOSS * (FAILURES - (rng.random(shape) < FAILURES)), dtype=np.float64)


def one_factor(rng: Rng, kind: str, rows: int, clips: int, groups: int | None) -> tuple[Floats, list[int] | None]:
    """Rows of mean 0 over clips of unequal clusters, and the clusters."""
    values = effects(rng, kind, (rows, clips)) + 0.0
    labels = None
    if groups is not None:
        labels = rng.permutation(np.concatenate([np.arange(groups), rng.integers(0, groups, clips - groups)]))
        shared = effects(rng, kind, (rows, groups))[:, labels]
        values = np.sqrt(1 - CLUSTER_SHARE) * values + np.sqrt(CLUSTER_SHARE) * shared
    values = values + failures(rng, kind, (rows, clips))
    return values, None if labels is None else labels.tolist()


def crossed(rng: Rng, kind: str, rows: int, clips: int, design: Design) -> tuple[Floats, list[list[int]]]:
    """Rows of mean 0 over clips whose noises are crossed at random with prompts."""
    if design.in_turn:
        noise, prompt = _in_turn(rng, design.noises, clips), _in_turn(rng, design.prompts, clips)
    else:
        weights = rng.lognormal(0.0, 0.5, design.noises)
        noise = rng.choice(design.noises, clips, p=weights / weights.sum())
        prompt = rng.integers(0, design.prompts, clips)
    rest = 1 - design.noise_share - design.prompt_share
    values = (
        np.sqrt(design.noise_share) * effects(rng, kind, (rows, design.noises))[:, noise]
        + np.sqrt(design.prompt_share) * effects(rng, kind, (rows, design.prompts))[:, prompt]
        + np.sqrt(rest) * effects(rng, kind, (rows, clips))
        + failures(rng, kind, (rows, clips))
    )
    return values, [noise.tolist(), prompt.tolist()]


def _in_turn(rng: Rng, groups: int, clips: int) -> NDArray[np.int64]:
    turns = [rng.permutation(groups) for _ in range(-(-clips // groups))]
    return np.concatenate(turns)[:clips]


def bootstrap_interval(values: Floats, labels: Sequence[int] | None, rng: Rng) -> tuple[float, float]:
    """Before: the BCa interval of Efron (1987), in which whole clusters are drawn."""
    from scipy.special import ndtr, ndtri

    codes = np.arange(len(values)) if labels is None else np.asarray(labels)
    sums, sizes = np.bincount(codes, weights=values), np.bincount(codes).astype(float)
    drawn = rng.integers(0, len(sums), (400, len(sums)))
    means = np.sort(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    bias = ndtri(np.clip(np.mean(means < values.mean()), 0.002, 0.998))
    left_out = (values.sum() - sums) / (len(values) - sizes)
    deviation = left_out.mean() - left_out
    squares = np.sum(deviation**2)
    acceleration = np.sum(deviation**3) / (6 * squares**1.5) if squares > 0 else 0.0
    z = bias + ndtri([0.025, 0.975])
    low, high = np.quantile(means, ndtr(bias + z / (1 - acceleration * z)))
    return float(low), float(high)


def bootstrap_misses(differences: Floats, labels: Sequence[int] | None, rng: Rng) -> bool:
    """Before: whether the largest studentised mean of a pair lies above its multiplier bootstrap quantile."""
    clips = differences.shape[1]
    codes = np.arange(clips) if labels is None else np.asarray(labels)
    means = differences.mean(axis=1, keepdims=True)
    sums = np.stack([np.bincount(codes, weights=row) for row in differences - means])
    groups = sums.shape[1]
    errors = np.sqrt(np.sum(sums**2, axis=1) * groups / (groups - 1)) / clips
    scaled = sums / (errors[:, None] * clips) * np.sqrt(groups / (groups - 1))
    largest = np.abs(rng.standard_normal((400, groups)) @ scaled.T).max(axis=1)
    return bool(np.any(np.abs(means[:, 0]) > np.quantile(largest, 0.95) * errors))


def independent_p_values(differences: Floats) -> Floats:
    """Before: the larger of Student's p-value and Hall's, with each clip independent."""
    from scipy.special import stdtr

    clips = differences.shape[1]
    mean = differences.mean(axis=1)
    centred = differences - mean[:, None]
    variance = (centred**2).mean(axis=1)
    t = np.sqrt(clips - 1) * mean / np.sqrt(variance)
    skewness = (centred**3).mean(axis=1) / variance**1.5
    w = t / np.sqrt(clips)
    hall = np.sqrt(clips) * (w + skewness * w**2 / 3 + skewness**2 * w**3 / 27 + skewness / (6 * clips))
    return np.asarray(np.maximum(stdtr(clips - 1, -t), stdtr(clips - 1, -hall)))


def intervals(rounds: int, seed: int) -> Iterator[str]:
    """How often a 95 % interval of 100 clips covers the true mean."""
    yield f"How often a 95 % interval contains the true mean: 100 clips, {rounds} sets, seed {seed}"
    yield from header("data", [name_of(groups) for groups in GROUPS])
    for kind in KINDS:
        cells = []
        for groups in GROUPS:
            rng = np.random.default_rng([seed, KINDS.index(kind), groups or 0])
            covered, given = np.zeros(2), 0
            for count in batches(rounds):
                values, labels = one_factor(rng, kind, count, 100, groups)
                for own in values:
                    low, high = bootstrap_interval(own, labels, rng)
                    covered[0] += low <= 0 <= high
                means = clustered_means(values, [] if labels is None else [labels])
                ends = [end for end in (means[row].interval() for row in range(count)) if end is not None]
                given += len(ends)
                covered[1] += sum(low <= 0 <= high for low, high in ends)
            now = percent(covered[1] / given) if given else "no interval"
            cells.append(f"{percent(covered[0] / rounds)} / {now}")
        yield row(kind, cells)


def ranks(rounds: int, seed: int) -> Iterator[str]:
    """How often the rank sets of equal entries are all right."""
    for kind in KINDS:
        yield f"How often all ranks are right, {kind}: equal entries, {rounds} sets, seed {seed}"
        yield from header("entries, clips", [name_of(groups) for groups in GROUPS])
        for entries in (3, 6, 12):
            for clips in (12, 30, 100):
                cells = [_ranks_right(kind, (entries, clips), groups, rounds, seed) for groups in GROUPS]
                yield row(f"{entries}, {clips}", cells)
        yield ""


def _ranks_right(kind: str, shape: tuple[int, int], groups: int | None, rounds: int, seed: int) -> str:
    entries, clips = shape
    if groups is not None and groups > clips:
        return "-"
    rng = np.random.default_rng([seed, KINDS.index(kind), entries, clips, groups or 0])
    first, second = np.triu_indices(entries, 1)
    right = np.zeros(2)
    for count in batches(rounds):
        sets, labels = one_factor(rng, kind, count * entries, clips, groups)
        for scores in sets.reshape(count, entries, clips):
            if kind == "skewed":
                scores[1::2] *= -1
            right[0] += not bootstrap_misses(scores[first] - scores[second], labels, rng)
            found = rank_confidence_sets(
                {str(row): own.tolist() for row, own in enumerate(scores)}, None if labels is None else [labels]
            )
            right[1] += all(own.best == 1 and own.worst == entries for own in found.values())
    return " / ".join(percent(share) for share in right / rounds)


def victories(rounds: int, seed: int) -> Iterator[str]:
    """How often an equal challenger passes the test at 5 %, for new noises and prompts, and intervals cover."""
    yield from _by_design("How often an equal challenger passes at 5 %", _passed, rounds, seed)
    yield ""
    yield from _by_design("How often a 95 % interval covers the true mean in such sets", _covered, rounds, seed)


def _by_design(
    title: str, judged: Callable[[Floats, list[list[int]]], tuple[float, float]], rounds: int, seed: int
) -> Iterator[str]:
    """A table of the shares that `judged` finds before and now. Every table has the same sets."""
    yield f"{title}: {rounds} sets, seed {seed}"
    yield from header("noises, their part of the variance, data", ["30 clips", "100 clips", "1000 clips"])
    for design in DESIGNS:
        for kind in KINDS:
            cells = []
            for clips in (30, 100, 1000):
                rng = np.random.default_rng([seed, DESIGNS.index(design), KINDS.index(kind), clips])
                shares = [judged(*drawn) for drawn in _draws(rng, kind, rounds, clips, design)]
                cells.append(" / ".join(percent(share) for share in np.mean(shares, axis=0)))
            yield row(f"{design.name}, {kind}", cells)


def _passed(values: Floats, labels: list[list[int]]) -> tuple[float, float]:
    p_values = (independent_p_values(values), clustered_p_values(values, labels))
    before, now = (float(np.mean(p <= 0.05)) for p in p_values)
    return before, now


def _covered(values: Floats, labels: list[list[int]]) -> tuple[float, float]:
    from scipy.special import stdtrit

    clips = values.shape[1]
    plain = np.abs(values.mean(axis=1)) / (values.std(axis=1, ddof=1) / np.sqrt(clips))
    means = clustered_means(values, labels)
    before = plain <= stdtrit(clips - 1, 0.975)
    now = np.abs(means.mean / means.error) <= stdtrit(means.degrees, 0.975)
    return float(np.mean(before)), float(np.mean(now))


def _draws(
    rng: Rng, kind: str, rounds: int, clips: int, design: Design
) -> Iterator[tuple[Floats, list[list[int]]]]:
    for count in batches(rounds):
        yield crossed(rng, kind, count, clips, design)


def batches(rounds: int) -> list[int]:
    """Numbers of sets that share the same groups of clips: 20, and the rest."""
    return [min(20, rounds - start) for start in range(0, rounds, 20)]


def name_of(groups: int | None) -> str:
    return "independent" if groups is None else f"{groups} clusters"


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def header(first: str, columns: Sequence[str]) -> list[str]:
    """The head of a table whose cells have two numbers: before / now, in percent."""
    heads = [first, *(f"{name}: before / now, %" for name in columns)]
    return ["", "| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(columns)]


def row(first: str, cells: Sequence[str]) -> str:
    return "| " + " | ".join([first, *cells]) + " |"


TABLES: dict[str, Callable[[int, int], Iterator[str]]] = {
    "intervals": intervals,
    "ranks": ranks,
    "victories": victories,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"{', '.join(TABLES)}; all without a name")
    parser.add_argument("--rounds", type=int, default=2000, help="simulated sets in each cell")
    parser.add_argument("--fast", action="store_true", help="100 sets in each cell")
    parser.add_argument("--seed", type=int, default=0)
    own = parser.parse_args()
    unknown = [name for name in own.tables if name not in TABLES]
    if unknown:
        parser.error(f"there is no table {unknown[0]}; choose from {', '.join(TABLES)}")
    if own.rounds < 1:
        parser.error(f"--rounds must be at least 1, not {own.rounds}")
    for name in own.tables or TABLES:
        for line in TABLES[name](100 if own.fast else own.rounds, own.seed):
            print(line, flush=True)
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
