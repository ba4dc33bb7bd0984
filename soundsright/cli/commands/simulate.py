"""`soundsright simulate`: whole rounds with faults, under invariants."""

from __future__ import annotations

import click


@click.command("simulate")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="The first seed.")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1), help="How many seeds, one by one.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Rounds of each seed.")
@click.option("--rules", default="soundsright-v3", show_default=True, help="soundsright-v3 or soundsright-v2.")
@click.option(
    "--plant-mistake",
    is_flag=True,
    help="Let the validators see later commitments as earlier ones: the invariants must notice.",
)
@click.pass_context
def command(context: click.Context, seed: int, seeds: int, rounds: int, rules: str, plant_mistake: bool) -> None:
    """Simulate whole rounds of a made-up subnet, with faults, and check what must always hold.

    Honest, copying, colluding and crashing miners; three validators, each with its own state: one left in peace,
    two that meet failing databases, hubs, engines and chains, and die at recorded steps. Exit code 1 where an
    invariant does not hold; the printed command plays the same again.
    """
    import time

    from soundsright.core.rulesets import ruleset_by_name
    from soundsright.testing.simulation.invariants import INVARIANTS, Violation
    from soundsright.testing.simulation.simulator import BackwardsChain, simulate

    ruleset = ruleset_by_name(rules)
    started = time.monotonic()
    played = restarts = checks = 0
    faults: dict[str, int] = {}
    violations = 0
    for number in range(seed, seed + seeds):
        try:
            if plant_mistake:
                result = simulate(number, rounds=rounds, ruleset=ruleset, chain_view=BackwardsChain)
            else:
                result = simulate(number, rounds=rounds, ruleset=ruleset)
        except Violation as violation:
            violations += 1
            click.echo(str(violation))
            mistake = " --plant-mistake" if plant_mistake else ""
            click.echo(
                f"    again: soundsright simulate --seed {number} --rounds {rounds} --rules {rules}{mistake}"
            )
            continue
        played += result.rounds
        restarts += result.restarts
        checks += result.checks
        for kind, count in result.faults.items():
            faults[kind] = faults.get(kind, 0) + count
        click.echo(
            f"seed {number}: {result.rounds} rounds, {result.entries} entries, {result.refused} refused,"
            f" {result.restarts} restarts, digest {result.digest[:16]}"
        )
    elapsed_s = time.monotonic() - started
    click.echo()
    click.echo("Invariants")
    for invariant in INVARIANTS:
        click.echo(f"  {invariant}")
    told = ", ".join(f"{count} of {kind}" for kind, count in sorted(faults.items())) or "none"
    click.echo(f"Faults: {told}; {restarts} restarts; {checks} checks of an invariant.")
    click.echo(f"{played} rounds in {elapsed_s:.1f} s ({60 * played / max(elapsed_s, 1e-9):.0f} a minute).")
    click.echo(f"{seeds - violations} passed, {violations} failed")
    if violations:
        context.exit(1)
