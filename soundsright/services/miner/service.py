"""A miner: it commits to its model, reveals it to validators, and receives their feedback.

The chain's time is in blocks, other times in seconds. The miner commits once for each change of its model. A
commitment counts when it is read back from the chain. If a write got no reply, the miner looks for it on the chain
before it writes again. A chain such as Bittensor deletes a seal once it has opened; then the miner makes a new one.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.errors import InfrastructureFault, RequestRefused, UsageError
from soundsright.core.ports import Clock, LiveChain, Neuron, Snapshot, TxResult
from soundsright.core.schedule import Round, Schedule
from soundsright.core.submission import CommitmentKind
from soundsright.services.http import Health, Models
from soundsright.services.miner.closing import EntriesClose
from soundsright.services.miner.entry import Entry, EntryCommitment
from soundsright.services.records import FeedbackStore, ValidSignature, open_feedback

POLL_S = 12.0
INCLUSION_TIMEOUT_S = 180.0
MAX_PAUSE_S = 300.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MinerContext:
    """The chain, clock, health, feedback store and settings of a miner.

    `endpoint` (`host:port`) is published on the chain, unless it is empty. A validator with a stake below
    `min_stake` gets no reply. `schedule` says when entries close: before, the miner shows nobody its model.
    `on_feedback` is called with the file of each new feedback. `on_close` is called when entries have closed, until
    it raises nothing.
    """

    chain: LiveChain
    clock: Clock
    health: Health
    store: FeedbackStore
    valid_signature: ValidSignature
    schedule: Schedule
    endpoint: str = ""
    min_stake: float = 0.0
    poll_s: float = POLL_S
    on_feedback: Callable[[Path], None] = lambda _path: None
    on_close: Callable[[], None] | None = None


@dataclass
class _LastSnapshot:
    """The chain as read last: validators by hotkey, the block of our commitment, the head, and the closed round."""

    validators: dict[str, Neuron] = field(default_factory=dict)
    committed_at: int | None = None
    head: int = 0
    closed: Round | None = None


class MinerService:
    """Keeps the chain up to date with the entry, and replies to validators."""

    def __init__(self, entry: Entry, commitment: EntryCommitment, context: MinerContext) -> None:
        self._entry = entry
        self._commitment = commitment
        self._context = context
        self._chain = context.chain
        self._health = context.health
        self._closes = EntriesClose(context.chain, context.schedule)
        self._lock = threading.Lock()
        self._last = _LastSnapshot()
        self._open_after_close = context.on_close is not None
        # The first commitment seen: its block, and when its seal opens. A chain may delete a seal that has opened.
        self._awaited: tuple[int, float] | None = None

    def check(self) -> list[str]:
        """Check before the start that the service can work. Returns warnings about problems of the entry.

        Raises:
            UsageError: the hotkey is not registered.
            ChainUnavailable: the chain does not answer.
        """
        own = self._own_neuron(self._chain.snapshot())
        if self._commitment.kind is not CommitmentKind.DIGEST or self._context.endpoint:
            return []
        if own.endpoint:
            return [f"AXON_EXTERNAL_IP is empty: validators still ask at {own.endpoint}, which is on the chain"]
        return [
            "AXON_EXTERNAL_IP is empty: no validator can ask for your model, so your entry will be refused as "
            "not_revealed. Set it to the IPv4 address at which others reach this machine"
        ]

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. If the chain does not answer, try again after growing pauses."""
        self._health.set("neuron_running", True)
        pause_s = self._context.poll_s
        while not stop.is_set():
            try:
                self.tick()
                self._health.problem("chain", None)
                self._health.problem("service", None)
                pause_s = self._context.poll_s
            except UsageError as error:
                self._health.problem("chain", str(error))
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            except InfrastructureFault as error:
                self._health.add("chain.failures")
                self._health.problem("chain", str(error))
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - reported below, with its trace
                # Nobody might notice that a miner ended. Keep running, and report the error in the log and health.
                _log.exception("a tick failed", extra={"action": "tick_failed"})
                self._health.problem("service", f"{type(error).__name__}: {error}. The log has the traceback.")
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            self._health.problem("start", None)
            stop.wait(pause_s)
        self._health.set("neuron_running", False)

    def tick(self) -> None:
        """Read the chain once, and write the commitment and the endpoint if it lacks them.

        Raises:
            UsageError: the hotkey is not registered, or the chain refused a write for good.
            ChainUnavailable: the chain does not answer.
        """
        self._health.add("iterations")
        snapshot = self._read_chain()
        own = self._own_neuron(snapshot)
        if self._committed(snapshot) is None:
            self._commit()
        self._after_close()
        # After the commitment, which must not wait if the chain limits how often an endpoint may change.
        endpoint = self._context.endpoint
        if endpoint and own.endpoint != endpoint:
            self._check_write(self._chain.publish_endpoint(own.hotkey, endpoint), "endpoint")

    def _after_close(self) -> None:
        """Do once what was left until entries have closed, such as making the repository public."""
        if not self._open_after_close or self._awaited is None or self._context.on_close is None:
            return
        committed_at, opens_s = self._awaited
        if self._closes.closed_round(committed_at, opens_s=opens_s) is None:
            return
        try:
            self._context.on_close()
        except (InfrastructureFault, UsageError) as error:
            # The next tick tries again. Answering validators must not depend on it.
            self._health.problem("publish", str(error))
            return
        self._open_after_close = False
        self._health.problem("publish", None)
        self._health.event("success", "The model's repository is public now", action="published")

    def _commit(self) -> None:
        """Commit, and wait until the commitment is on the chain."""
        entry = self._entry
        text = self._commitment.new_text(self._chain.timestamp_s(self._last.head))
        self._check_write(self._chain.publish(entry.account.address, text), "commitment")
        clock = self._context.clock
        deadline_s = clock.now() + INCLUSION_TIMEOUT_S
        while True:
            block = self._committed(self._read_chain())
            if block is not None:
                # Everyone who reaches the health-check API can read events, so this does not name the model.
                self._health.event(
                    "success", f"Committed an entry for {entry.competition.id} in block {block}", action="committed"
                )
                return
            if clock.now() >= deadline_s:
                raise InfrastructureFault(
                    f"The commitment is not on the chain after {INCLUSION_TIMEOUT_S:g} s",
                    "The miner commits again.",
                )
            clock.sleep(min(self._context.poll_s, 6.0))

    def _check_write(self, result: TxResult, written: str) -> None:
        if result.ok or result.unknown:
            return  # An unknown write may be on the chain: the next read looks for it.
        if result.retryable:
            raise InfrastructureFault(
                f"The chain did not accept the {written}: {result.message}", "The miner tries again."
            )
        raise UsageError(
            f"The chain refused the {written} of {self._entry.account.address}: {result.message or result.code}",
            "Check NETUID, WALLET and HOTKEY.",
        )

    def _read_chain(self) -> Snapshot:
        snapshot = self._chain.snapshot()
        with self._lock:
            self._last.validators = {n.hotkey: n for n in snapshot.neurons if n.permit}
            self._last.head = snapshot.block.number
            committed_at = self._last.committed_at = self._committed(snapshot)
        if self._awaited is None and committed_at is not None:
            self._awaited = committed_at, self._commitment.opens_s
        self._look_for_close()
        self._health.set("chain.head_block", snapshot.block.number)
        return snapshot

    def _own_neuron(self, snapshot: Snapshot) -> Neuron:
        address = self._entry.account.address
        own = next((n for n in snapshot.neurons if n.hotkey == address), None)
        if own is None:
            raise UsageError(
                f"HOTKEY: {address} is not registered on this chain",
                "Register it (`btcli subnet register`, or `soundsright chain join` on a private chain), or check "
                "NETUID and SUBTENSOR_CHAIN_ENDPOINT.",
            )
        return own

    def _committed(self, snapshot: Snapshot) -> int | None:
        """The block of the present entry's commitment. None if there is none since the hotkey's registration."""
        own = self._own_neuron(snapshot)
        for commitment in snapshot.commitments:
            if commitment.hotkey == own.hotkey and self._commitment.matches(commitment.digest):
                return commitment.block if commitment.block >= own.registered_at else None
        return None

    def admit_validator(self, sender: str) -> None:
        """Check that the sender is a validator with a permit and enough stake.

        Raises:
            RequestRefused: `no_permit` or `low_stake`.
        """
        self._health.add("axons.total_queried_axons")
        with self._lock:
            neuron = self._last.validators.get(sender)
        if neuron is None:
            self._health.add("axons.total_filtered_axons")
            raise RequestRefused("no_permit", "Only validators with a permit get a reply")
        min_stake = self._context.min_stake
        if neuron.stake < min_stake:
            self._health.add("axons.total_filtered_axons")
            raise RequestRefused("low_stake", f"Only validators with a stake of {min_stake:g} or more get a reply")

    def _look_for_close(self) -> Round | None:
        """The round that closed with the present commitment in it, looked up now."""
        with self._lock:
            committed_at = self._last.committed_at
        closed = self._closes.closed_round(committed_at, opens_s=self._commitment.opens_s)
        with self._lock:
            self._last.closed = closed
        return closed

    def reveal(self, sender: str, round_id: str) -> dict[str, Any]:
        """The signed entry behind the commitment, for a validator that judges that round.

        It is revealed only after the entries of the round have closed. So nobody can commit a copy in time.

        Raises:
            RequestRefused: as `admit_validator`, or `not_committed`, `not_closed` or `sealed`.
        """
        self.admit_validator(sender)
        if self._commitment.is_secret:
            raise RequestRefused("sealed", "The commitment is sealed and opens by itself", status=409)
        with self._lock:
            committed = self._last.committed_at
        if committed is None:
            raise RequestRefused("not_committed", "The commitment is not on the chain yet", status=409)
        with self._lock:
            closed = self._last.closed
        if closed is None or closed.id != round_id:
            # Entries can have closed since the last tick. Only validators get here, so this reads the chain rarely.
            closed = self._look_for_close()
        if closed is None or closed.id != round_id:
            raise RequestRefused("not_closed", f"The entries of round {round_id} are not closed here", status=409)
        self._health.add("responses.total_valid_responses")
        return self._commitment.signed_reveal(round_id)

    def receive_feedback(self, sender: str, raw: bytes) -> dict[str, str]:
        """Verify and store one feedback.

        Raises:
            RequestRefused: as `admit_validator`, or `malformed`, `bad_signature`, `wrong_sender`, `wrong_receiver`.
            InfrastructureFault: the feedback cannot be stored.
        """
        try:
            self.admit_validator(sender)
            signed = open_feedback(raw, valid_signature=self._context.valid_signature)
            envelope, feedback = signed.envelope, signed.feedback
            if envelope.validator != sender:
                raise RequestRefused("wrong_sender", "The document was signed by another validator")
            if feedback.hotkey != self._entry.account.address:
                raise RequestRefused("wrong_receiver", "The document is for another hotkey")
        except RequestRefused:
            self._health.add("feedback.refused")
            self._health.add("responses.total_invalid_responses")
            raise
        stored = self._context.store.keep(raw, signed)
        if stored.is_new:
            self._health.add("feedback.received")
            rank = f"rank {feedback.rank}" if feedback.refusal is None else f"refused: {feedback.refusal.code}"
            self._health.event(
                "success", f"Feedback for round {feedback.round} from {sender}: {rank}", action="feedback_received"
            )
            self._context.on_feedback(stored.path)
        return {"stored": envelope.digest}

    # The health-check API shows the following.

    def current_models(self) -> Models:
        """The entry. Before its round has closed, this shows only that there is a commitment."""
        with self._lock:
            committed_at, closed = self._last.committed_at, self._last.closed
        hidden = {"hotkey": self._entry.account.address, "hidden": True, "block": committed_at}
        if committed_at is not None:
            hidden["digest"] = self._entry.digest
        return {self._entry.competition.id: [hidden if closed is None else self._entry.columns()]}

    def best_models(self) -> Models | None:
        """Each metric's winner, from the last feedback."""
        last = self._last_feedback()
        if not last or not last["winners"]:
            return None
        winners = [{"metric_name": metric, **row} for metric, row in sorted(last["winners"].items())]
        return {last["competition"]: winners}

    def competitions(self) -> list[str]:
        return [self._entry.competition.id]

    def competition_scores(self) -> dict[str, dict[str, float]] | None:
        last = self._last_feedback()
        return {last["competition"]: {str(last["uid"]): last["share"]}} if last else None

    def scores(self) -> list[float] | None:
        """Always None: a miner sets no weights."""
        return None

    def next_competition(self) -> str | None:
        """Always None: only validators know the schedule."""
        return None

    def seed(self) -> dict[str, Any] | None:
        """The seed of the round that the last feedback is about."""
        last = self._last_feedback()
        return {"round": last["round"], "sets": {last["competition"]: last["seed"]}} if last else None

    def _last_feedback(self) -> dict[str, Any] | None:
        latest = self._context.store.last()
        return None if latest is None else dict(json.loads(latest.feedback.model_dump_json()))
