"""`soundsright executor coordinate`: take submissions of images, and say which round it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import env_file_option, poll_option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import ExecutorSettings
from soundsright.core.errors import UsageError
from soundsright.core.ports import LiveChain

if TYPE_CHECKING:
    from soundsright.adapters.peers import Hotkey
    from soundsright.adapters.state import SqlState
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.services.http import Health
    from soundsright.services.subnet_api import Coordinator

_SETTINGS = (
    *("netuid", "subtensor_chain_endpoint", "wallet", "hotkey", "wallet_path", "state_folder", "log_level"),
    *("healthcheck_api_host", "healthcheck_api_port", "soundsright_auth_dialects", "signature_expiry_seconds"),
    *("soundsright_connections", "soundsright_connections_per_client"),
    *("soundsright_ruleset", "soundsright_corpus", "soundsright_corpus_key"),
    *("round_time_of_day", "round_every_days", "round_first_day"),
    *("subnet_api_host", "subnet_api_port", "subnet_api_hotkey", "executor_api_hotkey"),
    *("executor_validators", "executor_hotkeys", "executor_clips", "burn_ratio"),
)
_SCOPE = "coordinator"
"""The coordinator's rows of a database. An executor has a stream of the same name."""


@click.command("coordinate")
@env_file_option
@poll_option
@settings_options(ExecutorSettings, _SETTINGS)
def command(env_file: Path | None, poll_s: float, **flags: Any) -> None:
    """Run the coordinator: take submissions of images, and say which round it is.

    \b
    soundsright executor coordinate --soundsright-ruleset competition.toml --wallet organiser

    The organiser runs it with the hotkey of the chain's owner, or with the one that SUBNET_API_HOTKEY names.
    The organiser's file has the cool-down and the length of rounds in its table [executor].
    """
    from soundsright.cli.shared.executor_payment import warn_of_no_share
    from soundsright.cli.shared.executor_services import ServiceHotkeys, check_own_hotkey
    from soundsright.cli.shared.opening import opened_service
    from soundsright.library import organiser_of

    settings = settings_from(ExecutorSettings, flags, env_file)
    organiser = organiser_of(settings.soundsright_ruleset, begun=True)
    warn_of_no_share(settings.soundsright_ruleset, organiser.emission)
    with opened_service(settings) as (account, chain):
        _warn_of_recordings(settings, organiser)
        expected = ServiceHotkeys(settings, chain).coordinator
        check_own_hotkey(account.address, expected, setting="SUBNET_API_HOTKEY", service="coordinator")
        _serve(settings, organiser, chain, account, poll_s)


def _warn_of_recordings(settings: ExecutorSettings, organiser: CompetitionRules) -> None:
    """Say on stderr why no round can begin, if a private corpus has no recordings for the present one.

    Recordings that are public never run out, and the coordinator needs only their list.
    The coordinator takes submissions nevertheless, because their time decides who was first.
    """
    from soundsright.adapters.machine import SystemClock
    from soundsright.cli.shared.opening import schedule_of
    from soundsright.core.material import Material
    from soundsright.services.rounds import material_of_round, opened

    material = Material(settings.soundsright_corpus, settings.soundsright_corpus_key, noise=organiser.noise)
    if not material.is_private:
        return
    try:
        opened(material_of_round(material, schedule_of(settings, organiser), SystemClock().now()))
    except UsageError as error:
        click.echo(f"Warning: no round can begin. {error}", err=True)


def _serve(
    settings: ExecutorSettings, organiser: CompetitionRules, chain: LiveChain, account: Hotkey, poll_s: float
) -> None:
    """Answer requests until a signal stops it."""
    from soundsright import __version__
    from soundsright.adapters.machine import SystemClock
    from soundsright.cli.shared.opening import health_socket, http_limits
    from soundsright.cli.shared.stopping import stopped_by_signals
    from soundsright.services.http import Health, HttpService, health_app, listening
    from soundsright.services.subnet_api import CoordinatorView
    from soundsright.services.validator import sole_process

    clock = SystemClock()
    health = Health(clock)
    with (
        health_socket(settings) as health_sock,
        listening(
            settings.subnet_api_host,
            settings.subnet_api_port,
            host_variable="SUBNET_API_HOST",
            port_variable="SUBNET_API_PORT",
        ) as sock,
        _opened_state(settings) as state,
        stopped_by_signals() as stop,
    ):
        coordinator = _coordinator(settings, organiser, chain, state, health, poll_s)
        view = CoordinatorView(tuple(competition.id for competition in organiser.competitions))
        own_app = health_app(health, view, service="coordinator", version=__version__)
        limits = http_limits(settings)
        services = [
            HttpService(own_app, health_sock, name="health", limits=limits),
            HttpService(_app(settings, coordinator, account), sock, name="subnet-api", limits=limits),
        ]
        with sole_process(state, "coordinator", clock=clock, lost=stop.set):
            for service in services:
                service.start()
            click.echo(
                f"{account.address} coordinates images at http://{settings.subnet_api_host}:{services[1].port}"
            )
            coordinator.run(stop)
        for service in services:
            service.close()


def _app(settings: ExecutorSettings, coordinator: Coordinator, account: Hotkey) -> Any:
    from soundsright.adapters.peers import RateLimit
    from soundsright.cli.shared.opening import request_gate
    from soundsright.services.http import sign_answers
    from soundsright.services.subnet_api import subnet_app

    gate = request_gate(settings, account.address)
    limit = RateLimit(per_minute=120, burst=120)
    app = subnet_app(coordinator, admit=gate.admit, admit_read=gate.admit_read, throttle=limit.check)
    sign_answers(app, account.sign)
    return app


def _coordinator(
    settings: ExecutorSettings,
    organiser: CompetitionRules,
    chain: LiveChain,
    state: SqlState,
    health: Health,
    poll_s: float,
) -> Coordinator:
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.state import SqlRecords
    from soundsright.core.executor_rules import executor_rules
    from soundsright.core.image_runs import clips_of_sets
    from soundsright.core.material import Material
    from soundsright.services.rounds import material_digest
    from soundsright.services.subnet_api import Coordinator, CoordinatorContext

    rules = organiser.executor or executor_rules()
    material = Material(settings.soundsright_corpus, settings.soundsright_corpus_key, noise=organiser.noise)
    return Coordinator(
        CoordinatorContext(
            chain,
            SqlRecords.beside(state, scope=_SCOPE),
            SystemClock(),
            health,
            rules,
            organiser.competitions,
            clips=clips_of_sets(settings.executor_clips, rules),
            corpus_digest=material_digest(material),
            burn_ratio=settings.burn_ratio,
            validators=frozenset(settings.validator_hotkeys),
            executors=frozenset(settings.executors),
            poll_s=poll_s,
        )
    )


@contextmanager
def _opened_state(settings: ExecutorSettings) -> Iterator[SqlState]:
    """The coordinator's database, coordinator.db in STATE_FOLDER."""
    from soundsright.adapters.state import SqlState

    settings.folder.mkdir(parents=True, exist_ok=True)
    with closing(SqlState(settings.folder / "coordinator.db", scope=_SCOPE)) as state:
        yield state
