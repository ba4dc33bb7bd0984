"""Simulates how often a champion loses its title by chance, and how many clips a better challenger needs.

    python benchmarks/dethrone.py [--rounds 10000] [--clips 1000] [--alpha 0.01] [--seed 0]

The sequential test looks at every round after every clip. Null rounds compare entries of equal quality. Rounds with
a better challenger add one or two margins to each difference; the standard deviation is given in margins. For
comparison, a fixed-sample test that is repeated after every clip is simulated too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from soundsright.ranking import first_verdicts

Rng = np.random.Generator
Draw = Callable[[Rng, tuple[int, int]], NDArray[np.float64]]

BATCH = 500


def _failing(rng: Rng, shape: tuple[int, int]) -> NDArray[np.float64]:
    """On 2 % of the clips one of the entries fails and scores a distant floor."""
    spikes = np.where(rng.random(shape) < 0.02, rng.choice([-20.0, 20.0], shape), 0.0)
    return np.asarray(rng.standard_normal(shape) + spikes)


NULL: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "Laplace": lambda rng, shape: rng.laplace(size=shape),
    "Student, 3 degrees": lambda rng, shape: rng.standard_t(3, shape),
    "Cauchy": lambda rng, shape: rng.standard_cauchy(shape),
    "skewed scores of equal entries": lambda rng, shape: rng.exponential(size=shape) - rng.exponential(size=shape),
    "either fails on 2 % of clips": _failing,
    "mostly ties": lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) < 0.1),
    "steps of 16-bit rounding": lambda rng, shape: np.round(rng.standard_normal(shape)),
}
OUTSIDE: dict[str, Draw] = {
    "mean 0, skewed left (1 - exponential)": lambda rng, shape: 1.0 - rng.exponential(size=shape),
    "mean 0, skewed right (exponential - 1)": lambda rng, shape: rng.exponential(size=shape) - 1.0,
}


def batches(rounds: int) -> list[int]:
    return [min(BATCH, rounds - start) for start in range(0, rounds, BATCH)]


def falls(draw: Draw, rounds: int, clips: int, alpha: float, seed: int) -> float:
    """The share of rounds in which the champion loses, with a look after every clip."""
    rng = np.random.default_rng(seed)
    fallen = sum(
        int(first_verdicts(draw(rng, (count, clips)), alpha=alpha).better.sum()) for count in batches(rounds)
    )
    return fallen / rounds


def falls_by_peeking(draw: Draw, rounds: int, clips: int, alpha: float, seed: int) -> float:
    """The same share for a one-sided z-test at alpha, repeated after every clip from the tenth on."""
    from scipy.special import ndtri

    rng = np.random.default_rng(seed)
    fallen, count_so_far = 0, np.arange(1, clips + 1)
    for count in batches(rounds):
        x = draw(rng, (count, clips))
        mean = np.cumsum(x, axis=1) / count_so_far
        square = np.cumsum(x**2, axis=1) / count_so_far
        error = np.sqrt(np.maximum(square - mean**2, 1e-300) / count_so_far)
        fallen += int(((mean / error)[:, 9:] > ndtri(1 - alpha)).any(axis=1).sum())
    return fallen / rounds


def needed(
    advantage: float, spread: float, rounds: int, clips: int, alpha: float, seed: int
) -> tuple[float, float]:
    """The share of rounds won, and the median share of clips until then. The margin is 1."""
    rng = np.random.default_rng(seed)
    won, used = 0, []
    for count in batches(rounds):
        x = advantage + spread * rng.standard_normal((count, clips))
        verdicts = first_verdicts(x, alpha=alpha)
        won += int(verdicts.better.sum())
        used.append(np.where(verdicts.better, verdicts.witnesses, clips))
    return won / rounds, float(np.median(np.concatenate(used))) / clips


def hopeless(spread: float, rounds: int, clips: int, alpha: float, seed: int) -> tuple[float, float]:
    """The share of rounds with an equal challenger that stop as hopeless, and the share of clips until then.

    The margin is 1.
    """
    rng = np.random.default_rng(seed)
    stopped, used = 0, []
    for count in batches(rounds):
        verdicts = first_verdicts(spread * rng.standard_normal((count, clips)), margin=1.0, alpha=alpha)
        stopped += int(verdicts.hopeless.sum())
        used.append(np.where(verdicts.hopeless, verdicts.witnesses, clips))
    return stopped / rounds, float(np.median(np.concatenate(used))) / clips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--clips", type=int, default=1_000)
    parser.add_argument("--alpha", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    setting = (a.rounds, a.clips, a.alpha, a.seed)
    print(
        f"{a.rounds} null rounds of {a.clips} clips, looked at after every clip, alpha {a.alpha:g}, seed {a.seed}\n"
    )
    print("| differences per clip | champion falls | by peeking at a z-test |")
    print("| --- | ---: | ---: |")
    for name, draw in (NULL | OUTSIDE).items():
        outside = " (outside the hypothesis)" if name in OUTSIDE else ""
        print(f"| {name}{outside} | {falls(draw, *setting):.2%} | {falls_by_peeking(draw, *setting):.1%} |")
    print(f"\nMedian share of the {a.clips} clips until a verdict, and how often there is one\n")
    print("| deviation per clip | challenger 1 margin better | 2 margins better | equal: hopeless |")
    print("| --- | ---: | ---: | ---: |")
    for spread in (1.0, 2.0, 5.0, 10.0, 20.0):
        cells = [needed(advantage, spread, *setting) for advantage in (1.0, 2.0)] + [hopeless(spread, *setting)]
        print(f"| {spread:g} margins | " + " | ".join(f"{used:.1%} ({won:.0%})" for won, used in cells) + " |")


if __name__ == "__main__":
    main()
