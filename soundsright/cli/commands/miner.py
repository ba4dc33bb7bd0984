"""`soundsright miner`: commit to a model and answer validators."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import env_file_option, option, poll_option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import MinerSettings
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    import socket

    from soundsright.adapters.peers import Hotkey
    from soundsright.core.competition import Competition
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.ports import LiveChain
    from soundsright.core.sources import ModelRef
    from soundsright.services.http import Health
    from soundsright.services.miner import Entry, EntryCommitment, MinerService


@click.command("miner")
@env_file_option
@option("--check", is_flag=True, help="Check settings, key, chain and model, print what you enter, and stop.")
@option(
    "--verify",
    "run_model",
    is_flag=True,
    help="Check the same, then run the model the way a validator will.",
)
@poll_option
@settings_options(MinerSettings)
def command(env_file: Path | None, check: bool, run_model: bool, poll_s: float, **flags: Any) -> int:
    """Run a miner: commit to a model and answer validators.

    \b
    cp .miner-env.sample .env      # then fill it in
    soundsright miner --check
    soundsright miner

    The miner does not run your model, except with --verify. Settings come from flags, the environment or .env.
    """
    from soundsright.adapters.machine import SystemClock
    from soundsright.cli.commands.verify import verified_model
    from soundsright.cli.shared.opening import opened_service
    from soundsright.services.http import Health

    settings = settings_from(MinerSettings, flags, env_file)
    competition, model = settings.entry()
    health = Health(SystemClock())
    with opened_service(settings) as (account, chain):
        entry, miner = miner_of(settings, account, chain, health, poll_s)
        warnings = miner.check()
        # Without --check this goes to the log of a service, and the model must stay secret until the close.
        shown = f"{model} for " if check or run_model else ""
        click.echo(f"{account.address} enters {shown}{competition.id}")
        warnings += _competition_warnings(settings, competition)
        warnings += _hook_warnings(settings)
        warnings += _address_warnings(settings)
        if check:
            warnings += _port_warnings(settings)
        for warning in warnings:
            click.echo(f"Warning: {warning}.", err=True)
        if not run_model and not check:
            _serve(settings, miner, health, account)
            return 0
    if run_model:
        return verified_model(settings, entry.model, competition, archive_key=entry.archive_key)
    verdict = "Nothing else is wrong: see the warnings." if warnings else "All is well."
    click.echo(f"{verdict} To run the model the way a validator will: soundsright miner --verify")
    return 0


def miner_of(
    settings: MinerSettings, account: Hotkey, chain: LiveChain, health: Health, poll_s: float
) -> tuple[Entry, MinerService]:
    """The entry that the settings name, and the service that commits to it. Nothing is written to the chain yet.

    Raises:
        UsageError: no model or more than one is named, the hub does not have it, or a secret of it is missing.
        HubUnavailable: the hub does not answer.
    """
    competition, model = settings.entry()
    entry, is_public = _entry(settings, account, competition, model)
    return entry, _miner(settings, entry, chain, health, poll_s, publishes=not is_public)


def _entry(
    settings: MinerSettings, account: Hotkey, competition: Competition, model: ModelRef
) -> tuple[Entry, bool]:
    """The entry with its salt and the key of its archive, and whether the model's repository is public already.

    Raises:
        UsageError: the hub does not have the model, or a secret of the entry is missing.
        HubUnavailable: the hub does not answer.
    """
    from soundsright.cli.shared.opening import content_on_hub, hub_token
    from soundsright.services.miner import Entry, stored_archive, stored_salt

    if settings.publish_at_close and not hub_token(settings):
        raise UsageError("PUBLISH_AT_CLOSE needs HF_TOKEN", "Set it to a token that may write to the repository.")
    found = content_on_hub(settings, model, competition, may_be_private=settings.publish_at_close)
    content, key = found.content_hash, ""
    if found.archive_sha256 is not None:
        sealed = stored_archive(settings.folder, found.archive_sha256)
        content, key = sealed.content_hash, sealed.key
    salt = stored_salt(settings.folder, account.address, competition.id, content)
    return Entry(account, competition, model, content, salt, key), found.is_public


def _miner(
    settings: MinerSettings, entry: Entry, chain: LiveChain, health: Health, poll_s: float, *, publishes: bool
) -> MinerService:
    from soundsright.adapters.hubs import make_public
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.peers import valid_signature
    from soundsright.cli.shared.opening import hub_token, schedule_of
    from soundsright.services.miner import HookRunner, MinerContext, MinerService
    from soundsright.services.records import FeedbackStore

    hook = HookRunner(settings.feedback_hook, health) if settings.feedback_hook else None
    ip = settings.axon_external_ip
    organiser = _organiser(settings)
    return MinerService(
        entry,
        _commitment(settings, entry, organiser),
        MinerContext(
            chain=chain,
            clock=SystemClock(),
            health=health,
            store=FeedbackStore(settings.folder / "feedback", valid_signature=valid_signature),
            valid_signature=valid_signature,
            schedule=schedule_of(settings, organiser),
            endpoint=f"{ip}:{settings.axon_port}" if ip else "",
            min_stake=settings.validator_min_stake,
            poll_s=poll_s,
            on_feedback=hook or (lambda _path: None),
            on_close=(lambda: make_public(settings.hf_endpoint, entry.model, token=hub_token(settings)))
            if publishes
            else None,
        ),
    )


def _organiser(settings: MinerSettings) -> CompetitionRules | None:
    """The decisions in the organiser's file, or None if there is no file.

    Raises:
        UsageError: the file cannot be used.
    """
    if not settings.soundsright_ruleset.endswith(".toml"):
        return None
    from soundsright.library import organiser_of

    return organiser_of(settings.soundsright_ruleset, begun=True)


def _commitment(settings: MinerSettings, entry: Entry, organiser: CompetitionRules | None) -> EntryCommitment:
    """How to commit to the entry: as the organiser's file says, or as a digest if there is no file."""
    from soundsright.services.miner import EntryCommitment

    if organiser is None:
        return EntryCommitment(entry, settings.folder)
    from soundsright.adapters.chains import DrandTimelock

    return EntryCommitment(
        entry, settings.folder, organiser.commitment, timelock=DrandTimelock(()), schedule=organiser.schedule
    )


def _serve(settings: MinerSettings, miner: MinerService, health: Health, account: Hotkey) -> None:
    """Run the miner and its two APIs until a signal stops them."""
    from soundsright import __version__
    from soundsright.adapters.peers import RateLimit
    from soundsright.cli.shared.opening import health_socket, http_limits, request_gate
    from soundsright.cli.shared.stopping import stopped_by_signals
    from soundsright.services.http import HttpService, health_app, sign_answers
    from soundsright.services.miner import miner_app

    limit = RateLimit(per_minute=30, burst=30)
    with (
        health_socket(settings) as own_socket,
        _axon_socket(settings) as axon_socket,
        stopped_by_signals() as stop,
    ):
        health_api = health_app(health, miner, service="miner", version=__version__)
        axon_api = miner_app(miner, admit=request_gate(settings, account.address).admit, throttle=limit.check)
        sign_answers(axon_api, account.sign)
        limits = http_limits(settings)
        services = [
            HttpService(health_api, own_socket, name="health", limits=limits),
            HttpService(axon_api, axon_socket, name="axon", limits=limits),
        ]
        for service in services:
            service.start()
        miner.run(stop)
        for service in services:
            service.close()


def _competition_warnings(settings: MinerSettings, competition: Competition) -> list[str]:
    """A warning if the organiser's file has no competition of the name that the miner commits to."""
    organiser = _organiser(settings)
    if organiser is None:
        return []
    names = [each.id for each in organiser.competitions]
    if competition.id in names:
        return []
    return [
        f"{settings.soundsright_ruleset} has no competition {competition.id}, so your entry will be refused as "
        f"unknown_competition. Set COMPETITION_NAME to one of {', '.join(names)}"
    ]


def _address_warnings(settings: MinerSettings) -> list[str]:
    """A warning if the validators of the public chain do not call the address that the miner publishes."""
    from soundsright.core.endpoint import PUBLIC

    ip = settings.axon_external_ip
    kind = PUBLIC.refusal(ip) if ip and settings.is_bittensor else None
    if kind is None:
        return []
    return [
        f"AXON_EXTERNAL_IP {ip} is {kind}: validators do not call it, so your entry will be refused as "
        "not_revealed. Set it to the IPv4 address at which others reach this machine"
    ]


def _hook_warnings(settings: MinerSettings) -> list[str]:
    from soundsright.services.miner import hook_fault

    fault = hook_fault(settings.feedback_hook) if settings.feedback_hook else None
    return [] if fault is None else [f"FEEDBACK_HOOK {settings.feedback_hook[:80]!r} cannot be called: {fault}"]


def _port_warnings(settings: MinerSettings) -> list[str]:
    """Warnings about ports in use. The miner itself may already be running."""
    from soundsright.cli.shared.opening import health_socket
    from soundsright.services.http import PortTaken

    warnings = []
    with ExitStack() as sockets:
        for open_socket in (health_socket, _axon_socket):
            try:
                sockets.enter_context(open_socket(settings))
            except PortTaken as error:
                warnings.append(f"{error.problem}: choose another, unless this miner is already running")
    return warnings


def _axon_socket(settings: MinerSettings) -> socket.socket:
    """A socket for validators' requests.

    Raises:
        UsageError: the port is in use.
    """
    from soundsright.services.http import listening

    return listening("0.0.0.0", settings.axon_port, host_variable="AXON_PORT", port_variable="AXON_PORT")
