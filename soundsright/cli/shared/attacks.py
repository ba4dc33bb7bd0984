"""`soundsright simulate --attack`: plays attacks and prints what they earn."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.progress_line import ProgressLine

if TYPE_CHECKING:
    from soundsright.core.results import Estimate
    from soundsright.testing.attacks import Attack, Measured

LIST = "list"
ALL = "all"
ROUNDS = 100


def attacks_named(name: str) -> tuple[Attack, ...]:
    """The attack of that name, or all of them.

    Raises:
        UsageError: there is none.
    """
    from soundsright.testing.attacks import ATTACKS, attack_by_name

    return ATTACKS if name == ALL else (attack_by_name(name),)


def list_attacks() -> None:
    """Print the names, with one line about each."""
    from soundsright.testing.attacks import ATTACKS

    width = max(len(attack.name) for attack in ATTACKS)
    for attack in ATTACKS:
        click.echo(f"{attack.name:{width}}  {attack.summary}")


def play_attacks(attacks: Sequence[Attack], *, rules: str, rounds: int, seed: int) -> bool:
    """Play each attack and print a table row for it. Returns whether none of them paid."""
    from soundsright.core.rulesets import ruleset_by_name
    from soundsright.testing.attacks import Arena

    ruleset = ruleset_by_name(rules)
    memory = Path("/dev/shm")
    passed = True
    count = "1 round" if rounds == 1 else f"{rounds} rounds"
    click.echo(f"{count} under {ruleset.name}, in percent of a round's emission, with 95 % intervals\n")
    click.echo(
        "| attack | honest start earns | attack earns | difference | champion loses | others lose | verdict |"
    )
    click.echo("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="soundsright-attack-", dir=memory if memory.is_dir() else None) as name:
        arena = Arena(ruleset, Path(name), seed=seed)
        for attack in attacks:
            with ProgressLine(f"{attack.name}: round {{done}} of {{total}}, {{left}} left") as line:
                measured = arena.measured(attack, rounds=rounds, progress=partial(line, total=rounds))
            click.echo(_row(measured))
            passed = passed and measured.passed
    return passed


def _row(measured: Measured) -> str:
    start = f"{measured.attack.start}: {_text(measured.start)}"
    cells = (
        measured.attack.name,
        start,
        _text(measured.earned),
        _text(measured.gain),
        _text(measured.loss),
        _text(measured.others),
        verdict_of(measured),
    )
    return f"| {' | '.join(cells)} |"


def verdict_of(measured: Measured) -> str:
    """The verdict in words, with what an attacking client found."""
    if measured.broken:
        verdict = f"succeeds: {measured.broken}"
    elif measured.earns_more:
        verdict = "succeeds: it earns more than the honest model"
    elif measured.costs_the_victim:
        verdict = "succeeds: the champion loses"
    else:
        verdict = "does not pay"
    return f"{verdict}; {measured.finding}" if measured.finding else verdict


def _text(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None or estimate.low == estimate.high:
        return f"{estimate.mean:.2f}"
    return f"{estimate.mean:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
