"""Prints a simulation of tiers: where each kind of prover is after a year, and what it is paid."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.progress_line import ProgressLine
from soundsright.core.profiles import Profile

if TYPE_CHECKING:
    from soundsright.core.tiers_rules import TiersRules
    from soundsright.testing.simulation import SimulatedProver, SimulatedTiers

_BLOCKS_OF_A_DAY = 7_200


def simulate_ladders(
    *, seed: int, seeds: int, intervals: int | None, rules: TiersRules, options: str = "", plant_mistake: bool
) -> bool:
    """Simulate a ladder for each seed and print it. Returns whether all invariants hold.

    `intervals` of None stands for a year. `options` are those of the command that chose the rules.
    """
    from soundsright.testing.simulation import INTERVALS_OF_A_YEAR, Violation, simulate_tiers

    intervals = intervals or INTERVALS_OF_A_YEAR
    started_s, done = time.monotonic(), 0
    results: list[SimulatedTiers] = []
    with ProgressLine("interval {done} of {total}, {left} left") as line:

        def tick() -> None:
            nonlocal done
            done += 1
            line(done, seeds * intervals)

        for number in range(seed, seed + seeds):
            try:
                result = simulate_tiers(
                    number, intervals=intervals, rules=rules, plant_mistake=plant_mistake, tick=tick
                )
            except Violation as violation:
                click.echo(str(violation))
                again = f"--seed {number} --intervals {intervals}{options}"
                click.echo(f"    again: soundsright tiers simulate {again}{' --plant-mistake' * plant_mistake}")
                continue
            results.append(result)
            _print_ladder(number, result)
    _print_totals(rules, results, time.monotonic() - started_s)
    failed = seeds - len(results)
    if plant_mistake and not failed:
        click.echo("The planted mistake changed no count, so nothing could notice it. Simulate more intervals.")
    click.echo(f"{len(results)} passed, {failed} failed")
    return not failed


def _print_ladder(seed: int, result: SimulatedTiers) -> None:
    days = result.intervals * result.rules.interval_blocks / _BLOCKS_OF_A_DAY
    click.echo(
        f"seed {seed}: {result.intervals} intervals ({days:.0f} days), profile {result.rules.profile},"
        f" {result.attempts} attempts, digest {result.digest[:16]}"
    )
    click.echo(
        f"  {'prover':<20}{'tier':<13}{'mostly':<13}{'Challenger':>11}{'from day':>10}{'falls':>7}"
        f"{'successes':>11}{'score':>8}{'weight':>8}"
    )
    for prover in sorted(result.provers, key=lambda one: -one.standing.score):
        click.echo(_row(prover, result))
    click.echo()


def _row(prover: SimulatedProver, result: SimulatedTiers) -> str:
    (mostly, _), highest = prover.stays.most_common(1)[0], "Challenger"
    first = prover.first.get(highest)
    day = "-" if first is None else f"{first * result.rules.interval_blocks / _BLOCKS_OF_A_DAY:.1f}"
    return (
        f"  {prover.kind.name:<20}{prover.standing.tier:<13}{mostly:<13}"
        f"{prover.stays[highest] / result.intervals:>11.2%}{day:>10}{prover.falls:>7}"
        f"{prover.successes / prover.attempts:>11.2%}{prover.standing.score:>8.3f}{prover.weight:>8.2%}"
    )


def _print_totals(rules: TiersRules, results: Sequence[SimulatedTiers], elapsed_s: float) -> None:
    from soundsright.testing.simulation import TIERS_INVARIANTS

    click.echo("Invariants")
    for number, invariant in enumerate(TIERS_INVARIANTS):
        holds = rules.profile is Profile.SOUNDSRIGHT or number not in (0, 1, 5)
        click.echo(f"  {invariant}{'' if holds else f' (not asked of the profile {rules.profile})'}")
    faults = sum((result.faults for result in results), Counter[str]())
    struck = ", ".join(f"{count} intervals {name}" for name, count in sorted(faults.items())) or "none"
    click.echo(f"Faults: {struck}; {sum(result.checks for result in results)} checks of an invariant.")
    click.echo(f"{sum(result.intervals for result in results)} intervals in {elapsed_s:.1f} s.")
