"""Run a validator of a federation until it is stopped: the sampler, the weights, or both."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.federation_parts import FEDERATION, AgreedRules, agreed_rules
from soundsright.cli.shared.federation_service import (
    check_listed,
    check_places,
    federation_system,
    running_sampler,
    warn_of_public,
)
from soundsright.core.emission import COMPETITIONS
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    import socket

    from soundsright.adapters.peers import Hotkey
    from soundsright.config import FederationSettings
    from soundsright.core.ports import LiveChain
    from soundsright.services.http import EmptyView, HttpService
    from soundsright.services.validator import PaymentContext

WEIGHTS_LEASE = "validator"
"""The lease of whoever sets weights. A validator of rounds has the same one."""


@dataclass(frozen=True)
class Halves:
    """Which halves of a validator run in this process: the one that judges, and the one that sets weights."""

    samples: bool = True
    pays: bool = True


def run_federation(settings: FederationSettings, halves: Halves, *, poll_s: float) -> None:
    """Run until a signal stops it.

    Raises:
        UsageError: a setting, the organiser's file, the hotkey or the machine does not fit; or another process uses
            the same state with this hotkey.
        InfrastructureFault: the chain or the own bucket does not answer at the start.
    """
    from soundsright.cli.shared.opening import account_with_log, opened_service
    from soundsright.services.self_check import check_machine
    from soundsright.services.validator import check_account

    own = account_with_log(settings)
    agreed = agreed_rules(settings)
    check_shares(settings, agreed, halves)
    check_places(settings, own.address)
    if halves.samples:
        check_machine()
    with opened_service(settings, own) as (account, chain):
        check_account(chain, account.address, sets_weights=halves.pays)
        check_listed(settings, agreed, chain, account.address)
        _serve(settings, agreed, chain, account, halves, poll_s)


def check_shares(settings: FederationSettings, agreed: AgreedRules, halves: Halves) -> None:
    """Check that the organiser's file has a federation, and that this process can pay all that it shares out.

    Raises:
        UsageError: it has no table [federation], or what it shares out cannot be paid here.
    """
    from soundsright.cli.shared.executor_payment import check_burn_hotkey

    source, paying = settings.soundsright_ruleset, agreed.organiser.emission.paying
    if agreed.organiser.federation is None:
        raise UsageError(f"{source} has no table [federation]", "Name the organiser's file in SOUNDSRIGHT_RULESET.")
    if not halves.pays:
        return
    check_burn_hotkey(settings)
    if FEDERATION not in paying:
        raise UsageError(
            f"[emission] of {source} gives the federation no share",
            "Add `federation = 1.0`, or a smaller share, to [emission] of the organiser's file.",
        )
    if COMPETITIONS in paying:
        raise UsageError(
            f"[emission] of {source} also gives the competitions a share of {paying[COMPETITIONS]:g}",
            "Run `soundsright validator`, which pays both.",
        )


def _serve(
    settings: FederationSettings,
    agreed: AgreedRules,
    chain: LiveChain,
    account: Hotkey,
    halves: Halves,
    poll_s: float,
) -> None:
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.state import SqlRecords
    from soundsright.cli.shared.opening import health_socket, opened_pool
    from soundsright.cli.shared.stopping import stopped_by_signals
    from soundsright.cli.shared.validator_state import opened_state
    from soundsright.services.http import EmptyView, Health
    from soundsright.services.validator import PayingService, PaymentContext, sole_process

    clock = SystemClock()
    with (
        health_socket(settings) as sock,
        opened_state(settings, remove_first=False) as state,
        stopped_by_signals() as stop,
        ExitStack() as parts,
    ):
        context = agreed.organiser.emission, settings.burn_hotkey, chain, account, state, SqlRecords.beside(state)
        payment = PaymentContext(*context, clock, Health(clock), settings.weights_every_blocks, poll_s)
        service, view = None, EmptyView()
        if halves.pays:
            parts.enter_context(sole_process(state, WEIGHTS_LEASE, clock=clock, lost=stop.set))
            view = service = PayingService(
                payment, [federation_system(settings, agreed, payment, draws=halves.samples)]
            )
        if halves.samples:
            pool = parts.enter_context(opened_pool(settings))
            sandbox = parts.enter_context(running_sampler(settings, agreed, payment, state, pool, lost=stop.set))
            click.echo(f"{account.address} judges its turns; models run in {sandbox}")
            warn_of_public(settings, agreed, chain)
        api = _health_api(settings, payment, view, sock).start()
        parts.callback(api.close)
        if service is None:
            payment.health.problem("start", None)
            stop.wait()
            return
        click.echo(f"{account.address} agrees on the winners with {len(settings.peers)} validators")
        service.run(stop)


def _health_api(
    settings: FederationSettings, payment: PaymentContext, view: EmptyView, sock: socket.socket
) -> HttpService:
    from soundsright import __version__
    from soundsright.cli.shared.opening import http_limits
    from soundsright.services.http import HttpService, health_app

    app = health_app(payment.health, view, service="validator", version=__version__)
    return HttpService(app, sock, name="health", limits=http_limits(settings))
