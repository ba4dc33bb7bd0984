"""A validator's side of the executor: the clients of its two services, and the system that pays its images."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from soundsright.core.errors import UsageError
from soundsright.core.ss58 import is_address

if TYPE_CHECKING:
    from soundsright.cli.shared.executor_services import ServiceHotkeys
    from soundsright.config import ValidatorSettings
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.emission import EmissionRules
    from soundsright.core.material import Material
    from soundsright.core.ports import Account, ScoreTable, SubmissionBoard
    from soundsright.core.schedule import Schedule
    from soundsright.services.executor import ExecutorSubsystem, Redrawing
    from soundsright.services.validator import PaymentContext

EXECUTOR = "executor"


def check_burn_hotkey(settings: ValidatorSettings) -> None:
    """Check that BURN_HOTKEY is an address or empty.

    Raises:
        UsageError: it is not.
    """
    if settings.burn_hotkey and not is_address(settings.burn_hotkey):
        raise UsageError(
            f"BURN_HOTKEY {settings.burn_hotkey[:60]!r} is not an address", "Give the SS58 address of a hotkey."
        )


def check_services(settings: ValidatorSettings, emission: EmissionRules) -> None:
    """Check that the executor's services are given if it has a share of the emission.

    Raises:
        UsageError: SUBNET_API_URL is empty.
    """
    share = emission.paying.get(EXECUTOR)
    if share is not None and not settings.subnet_api_url:
        raise UsageError(
            f"[emission] of {settings.soundsright_ruleset} gives the executor a share of {share:g}, and"
            " SUBNET_API_URL is empty",
            "Set it to the address of the organiser's coordinator, such as http://10.0.0.7:9001.",
        )


def warn_of_no_share(source: str, emission: EmissionRules) -> None:
    """Say on stderr that no validator pays for images, if the executor has no share of the emission."""
    if EXECUTOR not in emission.paying:
        click.echo(
            f"Warning: [emission] of {source} gives the executor no share, so no validator pays for images. Add"
            " `executor = 1.0`, or a smaller share, to [emission] of the organiser's file.",
            err=True,
        )


def executor_subsystems(
    settings: ValidatorSettings,
    organiser: CompetitionRules,
    context: PaymentContext,
    material: Material,
    schedule: Schedule,
) -> tuple[ExecutorSubsystem, ...]:
    """The executor's system, if it has a share of the emission. Its services are first called in a tick.

    `material` is what this validator draws the executor's sets from, to check them. `schedule` is that of the
    ordinary rounds, which decide on the recordings of a private corpus.

    Raises:
        UsageError: SUBNET_API_URL is empty, or a service has no hotkey.
        ChainUnavailable: the chain does not answer.
    """
    if EXECUTOR not in organiser.emission.paying:
        return ()
    check_services(settings, organiser.emission)
    from soundsright.adapters.peers import valid_signature
    from soundsright.cli.shared.executor_services import ServiceHotkeys
    from soundsright.core.executor_rules import ExecutorRules
    from soundsright.services.executor import ExecutorSubsystem, ResultsCheck, SeenRounds, SignedOrder

    if context.records is None:
        raise ValueError("the executor's system needs the records of the state")
    hotkeys = ServiceHotkeys(settings, context.chain)
    board, table = executor_clients(settings, hotkeys, context.account)
    check = ResultsCheck(
        organiser,
        context.chain,
        material,
        settings.soundsright_pay_on_public_corpus,
        schedule,
        _redrawing(settings),
    )
    seen = SeenRounds(context.records)
    order = SignedOrder(table, hotkeys.executor, organiser, valid_signature, check, seen)
    rules = organiser.executor or ExecutorRules()
    return (
        ExecutorSubsystem(
            board, table, rules, clock=context.clock, health=context.health, order=order, records=context.records
        ),
    )


def _redrawing(settings: ValidatorSettings) -> Redrawing:
    """The means to draw the executor's sets. The workers run only while a set is checked."""
    from soundsright.adapters.machine import ProcessPool
    from soundsright.adapters.sandboxes import usable_cpus
    from soundsright.metrics import warm_up
    from soundsright.services.executor import Redrawing

    workers = settings.soundsright_workers or len(usable_cpus())
    return Redrawing(
        settings.folder / "executor-check", lambda: closing(ProcessPool(workers, warm_up=warm_up)), workers
    )


def executor_clients(
    settings: ValidatorSettings, hotkeys: ServiceHotkeys, account: Account
) -> tuple[SubmissionBoard, ScoreTable]:
    """The clients of coordinator and executor. Neither service is called.

    Raises:
        UsageError: a service has no hotkey.
        ChainUnavailable: the chain does not answer.
    """
    from soundsright.adapters.executors import HttpScoreTable, HttpSubmissionBoard

    board = HttpSubmissionBoard(settings.subnet_api_url, hotkeys.coordinator, account)
    return board, HttpScoreTable(settings.executor_url, hotkeys.executor, account)
