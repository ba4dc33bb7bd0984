"""A miner: it commits to its model, tells validators what the commitment stands for, and takes their feedback.

Blocks are counted, times in seconds. The commitment is made once for each change of model, and counts when it is
read back from the chain: a write that got no answer is looked for before it is made again. A sealed one is made
anew where the chain no longer holds it, as Bittensor does with what has been opened.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.competition import Competition
from soundsright.core.errors import InfrastructureFault, RequestRefused, UsageError
from soundsright.core.ports import Account, Clock, LiveChain, Neuron, Snapshot, Timelock, TxResult
from soundsright.core.schedule import Schedule
from soundsright.core.sources import ModelRef
from soundsright.core.submission import CommitmentKind, commitment_digest, commitment_text
from soundsright.services.http import Health, Models
from soundsright.services.records import FeedbackStore, ValidSignature, open_feedback

REVEAL_SCHEMA = "soundsright.reveal/1"
POLL_S = 12.0
INCLUSION_TIMEOUT_S = 180.0
MAX_PAUSE_S = 300.0
SEAL_AHEAD_S = 120.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """What the miner enters, under which key."""

    account: Account
    competition: Competition
    model: ModelRef

    @property
    def digest(self) -> str:
        return commitment_digest(self.model, self.account.address, self.competition.id)

    def reveal(self) -> dict[str, str]:
        """What the commitment stands for, as validators ask for it."""
        return {
            "schema": REVEAL_SCHEMA,
            "hotkey": self.account.address,
            "namespace": self.model.namespace,
            "name": self.model.name,
            "revision": self.model.revision,
            "competition": self.competition.id,
        }


class Committing:
    """What the entry's commitment looks like on the chain: its digest, or its text, plain or sealed.

    A seal is different each time: the one that was made is kept in `folder`, to be known again after a restart.
    """

    def __init__(
        self,
        entry: Entry,
        folder: Path,
        kind: CommitmentKind = CommitmentKind.DIGEST,
        *,
        timelock: Timelock | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        if kind is CommitmentKind.SEALED and (timelock is None or schedule is None):
            raise ValueError("a seal needs a timelock, and a schedule to say until when")
        self._entry = entry
        self._file = folder / "sealed.json"
        self.kind = kind
        self._timelock = timelock
        self._schedule = schedule

    @property
    def text(self) -> str:
        """The entry as one line: what a digest hashes and a seal holds."""
        return commitment_text(self._entry.model, self._entry.account.address, self._entry.competition.id)

    @property
    def is_secret(self) -> bool:
        """Whether nobody may learn of this machine what is entered."""
        return self.kind is CommitmentKind.SEALED

    def is_ours(self, committed: str) -> bool:
        """Whether that is the present entry's commitment."""
        if self.kind is CommitmentKind.SEALED:
            return bool(self._kept() == {"digest": self._entry.digest, "sealed": committed})
        return committed == (self._entry.digest if self.kind is CommitmentKind.DIGEST else self.text)

    def made(self, now_s: float) -> str:
        """What to commit now. A seal opens with the next close of entries, or the one after where that is near.

        Raises:
            InfrastructureFault: the seal cannot be kept.
        """
        if self.kind is not CommitmentKind.SEALED:
            return self._entry.digest if self.kind is CommitmentKind.DIGEST else self.text
        assert self._timelock is not None
        assert self._schedule is not None
        started = self._schedule.last_started(now_s + SEAL_AHEAD_S)
        until_s = self._schedule.start_s(0 if started is None else started + 1)
        sealed = self._timelock.sealed(self.text, until_s=until_s)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial = self._file.with_name(f".{self._file.name}.{os.getpid()}.part")
            partial.write_text(json.dumps({"digest": self._entry.digest, "sealed": sealed}), encoding="utf-8")
            partial.replace(self._file)
        except OSError as error:
            raise InfrastructureFault(
                f"{self._file} cannot be written ({error.strerror})", "Free some disk space."
            ) from error
        return sealed

    def _kept(self) -> Any:
        try:
            return json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None  # None was made, or it is lost: another is made.


@dataclass
class _Seen:
    """What the chain showed last."""

    validators: dict[str, Neuron] = field(default_factory=dict)
    committed_at: int | None = None
    head: int = 0


class MinerService:
    """Keeps the chain up to date with the entry, and answers validators.

    `committing` says how the entry is committed; `endpoint` is published where it is not empty; `on_feedback` is
    told of each new feedback's file.
    """

    def __init__(
        self,
        entry: Entry,
        committing: Committing,
        *,
        chain: LiveChain,
        clock: Clock,
        health: Health,
        store: FeedbackStore,
        valid_signature: ValidSignature,
        endpoint: str = "",
        min_stake: float = 0.0,
        poll_s: float = POLL_S,
        on_feedback: Callable[[Path], None] = lambda _path: None,
    ) -> None:
        self._entry = entry
        self._committing = committing
        self._chain = chain
        self._clock = clock
        self._health = health
        self._store = store
        self._valid_signature = valid_signature
        self._endpoint = endpoint
        self._min_stake = min_stake
        self._poll_s = poll_s
        self._on_feedback = on_feedback
        self._lock = threading.Lock()
        self._seen = _Seen()

    def check(self) -> list[str]:
        """What would make the service useless, before it starts; and sentences to warn of what would the entry.

        Raises:
            UsageError: the hotkey is not registered.
            ChainUnavailable: the chain does not answer.
        """
        own = self._own_neuron(self._chain.snapshot())
        if self._committing.kind is not CommitmentKind.DIGEST or self._endpoint:
            return []
        if own.endpoint:
            return [f"AXON_EXTERNAL_IP is empty: validators go on asking at {own.endpoint}, as the chain has it"]
        return [
            "AXON_EXTERNAL_IP is empty: no validator can ask what the commitment stands for, and the entry is "
            "refused as not_revealed. Give the IPv4 address under which others reach this machine"
        ]

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. A chain that is away is waited for, with growing pauses."""
        self._health.set("neuron_running", True)
        pause_s = self._poll_s
        while not stop.is_set():
            try:
                self.tick()
                self._health.problem("chain", None)
                self._health.problem("service", None)
                pause_s = self._poll_s
            except UsageError as error:
                self._health.problem("chain", str(error))
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            except InfrastructureFault as error:
                self._health.add("chain.failures")
                self._health.problem("chain", str(error))
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - told below, with its trace
                # A miner that ends is found by nobody: it goes on, and says so wherever somebody may look.
                _log.exception("a tick failed", extra={"action": "tick_failed"})
                self._health.problem("service", f"{type(error).__name__}: {error}; its trace is in the log")
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            self._health.problem("start", None)
            stop.wait(pause_s)
        self._health.set("neuron_running", False)

    def tick(self) -> None:
        """Read the chain once, and bring it up to date.

        Raises:
            UsageError: the hotkey is not registered, or the chain refuses for good.
            ChainUnavailable: it does not answer.
        """
        self._health.add("iterations")
        snapshot = self._look()
        own = self._own_neuron(snapshot)
        if self._committed(snapshot) is None:
            self._commit()
        # Second: where the chain limits how often an endpoint changes, the commitment does not wait for it.
        if self._endpoint and own.endpoint != self._endpoint:
            self._written(self._chain.publish_endpoint(own.hotkey, self._endpoint), "endpoint")

    def _commit(self) -> None:
        """Commit, and wait until the chain shows it."""
        entry = self._entry
        now_s = self._chain.timestamp_s(self._seen.head)
        self._written(self._chain.publish(entry.account.address, self._committing.made(now_s)), "commitment")
        deadline_s = self._clock.now() + INCLUSION_TIMEOUT_S
        while True:
            block = self._committed(self._look())
            if block is not None:
                # Events are shown to whoever reaches the health-check API.
                what = "a sealed entry" if self._committing.is_secret else str(entry.model)
                self._health.event(
                    "success", f"Committed {what} for {entry.competition.id} in block {block}", action="committed"
                )
                return
            if self._clock.now() >= deadline_s:
                raise InfrastructureFault(
                    f"The commitment is not on the chain after {INCLUSION_TIMEOUT_S:g} s", "It is made again."
                )
            self._clock.sleep(min(self._poll_s, 6.0))

    def _written(self, result: TxResult, what: str) -> None:
        if result.ok or result.unknown:
            return  # One that may have landed is looked for, not repeated.
        if result.retryable:
            raise InfrastructureFault(f"The chain did not take the {what}: {result.message}", "It is tried again.")
        raise UsageError(
            f"The chain refused the {what} of {self._entry.account.address}: {result.message or result.code}",
            "Check NETUID, WALLET and HOTKEY.",
        )

    def _look(self) -> Snapshot:
        snapshot = self._chain.snapshot()
        with self._lock:
            self._seen.validators = {n.hotkey: n for n in snapshot.neurons if n.permit}
            self._seen.head = snapshot.block.number
            self._seen.committed_at = self._committed(snapshot)
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
        """The block of our commitment, where it is the present entry's and not from before the registration."""
        own = self._own_neuron(snapshot)
        for commitment in snapshot.commitments:
            if commitment.hotkey == own.hotkey and self._committing.is_ours(commitment.digest):
                return commitment.block if commitment.block >= own.registered_at else None
        return None

    def admit_validator(self, sender: str) -> None:
        """Let a validator with permit and stake pass.

        Raises:
            RequestRefused: `no_permit` or `low_stake`.
        """
        self._health.add("axons.total_queried_axons")
        with self._lock:
            neuron = self._seen.validators.get(sender)
        if neuron is None:
            self._health.add("axons.total_filtered_axons")
            raise RequestRefused("no_permit", "Only validators with a permit are answered")
        if neuron.stake < self._min_stake:
            self._health.add("axons.total_filtered_axons")
            raise RequestRefused("low_stake", f"Only validators with a stake from {self._min_stake:g} are answered")

    def reveal(self, sender: str) -> dict[str, str]:
        """What the commitment stands for. Told only once the commitment is on the chain, so that a copy is later.

        Raises:
            RequestRefused: as `admit_validator`, and `not_committed` or `sealed`.
        """
        self.admit_validator(sender)
        if self._committing.is_secret:
            raise RequestRefused("sealed", "The commitment opens by itself", status=409)
        with self._lock:
            committed = self._seen.committed_at
        if committed is None:
            raise RequestRefused("not_committed", "The commitment is not on the chain yet", status=409)
        self._health.add("responses.total_valid_responses")
        return self._entry.reveal()

    def take_feedback(self, sender: str, raw: bytes) -> dict[str, str]:
        """Verify and store one feedback.

        Raises:
            RequestRefused: as `admit_validator`; `malformed`, `bad_signature`, `wrong_sender`, `wrong_receiver`.
            InfrastructureFault: it could not be stored.
        """
        try:
            self.admit_validator(sender)
            signed = open_feedback(raw, valid_signature=self._valid_signature)
            envelope, feedback = signed.envelope, signed.feedback
            if envelope.validator != sender:
                raise RequestRefused("wrong_sender", "The document was signed by another validator")
            if feedback.hotkey != self._entry.account.address:
                raise RequestRefused("wrong_receiver", "The document is for another hotkey")
        except RequestRefused:
            self._health.add("feedback.refused")
            self._health.add("responses.total_invalid_responses")
            raise
        stored = self._store.keep(raw, signed)
        if stored.is_new:
            self._health.add("feedback.received")
            rank = f"rank {feedback.rank}" if feedback.refusal is None else f"refused: {feedback.refusal.code}"
            self._health.event(
                "success", f"Feedback for round {feedback.round} from {sender}: {rank}", action="feedback_received"
            )
            self._on_feedback(stored.path)
        return {"stored": envelope.digest}

    # What the health-check API shows.

    def current_models(self) -> Models:
        shown = {"hotkey": self._entry.account.address, "sealed": True}
        return {self._entry.competition.id: [shown if self._committing.is_secret else self._entry.reveal()]}

    def best_models(self) -> Models | None:
        """Each metric's winner, as the last feedback told."""
        last = self._last()
        if not last or not last["winners"]:
            return None
        told = [{"metric_name": metric, **row} for metric, row in sorted(last["winners"].items())]
        return {last["competition"]: told}

    def competitions(self) -> list[str]:
        return [self._entry.competition.id]

    def competition_scores(self) -> dict[str, dict[str, float]] | None:
        last = self._last()
        return {last["competition"]: {str(last["uid"]): last["share"]}} if last else None

    def scores(self) -> list[float] | None:
        """None: a miner sets no weights."""
        return None

    def next_competition(self) -> str | None:
        """None: validators know their schedule."""
        return None

    def seed(self) -> dict[str, Any] | None:
        """The seed that the last feedback told of."""
        last = self._last()
        return {"round": last["round"], "sets": {last["competition"]: last["seed"]}} if last else None

    def _last(self) -> dict[str, Any] | None:
        kept = self._store.last()
        return None if kept is None else dict(json.loads(kept.feedback.model_dump_json()))
