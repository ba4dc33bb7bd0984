"""Counts the epochs that validators who lie together decide, and how often a better challenger takes the place.

    python benchmarks/federation_liars.py [--seeds 6] [--epochs 80] [--windows 200]

In the first table nothing fails, and every verdict of a liar says that the same miner is nearly perfect. An epoch
counts if it pays a winner whom nobody would pay if all scores were honest.

In the second one a challenger is better than the incumbent by a part of the noise of a task, over windows of 100
tasks. The liars say that it is at the floor of each metric. The table has the part of windows in which it takes the
place.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from soundsright.cli.shared.progress_line import ProgressLine
from soundsright.core.competition import PUBLISHED
from soundsright.core.federation import JudgedRow, Verdict, rounded_means
from soundsright.core.federation_rules import FederationRules
from soundsright.core.rulesets import SOUNDSRIGHT_V5
from soundsright.core.sources import ModelRef
from soundsright.metrics import floors
from soundsright.ranking import FederationReason, federation_decisions
from soundsright.testing.simulation import simulate_federation

VALIDATORS = (5, 7, 9, 10)
LIARS = (1, 2, 3)
LEADS = (0.25, 0.5, 1.0)
NOISE = 0.05
TASKS = 100
COMPETITION = PUBLISHED[0]
RULES = FederationRules(competitions=(COMPETITION.id,))
FLOORS = floors(sorted(COMPETITION.metric_weights))
UNPROCESSED = {"ESTOI": 0.6, "PESQ_WB": 1.8}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--windows", type=int, default=200)
    arguments = parser.parse_args()
    cells = [(liars, count) for liars in LIARS for count in VALIDATORS if 2 * liars < count]
    misled: dict[tuple[int, int], int] = {}
    with ProgressLine("table cell {done} of {total}, {left} left") as line:
        for liars, count in cells:
            misled[liars, count] = _misled(count, liars, arguments.seeds, arguments.epochs)
            line(len(misled), len(cells))
    print(f"Epochs of {arguments.seeds * arguments.epochs} that liars decide")
    _print_row("liars", [f"of {count}" for count in VALIDATORS])
    for liars in LIARS:
        _print_row(str(liars), [str(misled.get((liars, count), "majority")) for count in VALIDATORS])
    print("\nWindows in which a better challenger takes the place")
    _print_row("liars", [f"{lead:g}/{count}" for lead in LEADS for count in VALIDATORS])
    for liars in (0, *LIARS):
        own = [
            f"{_taken(count, liars, lead, arguments.windows):.0%}" if 2 * liars < count else "-"
            for lead in LEADS
            for count in VALIDATORS
        ]
        _print_row(str(liars), own)


def _misled(validators: int, liars: int, seeds: int, epochs: int) -> int:
    results = [
        simulate_federation(
            seed, epochs=epochs, unreachable=0.0, faults=False, validators=validators, colluders=liars
        )
        for seed in range(seeds)
    ]
    return sum(bool(epoch.misled) for result in results for epoch in result.epochs)


def _taken(validators: int, liars: int, lead: float, windows: int) -> float:
    taken = 0
    for number in range(windows):
        verdicts = _window(np.random.default_rng(number), validators, liars, lead)
        decision = federation_decisions(
            RULES,
            SOUNDSRIGHT_V5,
            PUBLISHED,
            verdicts,
            {COMPETITION.id: "incumbent"},
            epoch_block=100_000,
            floors=FLOORS,
        )[COMPETITION.id]
        taken += decision.reason is FederationReason.TAKEN
    return taken / windows


def _window(rng: np.random.Generator, validators: int, liars: int, lead: float) -> list[Verdict]:
    verdicts = []
    for task in range(TASKS):
        noise = rng.normal(0, NOISE / np.sqrt(2), 2)
        qualities = {"challenger": 0.5 + lead * NOISE + noise[1], "incumbent": 0.5 + noise[0]}
        rows = [_row(hotkey, number, quality) for number, (hotkey, quality) in enumerate(qualities.items())]
        if task % validators < liars:
            rows[0] = _row("challenger", 0, None)
        verdicts.append(_verdict(task, f"validator{task % validators:02}", rows))
    return verdicts


def _row(hotkey: str, number: int, quality: float | None) -> JudgedRow:
    means = {name: FLOORS[name] for name in UNPROCESSED}
    if quality is not None:
        means = {"ESTOI": 0.6 + 0.2 * quality, "PESQ_WB": 1.8 + 1.2 * quality}
    model = ModelRef(hotkey, "model", f"{number:040x}")
    return JudgedRow(
        COMPETITION.id, hotkey, number, model, number, quality is not None, 0, rounded_means(means), "0" * 64
    )


def _verdict(task: int, validator: str, rows: Sequence[JudgedRow]) -> Verdict:
    digest = f"{task:064x}"
    sets, unprocessed = {COMPETITION.id: digest}, {COMPETITION.id: UNPROCESSED}
    return Verdict(task, validator, task * 100, digest, digest, digest, sets, unprocessed, tuple(rows))


def _print_row(name: str, cells: Sequence[str]) -> None:
    print(f"{name:<9}" + "".join(f"{cell:>10}" for cell in cells))


if __name__ == "__main__":
    main()
