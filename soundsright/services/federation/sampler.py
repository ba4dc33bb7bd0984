"""The sampler: when its turn comes, it judges a task and publishes audio and verdict in its own bucket.

The turn follows from the last final block and the allowlist. A backup has its turn only if each validator before it
certainly shows no valid verdict: a bucket that cannot be read may have one. A fault of this validator's own engine,
disk, bucket or chain gives no verdict and stops nothing: the work is tried again after growing pauses, until the
task's time is over. Blocks are counted, times are in seconds.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from soundsright.core.errors import (
    BucketExists,
    BucketMissing,
    BucketTooLarge,
    InfrastructureFault,
    UsageError,
)
from soundsright.core.federation import Verdict
from soundsright.core.ports import Clock
from soundsright.ranking import Turn, failover_order, turn
from soundsright.services.federation import federation_steps
from soundsright.services.federation.claims import claim_task, last_verdict, remove_old_claims
from soundsright.services.federation.context import KnownValidators, SamplerContext
from soundsright.services.federation.federation_steps import (
    AbandonedStep,
    ClaimStep,
    PublishedStep,
    SignedStep,
    TurnStep,
)
from soundsright.services.federation.judging import JudgedTask, begun_task, judged_task
from soundsright.services.federation.object_keys import verdict_key
from soundsright.services.federation.task import task_id, task_of
from soundsright.services.federation.task_files import put_task_files
from soundsright.services.federation.verdict import MAX_VERDICT_BYTES, sign_verdict
from soundsright.services.rounds import fetched_contents, steps
from soundsright.services.validator import IDLE, RUNNING, Leases, RepeatedWork, sole_process

_log = logging.getLogger(__name__)

POLL_S = 60.0
LONGEST_PAUSE_S = 120.0


@dataclass(frozen=True)
class _OwnTurn:
    """A turn of this validator, the block at which it was noticed, and the allowlist that gives it."""

    turn: Turn
    block: int
    allowlist: KnownValidators


class Sampler(RepeatedWork):
    """Judges the tasks of this validator's turns. One thread calls `run` or `tick`, any thread `status`.

    `problem` receives the sentence of a fault that lasts, or None when it is over. `published` receives the number
    of each task whose verdict stands in the bucket.
    """

    def __init__(
        self,
        context: SamplerContext,
        *,
        poll_s: float = POLL_S,
        problem: Callable[[str | None], None] = lambda _sentence: None,
        published: Callable[[int], None] = lambda _task: None,
    ) -> None:
        super().__init__("sampler", context, poll_s=poll_s, longest_s=LONGEST_PAUSE_S, problem=problem)
        self._context = context
        self._published = published
        self._task: int | None = None
        self._open: int | None = None
        self._has_resumed = False

    def status(self) -> Mapping[str, Any]:
        """The state, the task that is judged or was judged last, and why the sampler waits."""
        return {"state": self._state, "task": self._task, "waits_for": self._waits_for}

    def _rest(self) -> None:
        self._state = IDLE  # The reason why there is no task stays in the status.

    def _work(self) -> None:
        context = self._context
        finalized = context.chain.finalized().number
        if not self._has_resumed:
            self._open, self._has_resumed = self._unfinished(), True
        task = self._open
        if task is not None and finalized >= context.last_block(task):
            if self._end(task, f"Block {finalized} is after its time"):
                self._published(task)
            task = None
        if task is None:
            own = self._due(finalized)
            if isinstance(own, str):
                self._wait(own)
                context.idle()
                return
            task = own.turn.task
            self._begin(own)
        self._state, self._task, self._waits_for = RUNNING, task, ""
        if self._finish(task):
            self._published(task)
        self._remove_old_files()

    def _unfinished(self) -> int | None:
        """The task that has begun in a turn of this validator, and has neither a verdict nor been abandoned."""
        state = self._context.state
        rounds = state.rounds()
        if not rounds:
            return None
        last = rounds[-1]
        if steps.read(state, last, federation_steps.TURN) is None or self._is_over(last):
            return None
        return task_of(last)

    def _is_over(self, round_id: str) -> bool:
        state = self._context.state
        if steps.read(state, round_id, federation_steps.PUBLISHED) is not None:
            return True
        return steps.read(state, round_id, federation_steps.ABANDONED) is not None

    def _due(self, finalized: int) -> _OwnTurn | str:
        """The turn of this validator if it has to judge a task now, or the reason why it has not."""
        context = self._context
        allowlist = context.allowlist(finalized)
        if allowlist is None:
            return "no allowlist holds"
        validators, own = allowlist.validators, context.account.address
        if own not in validators:
            return "this hotkey is not on the allowlist"
        rules = context.rules
        now = turn(finalized, len(validators), rules.interval_blocks, rules.grace_blocks)
        if validators[now.sampler] != own or now.task < 1:
            return f"task {now.task} is the turn of {validators[now.sampler]}"
        if self._is_over(task_id(now.task)):
            return f"task {now.task} is done"
        order = [validators[place] for place in failover_order(now.task, len(validators))]
        before = order[: order.index(own)]
        shown = {hotkey: context.shown(now.task, hotkey) for hotkey in (*before, own)}
        done = next((hotkey for hotkey, is_shown in shown.items() if is_shown), None)
        if done is not None:
            return f"task {now.task} has a verdict of {done}"
        unknown = [hotkey for hotkey, is_shown in shown.items() if is_shown is None]
        if unknown:
            return f"task {now.task} may have a verdict of {unknown[0]} that is unreadable or not checked yet"
        return _OwnTurn(now, finalized, allowlist)

    def _wait(self, reason: str) -> None:
        if reason != self._waits_for:
            self._waits_for = reason
            _log.info("no task: %s", reason, extra={"action": "no_task"})

    def _begin(self, own: _OwnTurn) -> None:
        context, task = self._context, own.turn.task
        begun_task(context, task, context.settings(task))
        step = TurnStep(own.block, own.allowlist.digest)
        steps.write(context.state, task_id(task), federation_steps.TURN, step)
        self._open = task
        _log.info("task %d begins", task, extra={"action": "task_begins", "task": task, "step": own.turn.step})

    def _finish(self, task: int) -> bool:
        """Judge the task and publish it. Returns whether the verdict stands in the bucket.

        Raises:
            InfrastructureFault: something around this validator failed. Call it again to continue.
            UsageError: the task began under other settings, or another machine with this hotkey has claimed it.
            Cancelled: the sampler stops.
        """
        context, round_id = self._context, task_id(task)
        self._claim(task)
        try:
            judged = judged_task(context, task)
        except UsageError as error:
            # Other rules or recordings than it began with: to try again would only delay the next task.
            if self._end(task, str(error)):
                return True
            raise
        signed = steps.read(context.state, round_id, federation_steps.SIGNED)
        if signed is None:
            signed = self._signed(task, judged)
            steps.write(context.state, round_id, federation_steps.SIGNED, signed)
        context.raise_if_cancelled()
        put_task_files(context.bucket, judged, task, validator=context.account.address)
        context.raise_if_cancelled()
        if not self._put_verdict(task, signed.envelope.encode()):
            self._abandon(task, "The bucket has another verdict of this hotkey on it")
            return False
        self._record(task, signed)
        return True

    def _record(self, task: int, signed: SignedStep) -> None:
        steps.write(self._context.state, task_id(task), federation_steps.PUBLISHED, PublishedStep(signed.digest))
        self._open = None
        _log.info("task %d is published", task, extra={"action": "task_published", "task": task})

    def _claim(self, task: int) -> None:
        """Claim the task in the bucket for this machine. The claim is recorded first, so a restart has the same.

        Raises:
            UsageError: another machine with this hotkey has claimed it. The task is abandoned.
        """
        context, round_id = self._context, task_id(task)
        step = steps.read(context.state, round_id, federation_steps.CLAIM)
        if step is None:
            step = ClaimStep(secrets.token_hex(16))
            steps.write(context.state, round_id, federation_steps.CLAIM, step)
        if not claim_task(context.bucket, task, context.account.address, step.claim):
            reason = f"Another machine with the hotkey {context.account.address} has claimed task {task}"
            self._abandon(task, reason)
            raise UsageError(reason, "Run one sampler for each hotkey, and keep its state.")

    def _signed(self, task: int, judged: JudgedTask) -> SignedStep:
        context = self._context
        own = steps.read(context.state, task_id(task), federation_steps.TURN)
        assert own is not None
        verdict = Verdict(
            task,
            context.account.address,
            own.block,
            judged.block_hash,
            own.allowlist,
            judged.settings.rules_digest,
            {competition_id: clips.digest for competition_id, clips in judged.sets.items()},
            judged.unprocessed,
            judged.rows,
            self._previous(task),
            judged.material,
        )
        envelope = sign_verdict(verdict, context.account).decode()
        document = json.loads(envelope)["document"]
        return SignedStep(envelope, hashlib.sha256(document.encode()).hexdigest())

    def _previous(self, task: int) -> str:
        """The digest of this validator's last verdict before the task; empty if it has none.

        The state may have been lost or restored, so the bucket is asked for a later one.
        """
        context = self._context
        last = steps.latest(context.state, federation_steps.PUBLISHED)
        after, known = (-1, "") if last is None else (task_of(last[0]), last[1].digest)
        return last_verdict(context.bucket, context.account.address, range(after + 1, task)) or known

    def _put_verdict(self, task: int, raw: bytes) -> bool:
        """Create the verdict in the bucket. Returns False if another one stands there."""
        context = self._context
        key = verdict_key(task, context.account.address)
        try:
            context.bucket.put(key, raw, create=True)
        except BucketExists:
            return context.bucket.get(key, MAX_VERDICT_BYTES) == raw
        return True

    def _end(self, task: int, reason: str) -> bool:
        """Abandon the task, unless its verdict stands in the bucket already. Returns whether it does."""
        context = self._context
        signed = steps.read(context.state, task_id(task), federation_steps.SIGNED)
        if signed is not None:
            raw = signed.envelope.encode()
            with suppress(BucketMissing, BucketTooLarge):
                if context.bucket.get(verdict_key(task, context.account.address), len(raw)) == raw:
                    self._record(task, signed)
                    return True
        self._abandon(task, reason)
        return False

    def _abandon(self, task: int, reason: str) -> None:
        _log.warning("task %d gets no verdict: %s", task, reason, extra={"action": "task_abandoned", "task": task})
        steps.write(self._context.state, task_id(task), federation_steps.ABANDONED, AbandonedStep(reason))
        self._open = None

    def _remove_old_files(self) -> None:
        """Remove audio, models and claims that no kept task needs. What cannot be removed does no harm."""
        context = self._context
        remove_old_claims(context.bucket)
        tasks = context.state.rounds()
        for round_id in tasks[: -context.kept_tasks][-2 * context.kept_tasks :]:
            shutil.rmtree(context.folder / "tasks" / round_id, ignore_errors=True)
        with suppress(InfrastructureFault):
            context.hub.forget(set(fetched_contents(context.state, tasks[-context.kept_tasks :])))


@contextmanager
def sole_sampler(leases: Leases, hotkey: str, *, clock: Clock, lost: Callable[[], None]) -> Iterator[None]:
    """Refuse a second sampler of the same hotkey on the same state while the block runs.

    Raises:
        UsageError: another process judges for this hotkey.
        StateUnavailable: the state does not answer.
    """
    with sole_process(
        leases,
        f"federation:{hotkey}",
        clock=clock,
        lost=lost,
        used=f"the hotkey {hotkey} as a sampler",
    ):
        yield
