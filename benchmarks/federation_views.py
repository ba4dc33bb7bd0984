"""Counts the epochs in which honest validators of a federation set different weights, by rule and by failing reads.

    python benchmarks/federation_views.py [--seeds 10] [--epochs 100]

Each seed draws a federation of five to nine validators: one slow, one lying and one equivocating, with partitions,
late blocks, reorganisations, lost writes and restarts. All rules meet the same miners, links and faults. The rules
are those of `soundsright.testing.simulation.FederationRule`:

    own       each counts what it can read now, and keeps the last winner above a fifth of unreadable buckets
    kept      the same, and what it has read before counts too
    views     each decides by the views that were committed, once it has read those that matter
    attested  views count if a majority has stated to have read them
    stated    the same, and all pay the winner that a majority states on the chain

A validator that pays the last winner while another pays a new one disagrees. The second table has the parts of
validators' epochs that end without a decision, and of epochs in which nobody decides if the lying validator
withholds each of its views.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from soundsright.cli.shared.progress_line import ProgressLine
from soundsright.testing.simulation import FederationRule, Lie, SimulatedFederation, simulate_federation

UNREACHABLE = (0.0, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=100)
    arguments = parser.parse_args()
    rules, total = tuple(FederationRule), (len(UNREACHABLE) + 1) * len(FederationRule)
    with ProgressLine("table cell {done} of {total}, {left} left") as line:
        cells: dict[tuple[float, FederationRule], list[SimulatedFederation]] = {}
        withheld: dict[FederationRule, list[SimulatedFederation]] = {}
        for rule in rules:
            for unreachable in UNREACHABLE:
                cells[unreachable, rule] = _simulated(arguments.seeds, arguments.epochs, rule, unreachable)
                line(len(cells) + len(withheld), total)
            withheld[rule] = _simulated(arguments.seeds, arguments.epochs, rule, 0.10, (Lie.WITHHELD,))
    epochs = arguments.seeds * arguments.epochs
    print(f"Epochs of {epochs} in which honest validators pay different winners")
    _print_row("away", [rule.value for rule in rules])
    for unreachable in UNREACHABLE:
        own = [cells[unreachable, rule] for rule in rules]
        away = sum(result.unread for result in own[0]) / sum(result.reads for result in own[0])
        _print_row(f"{away:.1%}", [str(sum(result.disagreements for result in each)) for each in own])
    print("\nValidators' epochs without a decision, and epochs without any if views are withheld")
    _print_row("away", [rule.value for rule in rules])
    for unreachable in UNREACHABLE:
        _print_row(f"{unreachable:.0%}", [f"{_undecided(cells[unreachable, rule]):.1%}" for rule in rules])
    _print_row("withheld", [f"{_stopped(withheld[rule]):.1%}" for rule in rules])


def _simulated(
    seeds: int, epochs: int, rule: FederationRule, unreachable: float, lies: Sequence[Lie] = tuple(Lie)
) -> list[SimulatedFederation]:
    return [
        simulate_federation(seed, epochs=epochs, rule=rule, unreachable=unreachable, lies=lies)
        for seed in range(seeds)
    ]


def _undecided(results: Sequence[SimulatedFederation]) -> float:
    epochs = [epoch for result in results for epoch in result.epochs]
    return sum(epoch.holding for epoch in epochs) / sum(epoch.honest for epoch in epochs)


def _stopped(results: Sequence[SimulatedFederation]) -> float:
    epochs = [epoch for result in results for epoch in result.epochs]
    return sum(epoch.holding == epoch.honest for epoch in epochs) / len(epochs)


def _print_row(name: str, cells: Sequence[str]) -> None:
    print(f"{name:<9}" + "".join(f"{cell:>10}" for cell in cells))


if __name__ == "__main__":
    main()
