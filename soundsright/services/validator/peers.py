"""Exchanges with miners: the reveals of their commitments before a round, and feedback after it.

Times are in seconds. Every reply comes from a stranger. It is bounded, parsed strictly, and used only if it hashes
to the commitment on the chain. Reveals and deliveries are recorded in the state and not repeated.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundsright.core.errors import EntryRefused, FaultClass, PeerUnavailable, fault_class_of_status
from soundsright.core.ports import Clock, Neuron, Peers, StateStore, Timelock
from soundsright.core.sources import ModelRef
from soundsright.core.submission import (
    Commitment,
    CommitmentKind,
    Reveal,
    reveal_of_text,
)
from soundsright.services.http import Health
from soundsright.services.records import REVEAL_SCHEMA, RevealDocument, SignedReveal, ValidSignature, open_reveal
from soundsright.services.rounds import steps
from soundsright.services.validator.round import Backoff

OLD_REVEAL_BODY = b'{"schema": "soundsright.reveal/1"}'
REVEAL_TIMEOUT_S = 5.0
FEEDBACK_TIMEOUT_S = 20.0
FIRST_PAUSE_S = 5.0
MAX_PAUSE_S = 600.0
MAX_TRIES = 30
MAX_PEERS_AT_A_TIME = 16

_log = logging.getLogger(__name__)


class OldReveal(BaseModel):
    """A reveal of format 1. It has no salt and no signature."""

    model_config = ConfigDict(extra="ignore")

    document: Annotated[Literal["soundsright.reveal/1"], Field(alias="schema")]
    namespace: Annotated[str, Field(max_length=96)]
    name: Annotated[str, Field(max_length=96)]
    revision: Annotated[str, Field(max_length=64)]
    competition: Annotated[str, Field(max_length=64)]


def old_reveal_of(body: bytes, commitment: Commitment) -> SignedReveal:
    """The reveal in a miner's reply of format 1.

    Raises:
        EntryRefused: the reply is not a reveal (`bad_reveal`), or it is not what was committed (`digest_mismatch`).
    """
    try:
        reply = OldReveal.model_validate_json(body)
    except ValidationError:
        raise EntryRefused("bad_reveal", "The miner's reply is not a reveal") from None
    reveal = Reveal(ModelRef(reply.namespace, reply.name, reply.revision), reply.competition)
    _check_digest(reveal, commitment)
    return SignedReveal(commitment.hotkey, reveal, "")


def _marks(reveal: Reveal) -> set[str]:
    """The marks by which an entry of an earlier round is the same one: its content, and its source."""
    return {reveal.content_hash, str(reveal.model)} - {""}


def _check_digest(reveal: Reveal, commitment: Commitment) -> None:
    if reveal.digest(commitment.hotkey) != commitment.digest:
        raise EntryRefused("digest_mismatch", "The reveal does not hash to the commitment")


class _PeerRetry(Backoff):
    """The time of the next call of a peer, and the number of its failed calls."""

    def __init__(self) -> None:
        super().__init__(first_s=FIRST_PAUSE_S, longest_s=MAX_PAUSE_S)
        self.tries = 0

    def failed(self, now_s: float) -> None:
        super().failed(now_s)
        self.tries += 1


@dataclass
class RevealCollector:
    """Collects the reveals of one round's commitments.

    Miners are asked for the reveals of digests; texts are read, and sealed texts are opened. With `unsalted`, a
    miner that knows only format 1 is asked in that format.
    """

    round_id: str
    peers: Peers
    state: StateStore
    clock: Clock
    health: Health
    valid_signature: ValidSignature
    kind: CommitmentKind = CommitmentKind.DIGEST
    timelock: Timelock | None = None
    unsalted: bool = False
    _retries: dict[str, _PeerRetry] = field(default_factory=dict)
    _refused: dict[str, EntryRefused] = field(default_factory=dict)
    _known: dict[str, set[Reveal]] = field(default_factory=dict)
    """The recorded reveals by commitment key, so that another copy of one costs nothing."""

    def recorded(self, commitments: Iterable[Commitment]) -> dict[str, Reveal]:
        """The recorded reveals by hotkey."""
        reveals: dict[str, Reveal] = {}
        for commitment in commitments:
            record = steps.read(self.state, self.round_id, steps.reveal(commitment))
            if record is not None:
                reveals[commitment.hotkey] = record.reveal
        return reveals

    def revealed(self, commitments: Sequence[Commitment]) -> dict[str, Reveal | EntryRefused]:
        """The reveals, and the refusals of replies that are not valid, by hotkey. Silent miners are left out."""
        keys = {c.hotkey: steps.commitment_key(c) for c in commitments}
        refused = {hotkey: self._refused[key] for hotkey, key in keys.items() if key in self._refused}
        doubled = {
            c.hotkey: EntryRefused("two_reveals", "The miner signed two different reveals of its commitment")
            for c in commitments
            if steps.read(self.state, self.round_id, steps.second_reveal(c)) is not None
        }
        return {**refused, **self.recorded(commitments), **doubled}

    def signed(self, commitments: Iterable[Commitment]) -> list[SignedReveal]:
        """Every recorded reveal that its miner signed, for other validators."""
        keys = [(c.hotkey, key) for c in commitments for key in (steps.reveal(c), steps.second_reveal(c))]
        records = [(hotkey, steps.read(self.state, self.round_id, key)) for hotkey, key in keys]
        return [SignedReveal(hotkey, r.reveal, r.signature) for hotkey, r in records if r and r.signature]

    def accept(self, document: dict[str, Any], commitments: Mapping[str, Commitment]) -> None:
        """Keep a reveal that another validator passed on. `commitments` are those of the round, by hotkey.

        Raises:
            EntryRefused: it is not a valid reveal of one of these commitments.
        """
        commitment = commitments.get(str(document.get("hotkey")))
        if commitment is None:
            raise EntryRefused("bad_reveal", "The reveal is of no commitment of the round")
        if self._adds_nothing(document, commitment):
            return
        signed = open_reveal(
            document,
            hotkey=commitment.hotkey,
            round_id=self.round_id,
            valid_signature=self.valid_signature,
        )
        _check_digest(signed.reveal, commitment)
        self._record(commitment, signed)

    def ask(self, commitments: Sequence[Commitment], neurons: Sequence[Neuron], *, last: bool = False) -> int:
        """Ask the miners whose turn it is for their reveals; all of them if `last`. Only digests need this.

        Returns the number of reveals that are still missing.
        """
        recorded = self.recorded(commitments)
        endpoints = {neuron.hotkey: neuron.endpoint for neuron in neurons if neuron.endpoint}
        missing = [c for c in commitments if c.hotkey not in recorded]
        now_s = self.clock.now()
        due = [
            c
            for c in missing
            if c.hotkey in endpoints and (last or self._retries.setdefault(c.hotkey, _PeerRetry()).is_due(now_s))
        ]
        if not due:
            return len(missing)
        with ThreadPoolExecutor(min(MAX_PEERS_AT_A_TIME, len(due)), thread_name_prefix="reveal") as threads:
            revealed = sum(threads.map(lambda c: self._ask_miner(c, str(endpoints[c.hotkey])), due))
        return len(missing) - revealed

    def read(self, commitments: Sequence[Commitment], *, opened_by_s: float) -> int:
        """Read the texts, and open the seals that can be opened by that time.

        Returns the number of commitments that reveal nothing.

        Raises:
            PeerUnavailable: a seal cannot be opened now, although its time has come.
        """
        recorded = self.recorded(commitments)
        for commitment in commitments:
            key = steps.commitment_key(commitment)
            if commitment.hotkey in recorded or key in self._refused:
                continue
            try:
                reveal = reveal_of_text(self._text(commitment.digest, opened_by_s), commitment.hotkey)
            except EntryRefused as refused:
                _log.info(
                    "no reveal",
                    extra={"action": "no_reveal", "hotkey": commitment.hotkey, "reason": str(refused)[:200]},
                )
                self._refused[key] = refused
                continue
            self._record(commitment, SignedReveal(commitment.hotkey, reveal, ""))
        return len(commitments) - len(self.recorded(commitments))

    def _text(self, committed: str, opened_by_s: float) -> str:
        if self.kind is CommitmentKind.PLAIN:
            return committed
        assert self.timelock is not None, "seals are opened by a timelock"
        opens_s = self.timelock.opens_s(committed)
        if opens_s > opened_by_s:
            raise EntryRefused("sealed_too_long", f"The seal opens {opens_s - opened_by_s:.0f} s too late")
        return self.timelock.opened(committed)

    def canonical(
        self, commitments: Sequence[Commitment], neurons: Sequence[Neuron], before: str | None
    ) -> tuple[Commitment, ...]:
        """The commitments as digests, so that screening does not depend on their kind.

        A sealed entry that was also admitted to the round `before` keeps its block. It must be sealed again for
        each round, and would otherwise look younger than a copy of it. For the same reason its earlier commitments
        do not count. If the hotkey was registered again since, only the new commitment counts.
        """
        if self.kind is CommitmentKind.DIGEST:
            return tuple(commitments)
        earlier_blocks = self._admitted_blocks(before) if self.kind is CommitmentKind.SEALED else {}
        registered_at = {neuron.hotkey: neuron.registered_at for neuron in neurons}
        recorded = self.recorded(commitments)
        digests = []
        for commitment in commitments:
            reveal = recorded.get(commitment.hotkey)
            if reveal is not None:
                hotkey, competition_id = commitment.hotkey, reveal.competition_id
                commitment = replace(commitment, digest=reveal.digest(hotkey))
                found = (earlier_blocks.get((hotkey, mark, competition_id)) for mark in _marks(reveal))
                earlier_block = min((block for block in found if block is not None), default=commitment.block)
                if registered_at.get(hotkey, 0) <= earlier_block < commitment.block:
                    commitment = replace(commitment, block=earlier_block)
            if self.kind is CommitmentKind.SEALED:
                commitment = replace(commitment, earlier_blocks=())
            digests.append(commitment)
        return tuple(digests)

    def _admitted_blocks(self, round_id: str | None) -> dict[tuple[str, str, str], int]:
        """The block of each entry that was admitted to a round, by hotkey, content or source, and competition."""
        record = None if round_id is None else steps.read(self.state, round_id, steps.ENTRIES)
        return {
            (entry.hotkey, mark, entry.competition_id): entry.block
            for entry in (record.submissions if record else ())
            for mark in {entry.content_hash, str(entry.source)} - {""}
        }

    def _record(self, commitment: Commitment, signed: SignedReveal) -> None:
        self.health.add("responses.total_valid_responses")
        record = steps.RevealStep(signed.reveal, signed.signature)
        key = steps.reveal(commitment)
        first = steps.read(self.state, self.round_id, key)
        if first is not None and first.reveal != signed.reveal:
            key = steps.second_reveal(commitment)
        steps.write(self.state, self.round_id, key, record)
        self._known.setdefault(steps.commitment_key(commitment), set()).add(signed.reveal)

    def _adds_nothing(self, document: dict[str, Any], commitment: Commitment) -> bool:
        """Whether a reveal, or two others of its commitment, are known already. Its signature is not read then."""
        known = self._known.get(steps.commitment_key(commitment), set())
        if len(known) > 1:
            return True
        try:
            return RevealDocument.model_validate(document).reveal in known
        except (ValidationError, EntryRefused):
            return False

    def _ask_miner(self, commitment: Commitment, endpoint: str) -> bool:
        """Whether the miner gave its reveal."""
        hotkey = commitment.hotkey
        self.health.add("axons.total_queried_axons")
        try:
            reveal = self._revealed_by(commitment, endpoint)
        except (PeerUnavailable, EntryRefused) as error:
            if isinstance(error, EntryRefused):
                self._refused[steps.commitment_key(commitment)] = error
            self.health.add("responses.total_invalid_responses")
            # The operator of a private chain has to say in which networks its miners are.
            level = logging.WARNING if error.code == "forbidden_address" else logging.INFO
            _log.log(
                level, "no reveal", extra={"action": "no_reveal", "hotkey": hotkey, "reason": str(error)[:300]}
            )
            self._retries.setdefault(hotkey, _PeerRetry()).failed(self.clock.now())
            return False
        self._record(commitment, reveal)
        return True

    def _revealed_by(self, commitment: Commitment, endpoint: str) -> SignedReveal:
        """The reveal that a miner gives.

        Raises:
            PeerUnavailable: the miner does not answer, or not yet.
            EntryRefused: its reply is not a valid reveal.
        """
        hotkey = commitment.hotkey
        body = json.dumps({"schema": REVEAL_SCHEMA, "round": self.round_id}).encode()
        reply = self.peers.call(endpoint, hotkey, "/reveal", body, timeout_s=REVEAL_TIMEOUT_S)
        is_old = reply.status == 422 and self.unsalted
        if is_old:
            reply = self.peers.call(endpoint, hotkey, "/reveal", OLD_REVEAL_BODY, timeout_s=REVEAL_TIMEOUT_S)
        if reply.status != 200:
            raise PeerUnavailable(f"{endpoint} answered {reply.status}")
        if is_old:
            return old_reveal_of(reply.body, commitment)
        signed = open_reveal(
            reply.body, hotkey=hotkey, round_id=self.round_id, valid_signature=self.valid_signature
        )
        _check_digest(signed.reveal, commitment)
        return signed


def _is_final(status: int) -> bool:
    """Whether a miner's answer stays the same if it is called again. 0 is no answer.

    A miner that does not know this validator yet answers 401 or 403. It reads the chain again later.
    """
    return status >= 300 and status not in (401, 403) and fault_class_of_status(status) is FaultClass.PERMANENT


@dataclass
class FeedbackCourier:
    """Delivers the envelopes of one round to the miners. `envelopes` are by hotkey."""

    round_id: str
    envelopes: Mapping[str, bytes]
    peers: Peers
    state: StateStore
    clock: Clock
    health: Health
    _retries: dict[str, _PeerRetry] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)

    def deliver(self, neurons: Sequence[Neuron]) -> int:
        """Call the miners whose turn it is. Returns the number of envelopes that are still waiting."""
        for hotkey in self.envelopes:
            if hotkey not in self._done and self._is_recorded(hotkey):
                self._done.add(hotkey)
        endpoints = {neuron.hotkey: neuron.endpoint for neuron in neurons if neuron.endpoint}
        now_s = self.clock.now()
        waiting = [hotkey for hotkey in self.envelopes if hotkey not in self._done]
        due = [hotkey for hotkey in waiting if self._retries.setdefault(hotkey, _PeerRetry()).is_due(now_s)]
        if due:
            with ThreadPoolExecutor(min(MAX_PEERS_AT_A_TIME, len(due)), thread_name_prefix="feedback") as threads:
                list(threads.map(lambda hotkey: self._call_miner(hotkey, endpoints.get(hotkey)), due))
        return sum(hotkey not in self._done for hotkey in self.envelopes)

    def _is_recorded(self, hotkey: str) -> bool:
        return steps.read(self.state, self.round_id, steps.delivered(hotkey)) is not None

    def _call_miner(self, hotkey: str, endpoint: str | None) -> None:
        retry = self._retries[hotkey]
        retry.failed(self.clock.now())
        status = 0
        code, reason = "no_endpoint", "no endpoint on the chain"
        if endpoint is not None:
            try:
                reply = self.peers.call(
                    endpoint, hotkey, "/feedback", self.envelopes[hotkey], timeout_s=FEEDBACK_TIMEOUT_S
                )
                status = reply.status
                code, reason = f"status_{status}", f"status {status}"
            except PeerUnavailable as error:
                code, reason = error.code, error.problem
        if status == 200:
            self._record(hotkey, steps.DeliveredStep(True, retry.tries))
            self.health.add("feedback.delivered")
        elif retry.tries >= MAX_TRIES or _is_final(status):
            self._record(hotkey, steps.DeliveredStep(False, retry.tries, reason[:200]))
            # Everybody can read the events, so they tell nothing about what runs at an endpoint except a code.
            self.health.event("warning", f"No feedback for {hotkey}: {code}", action="feedback_given_up")
        else:
            _log.info("no delivery", extra={"action": "feedback_waits", "hotkey": hotkey, "reason": reason[:200]})

    def _record(self, hotkey: str, record: steps.DeliveredStep) -> None:
        steps.write(self.state, self.round_id, steps.delivered(hotkey), record)
        self._done.add(hotkey)
