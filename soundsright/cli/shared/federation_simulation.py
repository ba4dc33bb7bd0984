"""Prints a simulation of a federation: how often its honest validators disagree, or do not decide."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.progress_line import ProgressLine

if TYPE_CHECKING:
    from soundsright.testing.simulation import SimulatedFederation

EPOCHS = 300


def simulate_federations(*, seed: int, seeds: int, epochs: int, plant_mistake: bool) -> bool:
    """Simulate a federation for each seed and print it.

    Returns whether all invariants hold, and at most one epoch, or one in a thousand, has a disagreement.
    """
    from soundsright.testing.simulation import MOST_DISAGREEMENTS, Violation, simulate_federation

    started_s, done, violations = time.monotonic(), 0, 0
    results: list[SimulatedFederation] = []
    with ProgressLine("epoch {done} of {total}, {left} left") as line:

        def tick() -> None:
            nonlocal done
            done += 1
            line(done, seeds * epochs)

        for number in range(seed, seed + seeds):
            try:
                result = simulate_federation(number, epochs=epochs, plant_mistake=plant_mistake, tick=tick)
            except Violation as violation:
                violations += 1
                click.echo(str(violation))
                options = f"--seed {number} --rounds {epochs}" + (" --plant-mistake" if plant_mistake else "")
                click.echo(f"    again: soundsright simulate --system federation {options}")
                continue
            results.append(result)
            _print_federation(number, result)
    simulated = sum(len(result.epochs) for result in results)
    disagreements = sum(result.disagreements for result in results)
    _print_totals(results)
    click.echo(f"{simulated} epochs in {time.monotonic() - started_s:.1f} s.")
    if plant_mistake and not violations:
        click.echo("The planted mistake changed no decision, so nothing could notice it. Simulate more --rounds.")
    click.echo(f"{seeds - violations} passed, {violations} failed")
    return not violations and disagreements <= max(1.0, simulated * MOST_DISAGREEMENTS)


def _print_federation(seed: int, result: SimulatedFederation) -> None:
    holding = sum(epoch.holding for epoch in result.epochs) / sum(epoch.honest for epoch in result.epochs)
    click.echo(
        f"seed {seed}: {result.validators} validators, {len(result.epochs)} epochs, {result.changes} new winners,"
        f" {result.disagreements} disagreements, {holding:.1%} undecided, digest {result.digest[:16]}"
    )


def _print_totals(results: Sequence[SimulatedFederation]) -> None:
    from soundsright.testing.simulation import FEDERATION_INVARIANTS

    epochs = [epoch for result in results for epoch in result.epochs]
    faults = sum((result.faults for result in results), Counter[str]())
    click.echo()
    click.echo("Invariants")
    for invariant in FEDERATION_INVARIANTS:
        click.echo(f"  {invariant}")
    struck = ", ".join(f"{count} of {name}" for name, count in sorted(faults.items())) or "none"
    click.echo(f"Faults: {struck}; {sum(result.checks for result in results)} checks of an invariant.")
    reads, unread = sum(result.reads for result in results), sum(result.unread for result in results)
    click.echo(f"Buckets away: {unread / max(1, reads):.1%} of all reads.")
    some, none = sum(0 < e.holding < e.honest for e in epochs), sum(e.holding == e.honest for e in epochs)
    click.echo(
        f"Epochs with disagreements between honest validators: {sum(epoch.disagrees for epoch in epochs)} of"
        f" {len(epochs)}. Some did not decide in {some} epochs, and nobody decided in {none}."
    )
    misled, favoured = sum(bool(e.misled) for e in epochs), sum(bool(e.favoured) for e in epochs)
    click.echo(
        f"Epochs that pay a winner whom nobody would pay if all scores were honest: {misled} of {len(epochs)}, and"
        f" in {favoured} of them a verdict has lied for the winner."
    )
