"""Prints a simulation of the executor's system: what each period paid, and whether the validators agreed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from soundsright.testing.simulation import SimulatedImages

ROUNDS = 20


def simulate_image_rounds(*, seed: int, seeds: int, rounds: int, plant_mistake: bool) -> bool:
    """Simulate the executor's system for each seed and print it. Returns whether all invariants hold."""
    import logging

    from soundsright.testing.simulation import Violation, reversed_order, simulate_images

    logging.getLogger("soundsright").addHandler(logging.NullHandler())  # Planted faults are not shown as warnings.
    started_s = time.monotonic()
    results: list[SimulatedImages] = []
    violations = 0
    for number in range(seed, seed + seeds):
        try:
            if plant_mistake:
                result = simulate_images(number, rounds=rounds, order_view=reversed_order)
            else:
                result = simulate_images(number, rounds=rounds)
        except Violation as violation:
            violations += 1
            mistake = " --plant-mistake" if plant_mistake else ""
            click.echo(str(violation))
            click.echo(
                f"    again: soundsright simulate --system executor --seed {number} --rounds {rounds}{mistake}"
            )
            continue
        results.append(result)
        if seeds == 1:
            _print_periods(result)
        click.echo(
            f"seed {number}: {len(result.periods)} periods, {result.published} rounds published,"
            f" {result.submitted} images submitted, {result.restarts} restarts, digest {result.digest[:16]}"
        )
    _print_totals(results, violations)
    periods, lasted_s = sum(len(result.periods) for result in results), time.monotonic() - started_s
    click.echo(f"{periods} periods in {lasted_s:.1f} s.")
    if plant_mistake and not violations:
        click.echo("The planted mistake changed no payment, so nothing could notice it. Simulate more --rounds.")
    click.echo(f"{seeds - violations} passed, {violations} failed")
    return not violations


def _print_periods(result: SimulatedImages) -> None:
    click.echo(
        f"{'period':>6}  {'fault':<22}{'paid by round':<15}{'images':>6}  {'paid':<6}{'burned':>7}  validators"
    )
    for period in result.periods:
        agree = "apart" if period.is_apart else "agree"
        click.echo(
            f"{period.number:>6}  {period.fault or '-':<22}{period.round_id or '-':<15}{period.images:>6}"
            f"  {period.paid or '-':<6}{period.burned:>7.0%}  {agree}"
        )
    click.echo()


def _print_totals(results: Sequence[SimulatedImages], violations: int) -> None:
    from soundsright.testing.simulation import IMAGE_INVARIANTS

    periods = [period for result in results for period in result.periods]
    faults = Counter[str]()
    for result in results:
        faults.update(result.faults)
    click.echo()
    click.echo("Invariants")
    for invariant in IMAGE_INVARIANTS:
        click.echo(f"  {invariant}")
    paid = Counter(period.paid for period in periods if period.paid)
    click.echo(
        "Periods in which each was paid: " + (", ".join(f"{h} {n}" for h, n in paid.most_common()) or "none")
    )
    burned = sum(period.burned for period in periods) / max(1, len(periods))
    click.echo(f"Burned: {burned:.1%} of all; in {sum(p.burned == 1 for p in periods)} periods everything.")
    struck = ", ".join(f"{count} of {fault}" for fault, count in sorted(faults.items())) or "none"
    click.echo(f"Faults: {struck}; {sum(result.checks for result in results)} checks of an invariant.")
    click.echo(
        f"Disagreements between validators: {violations}. Apart at the end of a period, because one of them read at"
        f" another block: {sum(result.apart for result in results)} of {len(periods)} periods."
    )
