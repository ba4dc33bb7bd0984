"""The coordinator: who may submit which image, and which round it is. Times are in seconds since the epoch.

One thread reads the chain again and again. Requests are answered from what it read last, and never wait for it. If
the chain was not read for a minute, nobody knows who is registered, so requests fail instead.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from soundsright.core.competition import Competition
from soundsright.core.errors import (
    ChainUnavailable,
    EntryRefused,
    InfrastructureFault,
    RecordConflict,
    RequestRefused,
    StateUnavailable,
)
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.image_rounds import ImageRound, image_round_at
from soundsright.core.images import MAX_SUBMISSIONS, Challenge, SubmittedImage
from soundsright.core.ports import AcceptedImage, Clock, LiveChain, Records
from soundsright.core.sources import ImageRef
from soundsright.services.http import Health, TaggedBody
from soundsright.services.subnet_api.submissions import StandingImage, SubmissionLog

MAX_VIEW_AGE_S = 60.0
MAX_PAUSE_S = 60.0
MAX_CLOCK_OFFSET_S = 10.0
_TRIES = 8

_log = logging.getLogger(__name__)


class CoolingDown(RequestRefused):
    """A hotkey that must wait before it submits another image. `standing` is its submission until then."""

    def __init__(self, standing: AcceptedImage, wait_s: int) -> None:
        until = datetime.fromtimestamp(standing.next_allowed_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
        super().__init__(
            "cooldown",
            f"{standing.submission.image} stands. The next image may come from {until} UTC on, in {wait_s} s",
            status=429,
        )
        self.standing = standing
        self.wait_s = wait_s


@dataclass(frozen=True)
class CoordinatorContext:
    """The ports, the rules and the settings of a coordinator.

    `validators` are the hotkeys of validators; if it is empty, every hotkey with a permit is one. `executors` are
    hotkeys that may read the round, besides validators and the chain's owner. `corpus_digest` is that of the
    recordings, and `clips` the number of clips in each set. `burn_ratio` is a part from 0 to 1.
    """

    chain: LiveChain
    records: Records
    clock: Clock
    health: Health
    rules: ExecutorRules
    competitions: tuple[Competition, ...]
    clips: int
    corpus_digest: str
    burn_ratio: float = 0.0
    validators: frozenset[str] = frozenset()
    executors: frozenset[str] = frozenset()
    poll_s: float = 12.0


@dataclass(frozen=True)
class _ChainView:
    """The chain as it was read at `read_at_s`. `uids` are by hotkey."""

    read_at_s: float
    uids: Mapping[str, int]
    permits: frozenset[str]
    owner: str | None
    round: ImageRound | None
    block_hash: str
    clock_offset_s: float


@dataclass
class _Listed:
    """The list of submissions as it was last written, and what it was written from."""

    position: int = -1
    uids: Mapping[str, int] = field(default_factory=dict)
    body: TaggedBody = field(default_factory=lambda: TaggedBody.of(b"[]"))


class Coordinator:
    """Answers the requests of the subnet API. Any thread may call its methods.

    Raises:
        ChainUnavailable: in every answer, if the chain was not read for `MAX_VIEW_AGE_S`.
        StateUnavailable: in every answer about submissions, if the records cannot be read or written.
    """

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context
        self._submissions = SubmissionLog(context.records)
        self._lock = threading.Lock()
        self._last_view: _ChainView | None = None
        self._listed = _Listed()

    def run(self, stop: threading.Event) -> None:
        """Read the chain until `stop` is set. If it does not answer, try again after growing pauses."""
        health = self._context.health
        health.set("neuron_running", True)
        pause_s = self._context.poll_s
        while not stop.is_set():
            try:
                self.tick()
                health.problem("chain", None)
                health.problem("service", None)
                pause_s = self._context.poll_s
            except InfrastructureFault as error:
                health.add("chain.failures")
                health.problem("chain", str(error))
                pause_s = min(2 * pause_s, MAX_PAUSE_S / 2)
            except Exception as error:  # noqa: BLE001 - reported below, with its trace
                _log.exception("a tick failed", extra={"action": "tick_failed"})
                health.problem("service", f"{type(error).__name__}: {error}. The log has the traceback.")
                pause_s = min(2 * pause_s, MAX_PAUSE_S / 2)
            health.problem("start", None)
            stop.wait(pause_s)
        health.set("neuron_running", False)

    def tick(self) -> None:
        """Read the chain once.

        Raises:
            ChainUnavailable: the chain does not answer.
        """
        chain, health, now_s = self._context.chain, self._context.health, self._context.clock.now()
        health.add("iterations")
        snapshot = chain.snapshot()
        present = image_round_at(chain.finalized().number, self._context.rules.update_blocks)
        before = self._last_view
        if before is not None and before.round == present:
            block_hash = before.block_hash
        else:
            block_hash = "" if present is None else chain.block_hash(present.seed_block)
        view = _ChainView(
            now_s,
            {neuron.hotkey: neuron.uid for neuron in snapshot.neurons},
            frozenset(neuron.hotkey for neuron in snapshot.neurons if neuron.permit),
            chain.owner(),
            present,
            block_hash,
            chain.clock_offset_s(now_s),
        )
        with self._lock:
            self._last_view = view
        health.set("chain.head_block", snapshot.block.number)
        health.problem("clock", self._clock_problem(view))

    def submit(self, sender: str, hotkey: str, reference: str) -> AcceptedImage:
        """Accept an image of the hotkey, or return its submission that stands if it names the same image.

        Raises:
            RequestRefused: `bad_image_ref`, `wrong_hotkey`, `not_registered`, or `cooldown` as `CoolingDown`.
            InfrastructureFault: this machine's clock differs from the chain's.
        """
        image = _image(reference)
        if sender != hotkey:
            raise RequestRefused("wrong_hotkey", "The request is signed by another hotkey than it names")
        view = self._view()
        if sender not in view.uids:
            raise RequestRefused(
                "not_registered", "The hotkey is not registered; if you registered it just now, try again soon"
            )
        if self._clock_problem(view) is not None:
            raise InfrastructureFault("The coordinator's clock differs from the chain's", "Set it by NTP.")
        for _ in range(_TRIES):
            before = self._submissions.standing_of(hotkey)
            now_s = int(self._context.clock.now())
            if before is not None:
                standing = self._accepted(before.submission, is_new=False)
                if before.submission.image == image:
                    return standing
                if now_s < standing.next_allowed_s:
                    raise CoolingDown(standing, standing.next_allowed_s - now_s)
            submission = SubmittedImage(now_s, hotkey, image)
            try:
                self._submissions.add(submission, number=0 if before is None else before.number + 1)
            except RecordConflict:
                continue  # Another request of this hotkey came first. It stands now.
            self._context.health.event("success", f"{hotkey} submitted an image", action="submitted")
            return self._accepted(submission)
        raise StateUnavailable(f"{_TRIES} submissions of {hotkey} came at once", "Submit one at a time.")

    def submissions(self, sender: str) -> TaggedBody:
        """The submissions that stand, as JSON, oldest first: those of registered hotkeys, with their present uids.

        Raises:
            RequestRefused: `no_permit`, if the sender is not a validator.
        """
        view = self._view()
        self._admit_validator(view, sender)
        position, standing = self._submissions.standing()
        with self._lock:
            listed = self._listed
        if listed.position != position or listed.uids != view.uids:
            listed = _Listed(position, view.uids, _body(standing, view.uids))
            with self._lock:
                self._listed = listed
        return listed.body

    def challenge(self, sender: str) -> Challenge:
        """The present round.

        Raises:
            RequestRefused: `no_permit`, if the sender is neither an executor nor a validator; `not_final`, if the
                first round has not begun.
        """
        view = self._view()
        if sender not in self._context.executors and sender != view.owner:
            self._admit_validator(view, sender)
        context, present = self._context, view.round
        if present is None:
            block = context.rules.update_blocks
            raise RequestRefused("not_final", f"The first round begins when block {block} is final", status=409)
        return Challenge(
            round_id=present.id,
            seed_block=present.seed_block,
            block_hash=view.block_hash,
            competition_id=present.competition(context.competitions).id,
            clips=context.clips,
            corpus_digest=context.corpus_digest,
        )

    def burn_ratio(self, sender: str) -> float:
        """The part of the winner's share that burns.

        Raises:
            RequestRefused: `no_permit`, if the sender is not a validator.
        """
        self._admit_validator(self._view(), sender)
        return self._context.burn_ratio

    def _view(self) -> _ChainView:
        with self._lock:
            view = self._last_view
        if view is None or abs(self._context.clock.now() - view.read_at_s) > MAX_VIEW_AGE_S:
            raise ChainUnavailable("The coordinator has not read the chain for a minute")
        return view

    def _admit_validator(self, view: _ChainView, sender: str) -> None:
        if sender not in (self._context.validators or view.permits):
            raise RequestRefused("no_permit", "Only validators get an answer")

    def _accepted(self, submission: SubmittedImage, *, is_new: bool = True) -> AcceptedImage:
        # Two submissions of a hotkey never have the same second, because it names them.
        wait_s = max(1, self._context.rules.cooldown_s)
        return AcceptedImage(submission.entry_id, submission, submission.submitted_s + wait_s, is_new)

    @staticmethod
    def _clock_problem(view: _ChainView) -> str | None:
        offset_s = view.clock_offset_s
        if abs(offset_s) <= MAX_CLOCK_OFFSET_S:
            return None
        side = "behind" if offset_s > 0 else "ahead of"
        return (
            f"This machine's clock is {abs(offset_s):.0f} s {side} the chain's, so no submission is accepted. "
            "Set it by NTP (`timedatectl set-ntp true`)."
        )


def _image(reference: str) -> ImageRef:
    try:
        return ImageRef.of_text(reference)
    except EntryRefused as error:
        raise RequestRefused("bad_image_ref", error.sentence, status=422) from error


def _body(standing: Mapping[str, StandingImage], uids: Mapping[str, int]) -> TaggedBody:
    listed = sorted(one.submission for one in standing.values() if one.submission.hotkey in uids)
    if len(listed) > MAX_SUBMISSIONS:
        raise InfrastructureFault(
            f"{len(listed)} submissions stand, more than the {MAX_SUBMISSIONS} that one list may have",
            "Lower the number of registered hotkeys.",
        )
    rows = [{**submission.facts(), "uid": uids[submission.hotkey]} for submission in listed]
    return TaggedBody.of(json.dumps(rows, separators=(",", ":")).encode())
