"""`soundsright tiers simulate`: a year of the ladder in seconds."""

from __future__ import annotations

import click

from soundsright.cli.shared.options import option
from soundsright.core.errors import UsageError
from soundsright.core.profiles import Profile


@click.command("simulate")
@option("--seed", default=0, type=click.IntRange(0), help="The first seed.")
@option("--seeds", default=1, type=click.IntRange(1), help="Number of seeds, counted up from --seed.")
@option(
    "--intervals",
    type=click.IntRange(1, 1_000_000),
    help="Number of intervals of 360 blocks. [default: 7300, a year]",
)
@option(
    "--profile",
    type=click.Choice([profile.value for profile in Profile]),
    help="Whose rules. [default: soundsright]",
)
@option("--rules", help="An organiser's TOML file with a table [tiers].")
@option("--plant-mistake", is_flag=True, help="Count without keys, so that a fault counts twice: it is noticed.")
@click.pass_context
def command(
    context: click.Context,
    seed: int,
    seeds: int,
    intervals: int | None,
    profile: str | None,
    rules: str | None,
    plant_mistake: bool,
) -> None:
    """Simulate a year of tiers in seconds and check the invariants.

    \b
    soundsright tiers simulate
    soundsright tiers simulate --profile doc
    soundsright tiers simulate --rules competition.toml --intervals 2000

    One verifier asks a prover of each kind: honest, with another thread count, with power cuts, flaky, slow; and
    some that do not serve their model: they return the input, a louder copy, a better model, or the answers of
    another prover. The verifier is killed now and then before or after it counts or closes an interval. The table
    says where each ends, and what it is paid. The exit code is 1 if an invariant is violated.

    The answers are verified on real signals. With --profile doc you see that cosines of outputs cannot tell them
    apart.
    """
    from soundsright.cli.shared.tiers_simulation import simulate_ladders
    from soundsright.core.tiers_rules import tiers_rules

    if rules is not None and profile is not None:
        raise UsageError("--rules names a profile of its own", "Leave out --rules or --profile.")
    if rules is not None:
        from soundsright.library import organiser_of

        organiser = organiser_of(rules, begun=True)
        if organiser.tiers is None:
            raise UsageError(f"{rules} has no table [tiers]", "Add [tiers], or leave out --rules.")
        chosen, options = organiser.tiers, f" --rules {rules}"
    else:
        chosen = tiers_rules(Profile(profile or Profile.SOUNDSRIGHT))
        options = f" --profile {profile}" if profile else ""
    if not simulate_ladders(
        seed=seed, seeds=seeds, intervals=intervals, rules=chosen, options=options, plant_mistake=plant_mistake
    ):
        context.exit(1)
