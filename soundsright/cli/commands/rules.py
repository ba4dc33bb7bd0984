"""`soundsright rules`: show a ruleset, try it, and hold it against worked examples."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.core.errors import UsageError
from soundsright.library import organiser_of as organiser_of

MAX_VECTORS_BYTES = 64_000_000


@click.group("rules")
def command() -> None:
    """The rules of payment: show them, try them, check them."""


_RULES = click.argument("rules", default="soundsright-v3")
ruleset_option = click.option(
    "--ruleset",
    default="soundsright-v3",
    show_default=True,
    envvar="SOUNDSRIGHT_RULESET",
    show_envvar=True,
    help="soundsright-v3, soundsright-v2, or an organiser's TOML file (see docs/reference/rules.md).",
)


@command.command("show")
@_RULES
@click.option("--json", "as_json", is_flag=True, help="Only the canonical JSON that the digest is taken over.")
@click.option("--begun", is_flag=True, help="The competition is under way: its first day may have passed.")
def show(rules: str, as_json: bool, begun: bool) -> None:
    """Explain rules, number by number, with their digest.

    RULES is soundsright-v3 (the default), soundsright-v2, or an organiser's TOML file, which is checked on the way.
    """
    from soundsright.rules import competitions_text, entries_text, explained

    organiser = organiser_of(rules, begun=begun)
    if as_json:
        click.echo(organiser.ruleset.canonical_json)
        return
    click.echo(explained(organiser.ruleset))
    click.echo()
    click.echo(competitions_text(organiser.competitions, organiser.schedule))
    click.echo()
    click.echo(entries_text(organiser))


@command.command("simulate")
@_RULES
@click.option("--entries", default=6, show_default=True, type=click.IntRange(1, 256), help="Entries of the round.")
@click.option("--clips", default=100, show_default=True, type=click.IntRange(2, 5_000), help="Clips of the set.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the drawn scores.")
def simulate(rules: str, entries: int, clips: int, seed: int) -> None:
    """Try rules on one round of drawn scores: each decision with its evidence, and what everybody is paid.

    RULES is soundsright-v3 (the default), soundsright-v2, or an organiser's TOML file.
    """
    from soundsright.ranking import trial_round
    from soundsright.rules import leaderboard_text

    organiser = organiser_of(rules, begun=True)
    for competition in organiser.competitions:
        board = trial_round(competition, organiser.ruleset, entries=entries, clips=clips, seed=seed)
        click.echo(leaderboard_text(board))
        click.echo()


@command.command("check")
@click.argument("vectors", type=click.Path(path_type=Path))
@click.option(
    "--rules", default="soundsright-v2", show_default=True, help="A ruleset, or an organiser's TOML file."
)
@click.pass_context
def check(context: click.Context, vectors: Path, rules: str) -> None:
    """Hold rules against a file of worked examples; exit code 1 where one differs.

    VECTORS is a JSON file of the form of tests/golden/published_rules.json.
    """
    import json

    from soundsright.library import text_of_file
    from soundsright.rules import check_vectors

    text = text_of_file(vectors, MAX_VECTORS_BYTES)
    try:
        examples = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{vectors} is not JSON: {error}", "Name a JSON file of worked examples.") from error
    checks = check_vectors(organiser_of(rules, begun=True).ruleset, examples)
    failed = [one for one in checks if not one.passed]
    for one in failed:
        click.echo(f"{one.title}: expected {one.expected}, got {one.got}")
    click.echo(f"{len(checks) - len(failed)} passed, {len(failed)} failed")
    if failed:
        context.exit(1)
