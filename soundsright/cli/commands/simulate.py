"""`soundsright simulate`: simulate rounds with planted faults and check the invariants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from soundsright.cli.shared.options import option
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.testing.simulation import Simulated


@dataclass
class _Totals:
    """Sums over the simulated seeds."""

    rounds: int = 0
    restarts: int = 0
    checks: int = 0
    violations: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, result: Simulated) -> None:
        self.rounds += result.rounds
        self.restarts += result.restarts
        self.checks += result.checks
        self.faults.update(result.faults)


@click.command("simulate")
@option("--seed", default=0, type=click.IntRange(0), help="The first seed.")
@option("--seeds", default=1, type=click.IntRange(1), help="Number of seeds, counted up from --seed.")
@option(
    "--rounds",
    type=click.IntRange(1),
    help="Rounds per seed. [default: 5, of images 20, with --attack 100; 300 epochs; 7300 intervals]",
)
@option(
    "--system",
    type=click.Choice(["competitions", "executor", "federation", "tiers"]),
    default="competitions",
    help="What to simulate: rounds of models, the executor's rounds of images, a federation's epochs, or"
    " a year of tiers.",
)
@option("--rules", default="soundsright-v5", help="soundsright-v5, -v4, -v3 or -v2.")
@option(
    "--plant-mistake",
    is_flag=True,
    help="Show validators later commitments as earlier ones, let one rank images backwards, let one of a"
    " federation count what it has read itself, or count attempts twice: it must be noticed.",
)
@option("--attack", help="Play this attack and measure what it earns: its name, `all`, or `list` for the names.")
@click.pass_context
def command(
    context: click.Context,
    seed: int,
    seeds: int,
    rounds: int | None,
    system: str,
    rules: str,
    plant_mistake: bool,
    attack: str | None,
) -> None:
    """Simulate rounds with planted faults and check the invariants, or measure what an attack earns.

    \b
    soundsright simulate --seeds 20 --rounds 10
    soundsright simulate --system executor --rounds 30
    soundsright simulate --system federation --rounds 500
    soundsright simulate --attack list
    soundsright simulate --attack parrot

    The made-up subnet has honest, copying, colluding and crashing miners, and three validators with a state each.
    Two of the validators meet failing databases, hubs, engines and chains, and are killed at recorded steps. The
    exit code is 1 if an invariant is violated. The output then has the command that repeats it.

    With --system executor, a coordinator, an executor and three validators run on imitated images. Blocks come
    late, services are away, killed or restarted, old results come again, and validators read at different blocks.
    The table says who was paid in each period of blocks, how much burned, and whether the validators agree.

    With --system federation, five to nine validators judge in turn. One is slow, one lies and one signs two
    verdicts of a task. A tenth of all reads fail, and blocks come late or are undone. The totals say how often
    honest validators set different weights. The exit code is also 1 if that is more than once, and in more than one
    epoch in a thousand.

    With --system tiers, a verifier asks honest, slow, flaky and false provers for a year. It is the simulation of
    `soundsright tiers simulate`.

    With --attack, real enhancers enter real rounds, and one of them cheats. An older ruleset in --rules plays the
    attack on public recordings without variation. The exit code is 1 if the attack pays.
    """
    if system != "competitions":
        if attack is not None:
            raise UsageError("--attack plays competitions", f"Leave out --system {system}.")
        if context.get_parameter_source("rules") is not ParameterSource.DEFAULT:
            raise UsageError("--rules is for competitions", f"Leave out --system {system} or --rules.")
        if not _simulate_system(system, seed, seeds, rounds, plant_mistake):
            context.exit(1)
        return
    if attack is None:
        _simulate(context, seed, seeds, rounds or 5, rules, plant_mistake)
        return
    from soundsright.cli.shared.attacks import LIST, ROUNDS, attacks_named, list_attacks, play_attacks

    if attack == LIST:
        list_attacks()
    elif not play_attacks(attacks_named(attack), rules=rules, rounds=rounds or ROUNDS, seed=seed):
        context.exit(1)


def _simulate_system(system: str, seed: int, seeds: int, rounds: int | None, plant_mistake: bool) -> bool:
    """Simulate a system beside the competitions. Returns whether it passed."""
    if system == "executor":
        from soundsright.cli.shared.image_simulation import ROUNDS, simulate_image_rounds

        return simulate_image_rounds(seed=seed, seeds=seeds, rounds=rounds or ROUNDS, plant_mistake=plant_mistake)
    if system == "tiers":
        from soundsright.cli.shared.tiers_simulation import simulate_ladders
        from soundsright.core.tiers_rules import tiers_rules

        return simulate_ladders(
            seed=seed, seeds=seeds, intervals=rounds, rules=tiers_rules(), plant_mistake=plant_mistake
        )
    from soundsright.cli.shared.federation_simulation import EPOCHS, simulate_federations

    return simulate_federations(seed=seed, seeds=seeds, epochs=rounds or EPOCHS, plant_mistake=plant_mistake)


def _simulate(context: click.Context, seed: int, seeds: int, rounds: int, rules: str, plant_mistake: bool) -> None:
    """Simulate rounds with planted faults."""
    import time

    from soundsright.core.rulesets import ruleset_by_name
    from soundsright.testing.simulation import BackwardsChain, Violation, simulate

    ruleset = ruleset_by_name(rules)

    def simulated(number: int) -> Simulated:
        if plant_mistake:
            return simulate(number, rounds=rounds, ruleset=ruleset, chain_view=BackwardsChain)
        return simulate(number, rounds=rounds, ruleset=ruleset)

    started = time.monotonic()
    totals = _Totals()
    for number in range(seed, seed + seeds):
        try:
            _run_seed(number, simulated, totals)
        except Violation as violation:
            totals.violations += 1
            mistake = " --plant-mistake" if plant_mistake else ""
            click.echo(str(violation))
            click.echo(
                f"    again: soundsright simulate --seed {number} --rounds {rounds} --rules {rules}{mistake}"
            )
    _print_totals(totals, seeds, time.monotonic() - started)
    if totals.violations:
        context.exit(1)


def _run_seed(number: int, simulated: Callable[[int], Simulated], totals: _Totals) -> None:
    result = simulated(number)
    totals.add(result)
    click.echo(
        f"seed {number}: {result.rounds} rounds, {result.entries} entries, {result.refused} refused,"
        f" {result.restarts} restarts, digest {result.digest[:16]}"
    )


def _print_totals(totals: _Totals, seeds: int, elapsed_s: float) -> None:
    from soundsright.testing.simulation import INVARIANTS

    click.echo()
    click.echo("Invariants")
    for invariant in INVARIANTS:
        click.echo(f"  {invariant}")
    faults = ", ".join(f"{count} of {kind}" for kind, count in sorted(totals.faults.items())) or "none"
    click.echo(f"Faults: {faults}; {totals.restarts} restarts; {totals.checks} checks of an invariant.")
    rate = 60 * totals.rounds / max(elapsed_s, 1e-9)
    click.echo(f"{totals.rounds} rounds in {elapsed_s:.1f} s ({rate:.0f} a minute).")
    click.echo(f"{seeds - totals.violations} passed, {totals.violations} failed")
