"""The two halves of a validator in a federation: the sampler of its turns, and the system that pays the winners."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.federation_parts import (
    AgreedRules,
    own_bucket,
    peer_buckets,
    peer_places,
    source_bucket,
)
from soundsright.cli.shared.revealing import miner_reveals
from soundsright.cli.shared.speech_settings import material_of
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.adapters.state import SqlState
    from soundsright.config import FederationSettings
    from soundsright.core.ports import Bucket, LiveChain, Pool
    from soundsright.services.federation import (
        FederationSubsystem,
        SamplerContext,
        WeightsContext,
    )
    from soundsright.services.validator import PaymentContext


def check_places(settings: FederationSettings, own: str) -> None:
    """Check the settings of all buckets. Nothing is read.

    Raises:
        UsageError: one is missing or malformed, or PEER_VALIDATORS lacks the hotkey `own`.
    """
    peer_places(settings, own)
    own_bucket(settings)
    source_bucket(settings)


def check_listed(settings: FederationSettings, agreed: AgreedRules, chain: LiveChain, own: str) -> None:
    """Check that the hotkey `own` is on the owner's list. Without a list, say so on stderr: it can come later.

    Raises:
        UsageError: it is not on the list.
        ChainUnavailable: the chain does not answer.
    """
    from soundsright.cli.shared.federation_reading import found_list
    from soundsright.services.federation import NoAllowlist

    found = found_list(settings, agreed, chain, chain.finalized().number)
    if isinstance(found, NoAllowlist):
        click.echo(
            f"Warning: {found.sentence} Until there is a list, nothing is judged and weights stay.", err=True
        )
        return
    if own not in found.validators:
        raise UsageError(
            f"The owner's list of validators does not have this hotkey, {own}", "Ask the owner to add it."
        )
    peers = {peer.hotkey for peer in settings.peers}
    for hotkey in found.validators:
        if hotkey not in peers:
            click.echo(
                f"Warning: PEER_VALIDATORS has no entry for {hotkey}, so its verdicts are unknown.", err=True
            )


def weights_context(
    settings: FederationSettings,
    agreed: AgreedRules,
    payment: PaymentContext,
    *,
    dry_run: bool = False,
    draws: bool = False,
) -> WeightsContext:
    """The rules and ports with which weights are decided. In a dry run, a folder stands in for the own bucket.

    `draws` says that a sampler of this process draws the sets of others.

    Raises:
        UsageError: a setting of a bucket is missing or malformed.
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.metrics import floors
    from soundsright.services.federation import TaskSettings, WeightsContext, drawing_settings

    if payment.records is None:
        raise ValueError("the federation's system needs the records of the state")
    metrics = {metric for competition in agreed.competitions for metric in competition.metric_weights}
    own = (
        TaskSettings(agreed.rules, agreed.organiser, material_of(settings, agreed.organiser, agreed.competitions))
        if draws
        else None
    )
    return WeightsContext(
        agreed.rules,
        agreed.organiser,
        payment.chain,
        None if dry_run else payment.account,
        _dry_bucket(settings) if dry_run else own_bucket(settings),
        source_bucket(settings),
        peer_buckets(settings),
        payment.records,
        payment.clock,
        settings.folder,
        valid_signature,
        floors=floors(sorted(metrics)),
        at_once=settings.aggregation_read_concurrency,
        draws=() if own is None else drawing_settings(own),
    )


def _dry_bucket(settings: FederationSettings) -> Bucket:
    from soundsright.adapters.buckets import FolderBucket, new_bucket_folder

    return FolderBucket(new_bucket_folder(settings.folder / "bucket"))


def federation_system(
    settings: FederationSettings,
    agreed: AgreedRules,
    payment: PaymentContext,
    *,
    dry_run: bool = False,
    draws: bool = False,
) -> FederationSubsystem:
    """The system that pays the federation's winners. It reads nothing before its first tick."""
    from soundsright.services.federation import FederationSubsystem

    context = weights_context(settings, agreed, payment, dry_run=dry_run, draws=draws)
    return FederationSubsystem(context, health=payment.health)


@contextmanager
def running_sampler(
    settings: FederationSettings,
    agreed: AgreedRules,
    payment: PaymentContext,
    state: SqlState,
    pool: Pool,
    *,
    lost: Callable[[], None],
) -> Iterator[str]:
    """Judge the tasks of this validator's turns in a thread. Gives the name of the sandbox.

    Raises:
        UsageError: another process or machine judges for this hotkey, no sandbox can be used, or recordings are
            missing.
        BucketForbidden, BucketUnavailable, BucketUnsuitable: the own bucket cannot be written.
    """
    from soundsright.adapters.buckets import check_bucket
    from soundsright.adapters.state import SqlRecords
    from soundsright.cli.shared.federation_reporting import reporting
    from soundsright.services.federation import Sampler, machine_of, sole_machine, sole_sampler

    own, bucket, records = payment.account.address, own_bucket(settings), SqlRecords.beside(state)
    with ExitStack() as stack:
        stack.enter_context(sole_sampler(state, own, clock=payment.clock, lost=lost))
        check_bucket(bucket, writes=True)
        stack.enter_context(sole_machine(bucket, machine_of(records), own, sleep=payment.clock.sleep))
        context = _sampler_context(settings, agreed, payment, state, pool)
        problem = partial(payment.health.problem, "federation.sampler")
        ended = threading.Event()
        with reporting(settings, context, records) as published:
            sampler = Sampler(context, poll_s=settings.sampler_poll_interval, problem=problem, published=published)
            thread = threading.Thread(target=sampler.run, args=[ended], name="federation-sampler")
            thread.start()
            try:
                yield context.sandbox.name
            finally:
                ended.set()
                thread.join()


def _sampler_context(
    settings: FederationSettings,
    agreed: AgreedRules,
    payment: PaymentContext,
    state: SqlState,
    pool: Pool,
) -> SamplerContext:
    from soundsright.adapters.sandboxes import usable_cpus
    from soundsright.cli.shared.opening import opened_hub, opened_sandbox, sandbox_choice, schedule_of
    from soundsright.cli.shared.sandboxes import chosen_concurrency
    from soundsright.core.ports import SandboxLimits
    from soundsright.services.federation import SCOPE, KnownVerdicts, SamplerContext, SetDrawing

    folder = settings.folder / "federation"
    choice, limits = sandbox_choice(settings), SandboxLimits()
    known = KnownVerdicts(weights_context(settings, agreed, payment, draws=True))
    cancelled, workers = threading.Event(), settings.soundsright_workers or len(usable_cpus())
    problem = partial(payment.health.problem, "federation.sets")
    others = folder / "sets-of-others"
    drawing = SetDrawing(
        known, pool, payment.clock, others, jobs=workers, is_cancelled=cancelled.is_set, problem=problem
    )
    return SamplerContext(
        agreed.rules,
        agreed.organiser,
        payment.chain,
        payment.account,
        # Rounds remove the models that they no longer need from their own cache, and would remove those of a task.
        opened_hub(settings.model_copy(update={"state_folder": folder})),
        opened_sandbox(settings, choice, round_id="federation"),
        pool,
        payment.clock,
        state.scoped(SCOPE),
        own_bucket(settings),
        folder,
        known.allowlist,
        known.shown,
        miner_reveals(settings, agreed.organiser, payment, state),
        material=material_of(settings, agreed.organiser, agreed.competitions),
        schedule=schedule_of(settings, agreed.organiser),
        verdicts_before=known.before,
        slots=chosen_concurrency(choice, limits, settings.soundsright_slots),
        workers=workers,
        kept_tasks=settings.soundsright_kept_rounds,
        sandbox_limits=limits,
        cancelled=cancelled,
        idle=drawing.draw,
    )


def warn_of_public(settings: FederationSettings, agreed: AgreedRules, chain: LiveChain) -> None:
    """Say on stderr which competitions pay nobody, because this validator's recordings are public.

    Raises:
        UsageError: there are no recordings.
        ChainUnavailable: the chain does not answer.
    """
    from soundsright.cli.shared.opening import schedule_of
    from soundsright.cli.shared.public_recordings import warn_of_public_recordings
    from soundsright.services.rounds import material_of_round

    now_s = chain.timestamp_s(chain.finalized().number)
    schedule = schedule_of(settings, agreed.organiser)
    material = material_of_round(material_of(settings, agreed.organiser, agreed.competitions), schedule, now_s)
    warn_of_public_recordings(material, agreed.competitions, pays=agreed.rules.pay_on_public)
