"""The parts of a prover, which is a miner whose port also serves its model."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.opening import http_limits, opened_hub, opened_sandbox, request_gate, sandbox_choice
from soundsright.core.errors import EntryRefused, UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from soundsright.adapters.peers import Hotkey
    from soundsright.config import TiersSettings
    from soundsright.core.ports import LiveChain, Runner
    from soundsright.core.submission import FetchedModel
    from soundsright.services.http import Health
    from soundsright.services.miner import Entry, MinerService
    from soundsright.services.prover import Prover

_REQUESTS_PER_MINUTE = 1_200


def model_runner(settings: TiersSettings) -> Runner:
    """The runner of the model: a sandbox, or the program of PROVER_MODEL_ENDPOINT.

    Raises:
        UsageError: no sandbox can be used here, or the address has another form.
    """
    from soundsright.adapters.sandboxes import EndpointRunner

    if settings.prover_model_endpoint:
        if settings.prover_slots > 1:
            raise UsageError(
                f"PROVER_SLOTS is {settings.prover_slots}, and a model at PROVER_MODEL_ENDPOINT takes one recording"
                " at a time",
                "Set PROVER_SLOTS to 1.",
            )
        return EndpointRunner(settings.prover_model_endpoint)
    return opened_sandbox(settings, sandbox_choice(settings), round_id="prover")


def fetched_entry(settings: TiersSettings, entry: Entry) -> FetchedModel:
    """The files of the committed model, from the hub or the own cache.

    Raises:
        UsageError: a verifier would refuse the model.
        HubUnavailable: the hub does not answer.
    """
    from soundsright.core.submission import Submission
    from soundsright.library import organiser_of

    submission = Submission(
        *(0, entry.account.address, entry.competition, entry.model), block=0, archive_key=entry.archive_key
    )
    limits = organiser_of(settings.soundsright_ruleset, begun=True).fetch_limits
    try:
        return opened_hub(settings).fetch(submission, limits=limits)
    except EntryRefused as refused:
        raise UsageError(
            f"{entry.model}: {refused.sentence}", "Fix it: a verifier would refuse it too."
        ) from refused


def served_prover(settings: TiersSettings, entry: Entry, model: FetchedModel, runner: Runner) -> Prover:
    """The prover of a model, which is not started yet."""
    from soundsright.core.tiers import ServedModel
    from soundsright.services.prover import Prover

    competition = entry.competition
    offer = ServedModel(
        entry.account.address,
        str(entry.model),
        competition.id,
        competition.sample_rate_hz,
        settings.prover_max_audio_s,
        settings.prover_slots,
    )
    return Prover(runner, model, offer)


def prover_axon(
    settings: TiersSettings, miner: MinerService, prover: Prover, chain: LiveChain, account: Hotkey
) -> FastAPI:
    """The app on the prover's port. It answers verifiers by the model, and validators as a miner does.

    A hotkey has one endpoint on the chain, so both are at the same one.
    """
    from soundsright.adapters.peers import RateLimit
    from soundsright.services.miner import miner_app
    from soundsright.services.prover import CallerRules, PermittedCallers, ProverAccess, prover_app

    admit = request_gate(settings, account.address).admit
    rules = CallerRules(
        settings.blacklist_force_verifier_permit,
        settings.blacklist_allow_non_registered,
        settings.validator_min_stake,
    )
    access = ProverAccess(
        admit,
        RateLimit(per_minute=_REQUESTS_PER_MINUTE, burst=_REQUESTS_PER_MINUTE).check,
        PermittedCallers(chain, rules).check,
    )
    app = prover_app(prover, access, sign=account.sign)
    # The prover's app signs also what the miner's app answers, which gets every other path.
    app.mount("/", miner_app(miner, admit=admit, throttle=RateLimit(per_minute=30, burst=30).check))
    return app


def serve_prover(
    settings: TiersSettings,
    miner: MinerService,
    prover: Prover,
    chain: LiveChain,
    account: Hotkey,
    health: Health,
) -> None:
    """Serve the model, and answer as a miner, until a signal stops it.

    Raises:
        UsageError: a port is in use.
    """
    from soundsright import __version__
    from soundsright.cli.shared.opening import health_socket
    from soundsright.cli.shared.stopping import stopped_by_signals
    from soundsright.services.http import HttpService, health_app, listening

    with ExitStack() as parts:
        own = parts.enter_context(health_socket(settings))
        sock = listening("0.0.0.0", settings.prover_port, host_variable="PROVER_PORT", port_variable="PROVER_PORT")
        stop = parts.enter_context(stopped_by_signals())
        parts.enter_context(closing(prover))
        limits = http_limits(settings)
        health_api = health_app(health, miner, service="prover", version=__version__)
        app = prover_axon(settings, miner, prover, chain, account)
        services = [
            HttpService(health_api, own, name="health", limits=limits),
            HttpService(app, sock, name="prover", limits=limits, has_streams=True),
        ]
        for service in services:
            parts.callback(service.start().close)
        prover.start()
        offer = prover.offer
        click.echo(f"{offer.hotkey} serves its model for {offer.competition} on port {services[1].port}")
        miner.run(stop)
