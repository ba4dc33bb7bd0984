"""`soundsright executor validate`: hand submissions to the executor, and set the weights that it decides."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.executor_payment import (
    EXECUTOR,
    check_burn_hotkey,
    check_services,
    executor_subsystems,
)
from soundsright.cli.shared.options import env_file_option, option, poll_option
from soundsright.cli.shared.public_recordings import warn_of_public_recordings
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.cli.shared.validator_state import opened_state
from soundsright.config import ValidatorSettings
from soundsright.core.emission import COMPETITIONS
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    import socket

    from soundsright.adapters.peers import Hotkey
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.material import Material
    from soundsright.core.ports import LiveChain
    from soundsright.services.http import HttpService
    from soundsright.services.validator import PayingService, PaymentContext

_SETTINGS = (
    "netuid",
    "subtensor_chain_endpoint",
    "wallet",
    "hotkey",
    "wallet_path",
    "log_level",
    "healthcheck_api_host",
    "healthcheck_api_port",
    "state_folder",
    "soundsright_ruleset",
    "soundsright_connections",
    "soundsright_connections_per_client",
    "weights_every_blocks",
    "burn_hotkey",
    "subnet_api_url",
    "subnet_api_hotkey",
    "executor_api_url",
    "executor_api_hotkey",
    "soundsright_corpus",
    "soundsright_corpus_key",
    "soundsright_pay_on_public_corpus",
    "soundsright_speech",
    "openai_api_key",
    "openai_tts_model",
    "soundsright_speech_max_usd",
    "soundsright_workers",
    "round_time_of_day",
    "round_every_days",
    "round_first_day",
)


@click.command("validate")
@env_file_option
@option("--dry-run", is_flag=True, help="Print the weights of the present table. Write nothing to the chain.")
@poll_option
@settings_options(ValidatorSettings, _SETTINGS)
def command(env_file: Path | None, dry_run: bool, poll_s: float, **flags: Any) -> None:
    """Hand submissions to the executor, and pay its best image: a validator without rounds.

    \b
    soundsright executor validate --dry-run
    soundsright executor validate

    It needs no GPU, no recordings and no sandbox. In the organiser's file, [emission] must give the executor a
    share and the competitions none; otherwise run `soundsright validator`, which does both. If a service does not
    answer, the last weights stay.
    """
    from soundsright.cli.shared.opening import opened_service
    from soundsright.library import organiser_of
    from soundsright.services.self_check import check_machine
    from soundsright.services.validator import check_account

    settings = settings_from(ValidatorSettings, flags, env_file)
    if dry_run:
        # A dry run has its own folder, so it changes nothing for the validator that sets weights.
        settings = settings.model_copy(update={"state_folder": settings.folder / "dry-run"})
    check_burn_hotkey(settings)
    organiser = organiser_of(settings.soundsright_ruleset, begun=True)
    _check_shares(settings, organiser)
    check_machine()
    with opened_service(settings) as (account, chain):
        check_account(chain, account.address, sets_weights=not dry_run)
        _serve(settings, organiser, chain, account, poll_s=poll_s, dry_run=dry_run)


def _check_shares(settings: ValidatorSettings, organiser: CompetitionRules) -> None:
    """Check that this validator can pay everything that the organiser's file shares out.

    Raises:
        UsageError: the executor has no share, the competitions have one, or the services are not given.
    """
    paying, source = organiser.emission.paying, settings.soundsright_ruleset
    if EXECUTOR not in paying:
        raise UsageError(
            f"[emission] of {source} gives the executor no share",
            "Name the organiser's file in SOUNDSRIGHT_RULESET, or run `soundsright validator`.",
        )
    if COMPETITIONS in paying:
        raise UsageError(
            f"[emission] of {source} also gives the competitions a share of {paying[COMPETITIONS]:g}",
            "Run `soundsright validator`, which pays both.",
        )
    check_services(settings, organiser.emission)


def _serve(
    settings: ValidatorSettings,
    organiser: CompetitionRules,
    chain: LiveChain,
    account: Hotkey,
    *,
    poll_s: float,
    dry_run: bool,
) -> None:
    """Set weights until a signal stops it; with `dry_run`, print them once."""
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.state import SqlRecords
    from soundsright.cli.shared.opening import health_socket, schedule_of
    from soundsright.cli.shared.stopping import stopped_by_signals
    from soundsright.services.http import Health
    from soundsright.services.rounds import material_of_round
    from soundsright.services.validator import PayingService, PaymentContext, sole_process

    clock = SystemClock()
    with (
        health_socket(settings) as sock,
        opened_state(settings, remove_first=dry_run) as state,
        stopped_by_signals() as stop,
    ):
        context = PaymentContext(
            organiser.emission,
            settings.burn_hotkey,
            chain,
            account,
            state,
            SqlRecords.beside(state),
            clock,
            Health(clock),
            settings.weights_every_blocks,
            poll_s,
        )
        material, schedule = _material(settings, organiser), schedule_of(settings, organiser)
        pays = settings.soundsright_pay_on_public_corpus
        warn_of_public_recordings(
            material_of_round(material, schedule, clock.now()), organiser.competitions, pays=pays
        )
        service = PayingService(context, executor_subsystems(settings, organiser, context, material, schedule))
        with sole_process(state, "validator", clock=clock, lost=stop.set):
            if dry_run:
                _print_weights(service, stop)
                return
            click.echo(f"{account.address} pays images ranked by {settings.executor_url}")
            api = _health_api(settings, context, service, sock).start()
            service.run(stop)
        api.close()


def _material(settings: ValidatorSettings, organiser: CompetitionRules) -> Material:
    """This validator's copy of the executor's recordings and speech, to draw its sets again.

    Raises:
        UsageError: a speech that the settings name is not installed or has no key.
    """
    from soundsright.cli.shared.speech_settings import speech_of
    from soundsright.core.material import Material

    speech = speech_of(settings, organiser, organiser.competitions)
    return Material(
        settings.soundsright_corpus, settings.soundsright_corpus_key, speech=speech, noise=organiser.noise
    )


def _health_api(
    settings: ValidatorSettings, context: PaymentContext, service: PayingService, sock: socket.socket
) -> HttpService:
    from soundsright import __version__
    from soundsright.cli.shared.opening import http_limits
    from soundsright.services.http import HttpService, health_app

    app = health_app(context.health, service, service="validator", version=__version__)
    return HttpService(app, sock, name="health", limits=http_limits(settings))


def _print_weights(service: PayingService, stop: threading.Event) -> None:
    try:
        weights: Mapping[str, float] = service.first_weights(stop)
    finally:
        service.close()
    if stop.is_set():
        raise click.exceptions.Abort
    if not weights:
        click.echo("Dry run: no weights would be set, because nobody is paid and BURN_HOTKEY is not registered.")
        return
    click.echo("Dry run: these weights would be set.")
    for hotkey, weight in sorted(weights.items(), key=lambda item: (-item[1], item[0])):
        click.echo(f"{weight:8.5f}  {hotkey}")
