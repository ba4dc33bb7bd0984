"""`soundsright executor serve`: run the submitted images, and publish their scores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.log_keeping import check_log_settings, kept_log
from soundsright.cli.shared.options import env_file_option, poll_option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import ExecutorSettings
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    import socket

    from soundsright.adapters.peers import Hotkey
    from soundsright.adapters.state import SqlState
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.ports import LiveChain, Pool
    from soundsright.services.executor import ExecutorContext, ExecutorService
    from soundsright.services.http import Health, HttpService

SETTINGS = (
    *("netuid", "subtensor_chain_endpoint", "wallet", "hotkey", "wallet_path", "log_level", "state_folder"),
    *("healthcheck_api_host", "healthcheck_api_port", "soundsright_auth_dialects", "signature_expiry_seconds"),
    *("soundsright_connections", "soundsright_connections_per_client", "soundsright_ruleset", "soundsright_hub"),
    *("use_docker", "soundsright_sandbox", "soundsright_model_python", "soundsright_trust", "soundsright_runtime"),
    *("soundsright_registries", "soundsright_corpus", "soundsright_corpus_key", "soundsright_speech"),
    *("openai_api_key", "openai_tts_model", "soundsright_speech_max_usd", "soundsright_workers"),
    *("soundsright_clips", "round_time_of_day", "round_every_days", "round_first_day"),
    *("soundsright_kept_rounds", "subnet_api_url", "subnet_api_hotkey", "executor_api_hotkey", "executor_host"),
    *("executor_port", "executor_state", "executor_competition", "executor_gpus", "executor_validators"),
    "executor_base_image",
    *("wandb_api_key", "round_log_url", "round_log_hotkey"),
)
_PER_MINUTE = 240


@click.command("serve")
@env_file_option
@poll_option
@settings_options(ExecutorSettings, SETTINGS)
def command(env_file: Path | None, poll_s: float, **flags: Any) -> None:
    """Run the images that miners submit, and publish a table of their scores.

    \b
    soundsright executor serve --subnet-api-url http://10.0.0.7:9001
    EXECUTOR_GPUS=0 soundsright executor serve --env-file .env

    Validators give it the submissions and read the table on EXECUTOR_PORT. A round that is stopped goes on at the
    next start.
    """
    from soundsright.cli.shared.executor_parts import check_competitions
    from soundsright.cli.shared.executor_payment import warn_of_no_share
    from soundsright.cli.shared.executor_services import ServiceHotkeys, check_own_hotkey
    from soundsright.cli.shared.opening import opened_service
    from soundsright.library import organiser_of
    from soundsright.services.self_check import check_machine

    settings = settings_from(ExecutorSettings, flags, env_file)
    if not settings.subnet_api_url:
        raise UsageError("SUBNET_API_URL is empty", "Give the address of the coordinator, as http://HOST:PORT.")
    check_log_settings(settings)
    organiser = organiser_of(settings.soundsright_ruleset, begun=True)
    warn_of_no_share(settings.soundsright_ruleset, organiser.emission)
    check_competitions(settings, organiser)
    check_machine()
    with opened_service(settings) as (account, chain):
        hotkeys = ServiceHotkeys(settings, chain)
        check_own_hotkey(account.address, hotkeys.executor, setting="EXECUTOR_API_HOTKEY", service="executor")
        _serve(settings, organiser, chain, account, hotkeys.coordinator, poll_s=poll_s)


def _serve(
    settings: ExecutorSettings,
    organiser: CompetitionRules,
    chain: LiveChain,
    account: Hotkey,
    coordinator: str,
    *,
    poll_s: float,
) -> None:
    """Run rounds and answer validators until a signal stops it."""
    from soundsright.adapters.machine import ProcessPool, SystemClock
    from soundsright.adapters.sandboxes import usable_cpus
    from soundsright.cli.shared.image_tracking import round_tracker
    from soundsright.cli.shared.opening import health_socket
    from soundsright.cli.shared.stopping import stopped_by_signals
    from soundsright.metrics import warm_up
    from soundsright.services.executor import ExecutorService
    from soundsright.services.http import Health
    from soundsright.services.validator import sole_process

    clock = SystemClock()
    health = Health(clock)
    published = round_tracker(settings)
    workers = settings.soundsright_workers or len(usable_cpus())
    with (
        health_socket(settings) as health_sock,
        _socket(settings) as sock,
        _opened_state(settings) as state,
        closing(ProcessPool(workers, warm_up=warm_up)) as pool,
        stopped_by_signals() as stop,
    ):
        context = _context(settings, organiser, chain, account, coordinator, state, pool, workers)
        problem = partial(health.problem, "executor")
        service = ExecutorService(context, poll_s=poll_s, problem=problem, published=published)
        with (
            sole_process(state, "executor", clock=clock, lost=stop.set, used="this database of the executor"),
            kept_log(settings, state, context.store.results, context.round_folder, health),
        ):
            apis = [
                _health_api(settings, context, health, health_sock).start(),
                _api(settings, service, chain, account, sock).start(),
            ]
            click.echo(
                f"{account.address} runs images in the sandbox {context.sandbox.name}. Validators reach it at"
                f" http://{settings.executor_host}:{apis[1].port}"
            )
            health.problem("start", None)
            service.run(stop)
        for api in apis:
            api.close()


def _socket(settings: ExecutorSettings) -> socket.socket:
    """The socket on which validators reach the executor."""
    from soundsright.services.http import listening

    return listening(
        settings.executor_host,
        settings.executor_port,
        host_variable="EXECUTOR_HOST",
        port_variable="EXECUTOR_PORT",
    )


def _context(
    settings: ExecutorSettings,
    organiser: CompetitionRules,
    chain: LiveChain,
    account: Hotkey,
    coordinator: str,
    state: SqlState,
    pool: Pool,
    workers: int,
) -> ExecutorContext:
    from soundsright.adapters.executors import HttpSubmissionBoard
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.state import SqlRecords
    from soundsright.cli.shared.executor_parts import executor_material, opened_parts
    from soundsright.cli.shared.opening import schedule_of
    from soundsright.core.executor_rules import executor_rules
    from soundsright.services.executor import ExecutorContext, ExecutorStore, ImageJudge

    clock, cancelled = SystemClock(), threading.Event()
    parts = opened_parts(settings, organiser.executor or executor_rules(), pool, cancelled)
    return ExecutorContext(
        organiser,
        ExecutorStore(state, SqlRecords.beside(state), clock),
        HttpSubmissionBoard(settings.subnet_api_url, coordinator, account),
        chain,
        account,
        parts.hub,
        parts.sandbox,
        pool,
        clock,
        parts.meter_of,
        ImageJudge,
        settings.folder / "executor",
        material=executor_material(settings, organiser),
        machine=parts.machine,
        only=settings.executor_competitions,
        schedule=schedule_of(settings, organiser),
        round_clips=settings.soundsright_clips,
        workers=workers,
        kept_rounds=settings.soundsright_kept_rounds,
        cancelled=cancelled,
    )


def _health_api(
    settings: ExecutorSettings, context: ExecutorContext, health: Health, sock: socket.socket
) -> HttpService:
    from soundsright import __version__
    from soundsright.cli.shared.opening import http_limits
    from soundsright.services.executor import ExecutorView
    from soundsright.services.http import HttpService, health_app

    app = health_app(health, ExecutorView(context), service="executor", version=__version__)
    return HttpService(app, sock, name="health", limits=http_limits(settings))


def _api(
    settings: ExecutorSettings, service: ExecutorService, chain: LiveChain, account: Hotkey, sock: socket.socket
) -> HttpService:
    from soundsright.adapters.peers import RateLimit
    from soundsright.cli.shared.opening import http_limits, request_gate
    from soundsright.services.executor_api import ExecutorAccess, PermittedValidators, executor_app
    from soundsright.services.http import HttpService

    gate = request_gate(settings, account.address)
    access = ExecutorAccess(
        gate.admit,
        gate.admit_read,
        RateLimit(per_minute=_PER_MINUTE, burst=_PER_MINUTE).check,
        PermittedValidators(chain, settings.validator_hotkeys).check,
    )
    app = executor_app(service, access, sign=account.sign)
    return HttpService(app, sock, name="executor", limits=http_limits(settings))


@contextmanager
def _opened_state(settings: ExecutorSettings) -> Iterator[SqlState]:
    from soundsright.adapters.state import SqlState

    place = settings.executor_database
    if isinstance(place, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
    with closing(SqlState(place, scope="executor")) as state:
        yield state
