"""Run a verifier of served models, with its gateway, until it is stopped."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.tiers_service import TIERS, agreed_tiers, opened_verifier
from soundsright.core.emission import COMPETITIONS
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.adapters.peers import Hotkey
    from soundsright.config import TiersSettings
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.ports import LiveChain


def run_verifier(settings: TiersSettings, *, poll_s: float) -> None:
    """Verify provers, and serve listeners through a gateway, until a signal stops it.

    Raises:
        UsageError: a setting, the organiser's file, the hotkey or the machine does not fit; or another process uses
            the same state with this hotkey.
        InfrastructureFault: the chain or Redis does not answer at the start.
    """
    from soundsright.cli.shared.opening import account_with_log, opened_service
    from soundsright.library import organiser_of
    from soundsright.services.self_check import check_machine
    from soundsright.services.validator import check_account

    own = account_with_log(settings)
    organiser = organiser_of(settings.soundsright_ruleset, begun=True)
    agreed_tiers(settings, organiser)
    check_share(settings, organiser)
    check_machine()
    with opened_service(settings, own) as (account, chain):
        check_account(chain, account.address, sets_weights=not settings.neuron_disable_set_weights)
        _serve(settings, organiser, chain, account, poll_s)


def check_share(settings: TiersSettings, organiser: CompetitionRules) -> None:
    """Check that this process can pay all that the organiser's file shares out.

    Raises:
        UsageError: tiers have no share, or what else has one cannot be paid here.
    """
    from soundsright.cli.shared.executor_payment import check_burn_hotkey

    source, paying = settings.soundsright_ruleset, organiser.emission.paying
    if settings.neuron_disable_set_weights:
        return
    check_burn_hotkey(settings)
    if TIERS not in paying:
        raise UsageError(
            f"[emission] of {source} gives tiers no share",
            "Add `tiers = 1.0`, or a smaller share, to [emission] of the organiser's file, or set"
            " NEURON_DISABLE_SET_WEIGHTS=true.",
        )
    if COMPETITIONS in paying:
        raise UsageError(
            f"[emission] of {source} also gives the competitions a share of {paying[COMPETITIONS]:g}",
            "Run `soundsright validator`, which pays both.",
        )


def _serve(
    settings: TiersSettings, organiser: CompetitionRules, chain: LiveChain, account: Hotkey, poll_s: float
) -> None:
    from soundsright import __version__
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.state import SqlRecords
    from soundsright.cli.shared.opening import health_socket, http_limits, opened_pool
    from soundsright.cli.shared.stopping import stopped_by_signals
    from soundsright.cli.shared.tiers_gateway import served_gateway
    from soundsright.cli.shared.validator_state import opened_state
    from soundsright.services.http import EmptyView, Health, HttpService, health_app
    from soundsright.services.validator import PayingService, PaymentContext, keep_ticking, sole_process

    clock = SystemClock()
    with (
        health_socket(settings) as sock,
        opened_state(settings, remove_first=False) as state,
        stopped_by_signals() as stop,
        ExitStack() as parts,
    ):
        context = organiser.emission, settings.burn_hotkey, chain, account, state, SqlRecords.beside(state)
        payment = PaymentContext(*context, clock, Health(clock), settings.weights_every_blocks, poll_s)
        parts.enter_context(sole_process(state, "validator", clock=clock, lost=stop.set))
        pool = parts.enter_context(opened_pool(settings))
        verifier = parts.enter_context(opened_verifier(settings, organiser, payment, state, pool))
        gateway = parts.enter_context(served_gateway(settings, organiser, account, verifier))
        service = None if settings.neuron_disable_set_weights else PayingService(payment, [verifier])
        app = health_app(payment.health, service or EmptyView(), service="verifier", version=__version__)
        api = HttpService(app, sock, name="health", limits=http_limits(settings)).start()
        parts.callback(api.close)
        click.echo(f"{account.address} verifies provers. {gateway}")
        if service is not None:
            service.run(stop)
            return
        keep_ticking(
            lambda: verifier.tick(chain.finalized().number, chain.neurons()), stop, payment.health, poll_s=poll_s
        )
