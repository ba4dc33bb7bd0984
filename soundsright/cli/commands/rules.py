"""`soundsright rules`: show, simulate and check the rules that decide prizes."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.cli.shared.options import ANY_PATH, option

MAX_VECTORS_BYTES = 64_000_000

_rules_argument = click.argument("rules", default="soundsright-v5")


@click.group("rules")
def command() -> None:
    """Show, simulate and check the rules that decide prizes.

    \b
    soundsright rules show
    soundsright rules simulate competition.toml
    """


@command.command("show")
@_rules_argument
@option("--json", "as_json", is_flag=True, help="Print only the canonical JSON whose digest identifies the rules.")
@option("--begun", is_flag=True, help="Accept a first day in the past: the competition has started.")
@option(
    "--table",
    type=click.Choice(("ruleset", "emission", "executor", "federation", "tiers")),
    default="ruleset",
    help="The table of the organiser's file that --json prints.",
)
def show(rules: str, as_json: bool, begun: bool, table: str) -> None:
    """Explain the rules number by number, with their digest.

    \b
    soundsright rules show soundsright-v5
    soundsright rules show competition.toml
    soundsright rules show competition.toml --json --table emission

    RULES is soundsright-v5 (the default), soundsright-v4, -v3 or -v2, or an organiser's TOML file. A file is
    checked too. Its tables [emission], [executor], [federation] and [tiers] have digests of their
    own.
    """
    from soundsright.library import organiser_of
    from soundsright.rules import competitions_text, entries_text, explained, system_rules, systems_text

    organiser = organiser_of(rules, begun=begun)
    if as_json:
        shown = organiser.ruleset if table == "ruleset" else system_rules(organiser, table)
        click.echo(shown.canonical_json)
        return
    click.echo(explained(organiser.ruleset))
    click.echo()
    click.echo(competitions_text(organiser.competitions, organiser.schedule))
    click.echo()
    click.echo(entries_text(organiser))
    click.echo()
    click.echo(systems_text(organiser))


@command.command("simulate")
@_rules_argument
@option("--entries", default=6, type=click.IntRange(1, 256), help="Number of entries.")
@option("--clips", default=100, type=click.IntRange(2, 5_000), help="Number of clips in the set.")
@option("--seed", default=0, type=click.IntRange(0), help="Seed of the random scores.")
def simulate(rules: str, entries: int, clips: int, seed: int) -> None:
    """Try the rules on one round of random scores.

    \b
    soundsright rules simulate competition.toml --entries 8

    RULES is soundsright-v5 (the default), soundsright-v4, -v3 or -v2, or an organiser's TOML file. The command
    shows each decision with its evidence, and what everybody is paid.
    """
    from soundsright.library import organiser_of
    from soundsright.ranking import trial_round
    from soundsright.rules import leaderboard_text, systems_text

    organiser = organiser_of(rules, begun=True)
    for competition in organiser.competitions:
        board = trial_round(competition, organiser.ruleset, entries=entries, clips=clips, seed=seed)
        click.echo(leaderboard_text(board))
        click.echo()
    if not organiser.emission.is_default:
        click.echo(systems_text(organiser))


@command.command("check")
@click.argument("vectors", type=ANY_PATH)
@option("--rules", default="soundsright-v2", help="Name of a ruleset, or an organiser's TOML file.")
@click.pass_context
def check(context: click.Context, vectors: Path, rules: str) -> None:
    """Compare the rules with a file of worked examples.

    \b
    soundsright rules check tests/golden/published_rules.json --rules soundsright-v2
    soundsright rules check tests/golden/systems.json

    VECTORS is a JSON file in the form of tests/golden/published_rules.json, or of tests/golden/systems.json. The
    examples of the second form name their rules, so --rules does not matter there. The exit code is 1 if an example
    differs.
    """
    from soundsright.core.text_files import json_value, text_of_file
    from soundsright.library import organiser_of
    from soundsright.rules import check_vectors

    remedy = "Give a JSON file of worked examples."
    examples = json_value(text_of_file(vectors, MAX_VECTORS_BYTES, remedy), str(vectors), remedy)
    checks = check_vectors(organiser_of(rules, begun=True).ruleset, examples)
    failed = [example for example in checks if not example.passed]
    for example in failed:
        click.echo(f"{example.title}: expected {example.expected}, got {example.got}")
    click.echo(f"{len(checks) - len(failed)} passed, {len(failed)} failed")
    if failed:
        context.exit(1)
