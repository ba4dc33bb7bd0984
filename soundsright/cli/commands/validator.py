"""`soundsright validator`: judge every round, set weights, tell miners their results."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.service import ENV_FILE, POLL
from soundsright.cli.shared.settings_options import settings_options
from soundsright.config import ValidatorSettings
from soundsright.core.ss58 import is_address

if TYPE_CHECKING:
    from soundsright.adapters.state import SqlState
    from soundsright.services.rounds import RoundOutcome
    from soundsright.services.validator import SubnetSettings, Work

_log = logging.getLogger(__name__)

METRICS = ("PESQ_WB", "ESTOI", "SI_SDR", "SI_SIR", "SI_SAR")


@click.command("validator")
@ENV_FILE
@click.option(
    "--dry-run",
    is_flag=True,
    help="Judge the latest round in STATE_FOLDER/dry-run, print what would be set, write nothing to the chain.",
)
@POLL
@settings_options(ValidatorSettings)
def command(env_file: Path | None, dry_run: bool, poll_s: float, **flags: Any) -> None:
    """Run a validator. Settings as in .validator-env.sample; validators of one subnet need the same rules."""
    from soundsright import __version__
    from soundsright.adapters.chains import DrandTimelock
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.peers import Hotkey, SignedPeers
    from soundsright.cli.shared.service import (
        check_clock,
        health_socket,
        opened_chain,
        secrets_of,
        settings_from,
        stopped_by_signals,
    )
    from soundsright.services.http import Health, HttpService, configure_logging, health_app
    from soundsright.services.validator import (
        ValidatorContext,
        ValidatorService,
        ValidatorView,
        check_account,
        minute_of,
        sole_process,
    )

    settings = settings_from(ValidatorSettings, flags, env_file)
    if dry_run:
        # A folder of its own: it decides and forgets nothing for the validator that sets weights.
        settings = settings.model_copy(update={"state_folder": settings.folder / "dry-run"})
    account = Hotkey.read(settings.hotkey_file)
    configure_logging(settings.log_level, secrets=secrets_of(settings))
    subnet = _subnet_settings(settings)
    chain = opened_chain(settings, account)
    check_clock(chain, SystemClock().now())
    check_account(chain, account.address, sets_weights=not dry_run)
    if dry_run and subnet.schedule.last_started(chain.timestamp_s(chain.finalized().number)) is None:
        click.echo(f"No round has started; the first is {minute_of(subnet.schedule.start_s(0))}.")
        chain.close()
        return
    clock = SystemClock()
    health = Health(clock)
    with (
        health_socket(settings) as sock,
        _state(settings, anew=dry_run) as state,
        _work(settings) as work,
        stopped_by_signals() as stop,
    ):
        context = ValidatorContext(
            subnet,
            work,
            chain=chain,
            account=account,
            state=state,
            peers=SignedPeers(account),
            clock=clock,
            health=health,
            timelock=DrandTimelock([part.strip() for part in settings.drand_relays.split(",") if part.strip()]),
            poll_s=poll_s,
            dry_run=partial(_told_weights, settings.burn_hotkey) if dry_run else None,
        )
        service = ValidatorService(context)
        view = ValidatorView(state, subnet.rules.competitions, subnet.schedule, service.chain_time_s)
        api = HttpService(health_app(health, view, service="validator", version=__version__), sock, name="health")
        click.echo(
            f"{account.address} judges {', '.join(c.id for c in subnet.rules.competitions)}; {_described(work)}"
        )
        with sole_process(state, "validator", clock=clock, lost=stop.set):
            api.start()
            service.run(stop)
        api.close()
    chain.close()


def _subnet_settings(settings: ValidatorSettings) -> SubnetSettings:
    from dataclasses import replace

    from soundsright.cli.commands.rules import organiser_of
    from soundsright.core.competition_rules import Measures
    from soundsright.core.errors import UsageError
    from soundsright.core.schedule import Schedule
    from soundsright.data import Corpus
    from soundsright.metrics import floors
    from soundsright.services.validator import SubnetSettings

    if settings.burn_hotkey and not is_address(settings.burn_hotkey):
        raise UsageError(
            f"BURN_HOTKEY {settings.burn_hotkey[:60]!r} is no address", "Give a hotkey's SS58 address."
        )
    organiser = organiser_of(settings.soundsright_ruleset, begun=True)
    wanted = {competition.id for competition in settings.competitions}
    competitions = tuple(competition for competition in organiser.competitions if competition.id in wanted)
    if not competitions:
        raise UsageError(
            f"SOUNDSRIGHT_COMPETITION {settings.soundsright_competition} is none of {settings.soundsright_ruleset}",
            f"Choose from {', '.join(c.id for c in organiser.competitions)}.",
        )
    overridden = sorted(name.upper() for name in settings.model_fields_set if name.startswith("round_"))
    if organiser.schedule is not None and overridden:
        _log.warning(
            "%s: ignored, since [schedule] of %s says when rounds start",
            ", ".join(overridden),
            settings.soundsright_ruleset,
        )
    corpus = Corpus.open(settings.soundsright_corpus)
    for competition in competitions:
        corpus.speech_for(competition.sample_rate_hz)
    metrics = tuple(dict.fromkeys((*METRICS, *(name for c in competitions for name in c.metric_weights))))
    return SubnetSettings(
        replace(organiser, competitions=competitions),
        Measures(settings.soundsright_clips, metrics, floors(metrics), settings.soundsright_corpus),
        schedule=organiser.schedule
        or Schedule(
            time_of_day_s=settings.round_start_s,
            every_days=settings.round_every_days,
            first_day=settings.first_day,
            seed_delay_blocks=settings.round_seed_delay_blocks,
        ),
        burn_hotkey=settings.burn_hotkey,
        weights_every_blocks=settings.weights_every_blocks,
    )


@contextmanager
def _state(settings: ValidatorSettings, *, anew: bool) -> Iterator[SqlState]:
    """The state; with `anew` after everything in its folder was removed."""
    from soundsright.adapters.state import SqlState

    if anew and settings.folder.exists():
        _remove(settings.folder)
    settings.folder.mkdir(parents=True, exist_ok=True)
    state = SqlState(settings.folder / "state.db")
    try:
        yield state
    finally:
        state.close()


def _remove(folder: Path) -> None:
    """Remove what the dry run before left.

    Raises:
        UsageError: it still runs, or something cannot be removed.
    """
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.state import SqlState
    from soundsright.core.errors import UsageError
    from soundsright.services.validator import LEASE_S, living_holder

    if (folder / "state.db").exists():
        with closing(SqlState(folder / "state.db")) as before:
            holder = living_holder(before, "validator", clock=SystemClock())
        if holder is not None:
            raise UsageError(
                f"{holder} works on {folder}", f"Wait for that dry run's end, or {LEASE_S:g} s after it died."
            )
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be removed: {error.strerror or error}", "Remove it yourself.") from error


@contextmanager
def _work(settings: ValidatorSettings) -> Iterator[Work]:
    from soundsright.adapters.machine import ProcessPool
    from soundsright.adapters.state import Artifacts
    from soundsright.cli.shared.hub import opened_hub
    from soundsright.cli.shared.sandboxes import chosen_concurrency
    from soundsright.cli.shared.service import opened_sandbox, sandbox_choice
    from soundsright.core.ports import SandboxLimits
    from soundsright.metrics import warm_up
    from soundsright.services.validator import Work

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    workers = settings.soundsright_workers or cores
    choice = sandbox_choice(settings)
    hub, sandbox = opened_hub(settings), opened_sandbox(settings, choice)
    pool = ProcessPool(workers, warm_up=warm_up)
    try:
        yield Work(
            hub=hub,
            sandbox=sandbox,
            pool=pool,
            folder=settings.folder,
            slots=chosen_concurrency(choice, SandboxLimits(), settings.soundsright_slots),
            workers=workers,
            publish=_publish,
            artifacts=Artifacts(settings.folder / "artifacts"),
            kept_rounds=settings.soundsright_kept_rounds,
        )
    finally:
        pool.close()


def _publish(outcome: RoundOutcome, folder: Path) -> Mapping[str, Mapping[str, object]]:
    """Write results.json, scores.jsonl and report.html; each miner's feedback, by hotkey."""
    from soundsright.services.records import feedback_of, results_of, scores_of
    from soundsright.services.report import write_round

    results = results_of(outcome)
    write_round(folder, results, scores_of(outcome))
    return {feedback.hotkey: feedback.as_json() for feedback in feedback_of(outcome, results).values()}


def _told_weights(burn_hotkey: str, by_hotkey: Mapping[str, float]) -> None:
    if not by_hotkey:
        burns = "was not registered at the close" if burn_hotkey else "is empty"
        click.echo(f"Dry run: no weights would be set: nobody is paid, and BURN_HOTKEY {burns}.")
        return
    click.echo("Dry run: these weights would be set.")
    for hotkey, weight in sorted(by_hotkey.items(), key=lambda item: -item[1]):
        click.echo(f"{weight:8.5f}  {hotkey}")


def _described(work: Work) -> str:
    held = "isolated" if work.sandbox.isolated else "NOT isolated: run only models that you trust"
    return f"models run in {work.sandbox.name} ({held})"
