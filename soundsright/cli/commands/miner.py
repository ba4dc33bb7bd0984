"""`soundsright miner`: enter a model, and keep the entry alive."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.service import ENV_FILE, POLL
from soundsright.cli.shared.settings_options import settings_options
from soundsright.config import MinerSettings

if TYPE_CHECKING:
    import socket


@click.command("miner")
@ENV_FILE
@click.option("--check", is_flag=True, help="Check settings, key, chain and model, say what is entered, and end.")
@click.option(
    "--verify",
    "run_model",
    is_flag=True,
    help="Check all that, then fetch the model and run it as a validator will.",
)
@POLL
@settings_options(MinerSettings)
def command(env_file: Path | None, check: bool, run_model: bool, poll_s: float, **flags: Any) -> int:
    """Run a miner: commit to the model, answer validators, take their feedback. Settings as in .miner-env.sample.

    Nothing of the model runs here, but with --verify.
    """
    from soundsright import __version__
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.peers import Gate, Hotkey, RateLimit, valid_signature
    from soundsright.cli.commands.verify import verified_model
    from soundsright.cli.shared.hub import check_model
    from soundsright.cli.shared.service import (
        check_clock,
        committing_of,
        health_socket,
        opened_chain,
        secrets_of,
        settings_from,
        stopped_by_signals,
    )
    from soundsright.services.http import Health, HttpService, configure_logging, health_app
    from soundsright.services.miner import Entry, HookRunner, MinerContext, MinerService, hook_fault, miner_app
    from soundsright.services.records import FeedbackStore

    settings = settings_from(MinerSettings, flags, env_file)
    competition, model = settings.entry()
    account = Hotkey.read(settings.hotkey_file)
    configure_logging(settings.log_level, secrets=secrets_of(settings))
    clock = SystemClock()
    health = Health(clock)
    store = FeedbackStore(settings.folder / "feedback", valid_signature=valid_signature)
    hook = HookRunner(settings.feedback_hook, health) if settings.feedback_hook else None
    chain = opened_chain(settings, account)
    ip = settings.axon_external_ip
    entry = Entry(account, competition, model)
    miner = MinerService(
        entry,
        committing_of(settings, entry),
        MinerContext(
            chain=chain,
            clock=clock,
            health=health,
            store=store,
            valid_signature=valid_signature,
            endpoint=f"{ip}:{settings.axon_port}" if ip else "",
            min_stake=settings.validator_min_stake,
            poll_s=poll_s,
            on_feedback=hook or (lambda _path: None),
        ),
    )
    check_clock(chain, clock.now())
    warnings = miner.check()
    check_model(settings, model)
    click.echo(f"{account.address} enters {model} for {competition.id}")
    fault = hook_fault(settings.feedback_hook) if settings.feedback_hook else None
    if fault is not None:
        warnings.append(f"FEEDBACK_HOOK {settings.feedback_hook[:80]!r} cannot be called: {fault}")
    if check:
        warnings += _taken_ports(settings)
    for told in warnings:
        click.echo(f"Warning: {told}.", err=True)
    if run_model:
        chain.close()
        return verified_model(settings, model, competition)
    if check:
        well = "All is well." if not warnings else "Nothing else is wrong: see the warnings."
        click.echo(f"{well} To run the model too, as a validator will: soundsright miner --verify")
        chain.close()
        return 0
    limit = RateLimit(per_minute=30, burst=30)
    with (
        health_socket(settings) as own,
        _axon_socket(settings) as axon,
        stopped_by_signals() as stop,
    ):
        health_api = health_app(health, miner, service="miner", version=__version__)
        axon_api = miner_app(miner, admit=Gate(account.address).admit, throttle=limit.check)
        services = [HttpService(health_api, own, name="health"), HttpService(axon_api, axon, name="axon")]
        for service in services:
            service.start()
        miner.run(stop)
        for service in services:
            service.close()
    chain.close()
    return 0


def _taken_ports(settings: MinerSettings) -> list[str]:
    """What to tell of ports that are taken: perhaps by the very miner beside which a new entry is checked."""
    from soundsright.cli.shared.service import health_socket
    from soundsright.services.http import PortTaken

    told = []
    with ExitStack() as opened:
        for open_socket in (health_socket, _axon_socket):
            try:
                opened.enter_context(open_socket(settings))
            except PortTaken as error:
                told.append(f"{error.problem}: give another, unless this miner holds it and runs already")
    return told


def _axon_socket(settings: MinerSettings) -> socket.socket:
    """A socket for what validators ask.

    Raises:
        UsageError: the port is taken.
    """
    from soundsright.services.http import listening

    return listening("0.0.0.0", settings.axon_port, host_variable="AXON_PORT", port_variable="AXON_PORT")
