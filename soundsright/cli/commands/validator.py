"""`soundsright validator`: judge every round, set weights, send each miner its results."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.competition_request import shown_metrics
from soundsright.cli.shared.executor_payment import check_burn_hotkey, check_services, executor_subsystems
from soundsright.cli.shared.federation_beside import FederationBeside, federation_beside
from soundsright.cli.shared.log_keeping import check_log_settings, kept_log
from soundsright.cli.shared.options import env_file_option, option, poll_option
from soundsright.cli.shared.public_recordings import warn_of_public_recordings
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.cli.shared.tiers_beside import TiersBeside, tiers_beside
from soundsright.cli.shared.validator_state import opened_state
from soundsright.config import ValidatorSettings
from soundsright.core.emission import COMPETITIONS, DEFAULT_EMISSION, EmissionRules
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    import socket

    from soundsright.adapters.peers import Hotkey
    from soundsright.core.competition import Competition
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.material import Material
    from soundsright.core.ports import LiveChain
    from soundsright.core.schedule import Schedule
    from soundsright.services.http import HttpService, Limits
    from soundsright.services.rounds import RoundOutcome
    from soundsright.services.validator import (
        PaymentContext,
        SubnetSettings,
        Subsystem,
        ValidatorContext,
        ValidatorService,
        Work,
    )


@click.command("validator")
@env_file_option
@option(
    "--dry-run",
    is_flag=True,
    help="Judge the latest round in STATE_FOLDER/dry-run and print its weights. Write nothing to the chain.",
)
@poll_option
@option(
    "--pay-on-public-corpus",
    is_flag=True,
    help="Pay prizes also on recordings that anybody may have heard: SOUNDSRIGHT_PAY_ON_PUBLIC_CORPUS=true.",
)
@settings_options(ValidatorSettings)
def command(env_file: Path | None, dry_run: bool, poll_s: float, pay_on_public_corpus: bool, **flags: Any) -> None:
    """Run a validator: judge rounds, set weights, send feedback.

    \b
    cp .validator-env.sample .env      # then fill it in
    soundsright validator --dry-run
    soundsright validator

    Settings come from flags, the environment or .env. All validators of one subnet need the same rules.
    """
    from soundsright.cli.shared.opening import account_with_log, opened_service
    from soundsright.services.self_check import check_machine
    from soundsright.services.validator import check_account, minute_of

    if pay_on_public_corpus:
        flags["soundsright_pay_on_public_corpus"] = "true"
    settings = settings_from(ValidatorSettings, flags, env_file)
    if dry_run:
        # A dry run has its own folder, so it changes nothing for the validator that sets weights.
        settings = settings.model_copy(update={"state_folder": settings.folder / "dry-run"})
    check_log_settings(settings)
    own = account_with_log(settings)
    subnet = _subnet_settings(settings)
    federation = federation_beside(settings, flags, env_file, dry_run=dry_run)
    tiers = tiers_beside(settings, flags, env_file, dry_run=dry_run)
    check_machine()
    with opened_service(settings, own) as (account, chain):
        check_account(chain, account.address, sets_weights=not dry_run)
        federation.check(chain, account.address)
        if dry_run and subnet.schedule.last_started(chain.timestamp_s(chain.finalized().number)) is None:
            click.echo(f"No round has started. The first starts at {minute_of(subnet.schedule.start_s(0))}.")
            return
        _serve(settings, subnet, chain, account, federation, tiers, poll_s=poll_s, dry_run=dry_run)


def _serve(
    settings: ValidatorSettings,
    subnet: SubnetSettings,
    chain: LiveChain,
    account: Hotkey,
    federation: FederationBeside,
    tiers: TiersBeside,
    *,
    poll_s: float,
    dry_run: bool,
) -> None:
    """Judge rounds until a signal stops it; with `dry_run`, one round."""
    from soundsright.adapters.chains import DrandTimelock
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.peers import SignedPeers, valid_signature
    from soundsright.adapters.state import SqlRecords
    from soundsright.cli.shared.opening import health_socket, http_limits
    from soundsright.cli.shared.stopping import stopped_by_signals
    from soundsright.core.endpoint import PeerNetworks
    from soundsright.services.http import Health
    from soundsright.services.validator import ValidatorContext, ValidatorService, sole_process

    clock = SystemClock()
    with (
        health_socket(settings) as sock,
        opened_state(settings, remove_first=dry_run) as state,
        _opened_work(settings) as work,
        stopped_by_signals() as stop,
    ):
        context = ValidatorContext(
            subnet,
            work,
            chain=chain,
            account=account,
            state=state,
            records=SqlRecords.beside(state),
            peers=SignedPeers(account, PeerNetworks.of(settings.soundsright_peer_networks)),
            clock=clock,
            health=Health(clock),
            valid_signature=valid_signature,
            endpoint="" if dry_run else _endpoint(settings),
            timelock=DrandTimelock(_relays(settings)),
            poll_s=poll_s,
            dry_run=partial(_print_weights, settings.burn_hotkey, emission=subnet.emission) if dry_run else None,
        )
        with (
            sole_process(state, "validator", clock=clock, lost=stop.set),
            tiers.verifier(context.payment, account, state, work.pool) as verifiers,
        ):
            beside = _subsystems(settings, subnet, context.payment, federation)
            service = ValidatorService(context, (*beside, *verifiers))
            api = _health_api(subnet, context, service, sock, http_limits(settings))
            _say_what_is_judged(subnet, account, work)
            with (
                _served_reveals(settings, service, context),
                _kept_log(settings, context),
                federation.sampler(context.payment, state, work.pool, stop.set),
            ):
                api.start()
                service.run(stop)
            api.close()


def _subsystems(
    settings: ValidatorSettings, subnet: SubnetSettings, payment: PaymentContext, federation: FederationBeside
) -> tuple[Subsystem, ...]:
    """The systems beside the rounds that the organiser's file gives a share."""
    from soundsright.library import organiser_of

    # All competitions take turns in the executor, also those that this validator does not judge.
    organiser = organiser_of(settings.soundsright_ruleset, begun=True)
    images = executor_subsystems(settings, organiser, payment, subnet.measures.material, subnet.schedule)
    return (*images, *federation.subsystems(payment))


def _kept_log(settings: ValidatorSettings, context: ValidatorContext) -> AbstractContextManager[None]:
    """Append each signed round to the log of the settings. A dry run signs none."""
    from soundsright.services.log import signed_record

    if context.dry_run is not None:
        return nullcontext()
    state, rounds = context.state, context.work.folder / "rounds"
    return kept_log(
        *(settings, state, lambda round_id: signed_record(state, rounds / round_id, round_id)),
        *(lambda round_id: rounds / round_id, context.health),
    )


def _health_api(
    subnet: SubnetSettings,
    context: ValidatorContext,
    service: ValidatorService,
    sock: socket.socket,
    limits: Limits,
) -> HttpService:
    from soundsright import __version__
    from soundsright.services.http import HttpService, health_app
    from soundsright.services.validator import ValidatorView

    view = ValidatorView(context.state, subnet.rules.competitions, subnet.schedule, service.chain_time_s)
    app = health_app(context.health, view, service="validator", version=__version__)
    return HttpService(app, sock, name="health", limits=limits)


def _say_what_is_judged(subnet: SubnetSettings, account: Hotkey, work: Work) -> None:
    from soundsright.library import speech_description

    competitions, measures = subnet.rules.competitions, subnet.measures
    ids = ", ".join(competition.id for competition in competitions)
    click.echo(f"{account.address} judges {ids}; {_description(work)}")
    click.echo(speech_description(measures.material.speech, competitions, measures.clips))
    warn_of_public_recordings(measures.material, competitions, pays=subnet.pay_on_public_corpus)


def _endpoint(settings: ValidatorSettings) -> str:
    """The endpoint to publish on the chain; empty if there is none."""
    return f"{settings.axon_external_ip}:{settings.axon_port}" if settings.axon_external_ip else ""


def _relays(settings: ValidatorSettings) -> list[str]:
    return [part.strip() for part in settings.drand_relays.split(",") if part.strip()]


@contextmanager
def _served_reveals(
    settings: ValidatorSettings, service: ValidatorService, context: ValidatorContext
) -> Iterator[None]:
    """Answer other validators on AXON_PORT, if the context has an endpoint to publish."""
    if not context.endpoint:
        yield
        return
    from soundsright.adapters.peers import RateLimit
    from soundsright.cli.shared.opening import http_limits, request_gate
    from soundsright.services.http import HttpService, listening, sign_answers
    from soundsright.services.validator import validator_app

    app = validator_app(
        service.shared,
        admit=request_gate(settings, context.account.address).admit,
        throttle=RateLimit(per_minute=120, burst=120).check,
    )
    sign_answers(app, context.account.sign)
    sock = listening("0.0.0.0", settings.axon_port, host_variable="AXON_PORT", port_variable="AXON_PORT")
    axon = HttpService(app, sock, name="axon", limits=http_limits(settings)).start()
    try:
        yield
    finally:
        axon.close()


def _subnet_settings(settings: ValidatorSettings) -> SubnetSettings:
    """The rules by which this validator judges.

    Raises:
        UsageError: the settings or the organiser's file do not fit together, or recordings are missing.
    """
    from soundsright.cli.shared.opening import schedule_of
    from soundsright.cli.shared.speech_settings import material_of
    from soundsright.core.competition_rules import Measures
    from soundsright.library import organiser_of
    from soundsright.metrics import floors
    from soundsright.services.validator import SubnetSettings

    check_burn_hotkey(settings)
    organiser = organiser_of(settings.soundsright_ruleset, begun=True)
    check_services(settings, organiser.emission)
    competitions = _judged(settings, organiser)
    material = material_of(settings, organiser, competitions)
    schedule = schedule_of(settings, organiser)
    _check_material(material, schedule, competitions)
    metrics = shown_metrics(competitions)
    return SubnetSettings(
        replace(organiser, competitions=competitions),
        Measures(settings.soundsright_clips, metrics, floors(metrics), material),
        schedule=schedule,
        burn_hotkey=settings.burn_hotkey,
        emission=organiser.emission,
        weights_every_blocks=settings.weights_every_blocks,
        pay_on_public_corpus=settings.soundsright_pay_on_public_corpus,
    )


def _check_material(material: Material, schedule: Schedule, competitions: Sequence[Competition]) -> None:
    """Open the recordings of the present round.

    Raises:
        UsageError: they are missing, or a competition has no speech at its rate.
    """
    from soundsright.services.rounds import opened

    if material.is_private:
        number = schedule.last_started(time.time())
        material = replace(material, round_number=0 if number is None else number + 1)
    recordings = opened(material)
    for competition in competitions:
        if material.speech_for(competition.sample_rate_hz) is None:
            recordings.corpus.speech_for(competition.sample_rate_hz)


def _judged(settings: ValidatorSettings, organiser: CompetitionRules) -> tuple[Competition, ...]:
    """The organiser's competitions that SOUNDSRIGHT_COMPETITION names; all if it is empty.

    Raises:
        UsageError: the organiser has no competition of a name.
    """
    from soundsright.core.competition import competition_by_id

    offered = organiser.competitions
    try:
        chosen = {competition_by_id(name, offered).id for name in settings.competition_names}
    except UsageError as error:
        problem = f"SOUNDSRIGHT_COMPETITION: {error.problem} in {settings.soundsright_ruleset}"
        raise UsageError(problem, error.remedy) from error
    return tuple(competition for competition in offered if not chosen or competition.id in chosen)


@contextmanager
def _opened_work(settings: ValidatorSettings) -> Iterator[Work]:
    """The hub, sandbox and processes with which a validator works."""
    from soundsright.adapters.machine import ProcessPool
    from soundsright.adapters.sandboxes import usable_cpus
    from soundsright.adapters.state import Artifacts
    from soundsright.cli.shared.opening import opened_hub, opened_sandbox, sandbox_choice
    from soundsright.cli.shared.sandboxes import chosen_concurrency
    from soundsright.core.ports import SandboxLimits
    from soundsright.metrics import warm_up
    from soundsright.services.validator import Work

    workers = settings.soundsright_workers or len(usable_cpus())
    choice = sandbox_choice(settings)
    hub, sandbox = opened_hub(settings), opened_sandbox(settings, choice)
    with closing(ProcessPool(workers, warm_up=warm_up)) as pool:
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


def _publish(outcome: RoundOutcome, folder: Path) -> Mapping[str, Mapping[str, object]]:
    """Write results.json, scores.jsonl and report.html. Returns each miner's feedback by hotkey."""
    from soundsright.services.records import feedback_of, results_of, scores_of
    from soundsright.services.report import write_round

    results = results_of(outcome)
    write_round(folder, results, scores_of(outcome))
    return {feedback.hotkey: feedback.as_json() for feedback in feedback_of(outcome, results).values()}


def _print_weights(
    burn_hotkey: str, by_hotkey: Mapping[str, float], *, emission: EmissionRules = DEFAULT_EMISSION
) -> None:
    if not by_hotkey:
        reason = "was not registered at the close" if burn_hotkey else "is empty"
        click.echo(f"Dry run: no weights would be set, because nobody is paid and BURN_HOTKEY {reason}.")
        return
    if emission.is_default:
        click.echo("Dry run: these weights would be set.")
    else:
        share = emission.paying.get(COMPETITIONS, 0.0)
        click.echo(f"Dry run: the rounds have {share:.2%} of the emission and would pay these parts of it.")
    for hotkey, weight in sorted(by_hotkey.items(), key=lambda item: -item[1]):
        click.echo(f"{weight:8.5f}  {hotkey}")


def _description(work: Work) -> str:
    isolation = "isolated" if work.sandbox.isolated else "NOT isolated: run only models that you trust"
    return f"models run in {work.sandbox.name} ({isolation})"
