"""`soundsright federation api`: show everybody what the validators of a federation do."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import env_file_option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import FederationSettings
from soundsright.core.errors import InfrastructureFault

if TYPE_CHECKING:
    from fastapi import FastAPI

    from soundsright.adapters.peers import Hotkey
    from soundsright.cli.shared.federation_parts import AgreedRules
    from soundsright.core.ports import LiveChain
    from soundsright.services.federation_api import FederationStore
    from soundsright.services.http import Health

_SETTINGS = (
    *("netuid", "subtensor_chain_endpoint", "wallet", "hotkey", "wallet_path", "state_folder", "log_level"),
    *("healthcheck_api_host", "healthcheck_api_port", "soundsright_auth_dialects", "signature_expiry_seconds"),
    *("soundsright_connections", "soundsright_connections_per_client", "soundsright_ruleset"),
    *("api_host", "api_port", "api_hotkey", "database_url", "admin_hotkeys", "cors_origins"),
    *("miner_validation_interval", "miner_report_stale_intervals", "peer_validators"),
    *("epoch_len", "sampling_rotation_interval", "sampler_failover_grace_blocks", "scorer_task_window"),
    *("scorer_settle_margin", "scorer_max_lookback_blocks", "scorer_completeness_threshold"),
    *("scorer_min_validators", "dominance_threshold", "leoma_env"),
)
_PER_MINUTE = 240
_CHECK_EVERY_S = 12.0
_MINERS = 512
"""Miners in one competition at most: a chain has 256, and some leave and come during a task."""
_SPARE_TASKS = 58
"""Tasks that are kept besides a window: those that are not settled yet, and some before it."""


@click.command("api")
@env_file_option
@settings_options(FederationSettings, _SETTINGS)
def command(env_file: Path | None, **flags: Any) -> None:
    """Show everybody what the validators do, as they report it.

    \b
    soundsright federation db init
    soundsright federation api --wallet owner --admin-hotkeys 5F...

    The API decides nothing. Validators send to it at API_URL, and go on without it. It reads PEER_VALIDATORS only
    for links to the audio in their buckets.
    """
    from soundsright.cli.shared.executor_services import check_own_hotkey
    from soundsright.cli.shared.federation_parts import agreed_rules
    from soundsright.cli.shared.opening import opened_service

    settings = settings_from(FederationSettings, flags, env_file)
    agreed = agreed_rules(settings)
    with opened_service(settings) as (account, chain):
        expected = settings.api_hotkey or chain.owner() or account.address
        check_own_hotkey(account.address, expected, setting="API_HOTKEY", service="owner's API")
        _serve(settings, agreed, chain, account)


def _serve(settings: FederationSettings, agreed: AgreedRules, chain: LiveChain, account: Hotkey) -> None:
    """Answer requests until a signal stops it."""
    from soundsright import __version__
    from soundsright.adapters.machine import SystemClock
    from soundsright.cli.shared.federation_database import opened_database
    from soundsright.cli.shared.opening import health_socket, http_limits
    from soundsright.cli.shared.stopping import stopped_by_signals
    from soundsright.services.federation_api import FederationStore
    from soundsright.services.http import EmptyView, Health, HttpService, health_app, listening
    from soundsright.services.validator import sole_process

    clock = SystemClock()
    health = Health(clock)
    with (
        health_socket(settings) as health_sock,
        listening(settings.api_host, settings.api_port, host_variable="API_HOST", port_variable="API_PORT") as sock,
        opened_database(settings) as (state, records),
        stopped_by_signals() as stop,
        sole_process(state, "federation-api", clock=clock, lost=stop.set, used="this database of the API"),
    ):
        store = FederationStore(
            state,
            records,
            clock,
            kept_tasks=agreed.rules.window_tasks + agreed.rules.settle_margin + _SPARE_TASKS,
            max_of_task=_MINERS * len(agreed.rules.competitions),
        )
        limits = http_limits(settings)
        own_app = health_app(health, EmptyView(), service="federation-api", version=__version__)
        app = _app(settings, agreed, chain, account, store)
        services = [
            HttpService(own_app, health_sock, name="health", limits=limits),
            HttpService(app, sock, name="federation-api", limits=limits),
        ]
        for service in services:
            service.start()
        click.echo(f"{account.address} shows the federation at http://{settings.api_host}:{services[1].port}")
        _watch(store, health, stop)
        for service in services:
            service.close()


def _app(
    settings: FederationSettings, agreed: AgreedRules, chain: LiveChain, account: Hotkey, store: FederationStore
) -> FastAPI:
    from soundsright.adapters.peers import RateLimit
    from soundsright.cli.shared.federation_parts import peer_buckets
    from soundsright.cli.shared.opening import request_gate
    from soundsright.services.federation_api import (
        FederationAccess,
        FederationShown,
        Heads,
        Media,
        admins_only,
        federation_api_app,
    )

    gate = request_gate(settings, account.address)
    access = FederationAccess(
        admit=gate.admit,
        # Also by leoma, which signs neither route nor receiver: what validators send here decides nothing.
        admit_sender=gate.admit_read,
        throttle=RateLimit(per_minute=_PER_MINUTE, burst=_PER_MINUTE).check,
        check_admin=admins_only(frozenset(settings.admins)),
    )
    shown = FederationShown(
        store,
        agreed.rules,
        Heads(chain),
        Media(peer_buckets(settings)),
        stale_s=settings.report_stale_s,
        digest=agreed.rules_digest,
        compared=agreed.compared,
    )
    return federation_api_app(shown, access, origins=settings.origins, sign=account.sign)


def _watch(store: FederationStore, health: Health, stop: threading.Event) -> None:
    """Tell the health check whether the database answers, until `stop` is set."""
    health.set("neuron_running", True)
    while not stop.is_set():
        health.add("iterations")
        try:
            store.ping()
            health.problem("database", None)
        except InfrastructureFault as error:
            health.problem("database", str(error))
        health.problem("start", None)
        stop.wait(_CHECK_EVERY_S)
    health.set("neuron_running", False)
