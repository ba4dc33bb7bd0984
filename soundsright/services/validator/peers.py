"""What commitments stand for, asked of miners or read, between the close and the seed; feedback after the round.

Times are in seconds. Every answer is a stranger's: bounded, parsed strictly, and used only where it hashes to what
is on the chain. What was received or delivered is recorded in the state and not asked or told again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundsright.core.errors import EntryRefused, PeerUnavailable
from soundsright.core.ports import Clock, Neuron, Peers, StateStore, Timelock
from soundsright.core.sources import ModelRef, Source, source_of
from soundsright.core.submission import (
    Commitment,
    CommitmentKind,
    Reveal,
    commitment_digest,
    reveal_of_text,
)
from soundsright.services.http import Health
from soundsright.services.validator.round import Backoff

REVEAL_BODY = b'{"schema": "soundsright.reveal/1"}'
REVEAL_TIMEOUT_S = 5.0
FEEDBACK_TIMEOUT_S = 20.0
FIRST_PAUSE_S = 5.0
MAX_PAUSE_S = 600.0
MAX_TRIES = 30
AT_A_TIME = 16

_log = logging.getLogger(__name__)


class RevealTold(BaseModel):
    """A miner's answer."""

    model_config = ConfigDict(extra="ignore")

    told: Annotated[Literal["soundsright.reveal/1"], Field(alias="schema")]
    namespace: Annotated[str, Field(max_length=96)]
    name: Annotated[str, Field(max_length=96)]
    revision: Annotated[str, Field(max_length=64)]
    competition: Annotated[str, Field(max_length=64)]


def reveal_of(body: bytes, commitment: Commitment) -> Reveal:
    """The reveal in a miner's answer, where it is what was committed.

    Raises:
        EntryRefused: `bad_reveal` or `digest_mismatch`.
    """
    try:
        told = RevealTold.model_validate_json(body)
    except ValidationError:
        raise EntryRefused("bad_reveal", "The miner's answer is no reveal") from None
    model = ModelRef(told.namespace, told.name, told.revision)
    if commitment_digest(model, commitment.hotkey, told.competition) != commitment.digest:
        raise EntryRefused("digest_mismatch", "The reveal does not hash to the commitment")
    return Reveal(model, told.competition)


def reveal_facts(reveal: Reveal) -> dict[str, Any]:
    model = reveal.model
    return {"model": [model.namespace, model.name, model.revision], "competition": reveal.competition_id}


def reveal_from(facts: Mapping[str, Any]) -> Reveal:
    return Reveal(ModelRef(*facts["model"]), facts["competition"])


class _Due(Backoff):
    """When a peer is asked again, and how often it was asked in vain."""

    def __init__(self) -> None:
        super().__init__(first_s=FIRST_PAUSE_S, longest_s=MAX_PAUSE_S)
        self.tries = 0

    def failed(self, now_s: float) -> None:
        super().failed(now_s)
        self.tries += 1


@dataclass
class RevealCollector:
    """Collects what one round's commitments stand for: digests are asked for, texts are read, seals are opened."""

    round_id: str
    peers: Peers
    state: StateStore
    clock: Clock
    health: Health
    kind: CommitmentKind = CommitmentKind.DIGEST
    timelock: Timelock | None = None
    _due: dict[str, _Due] = field(default_factory=dict)
    _refused: dict[str, EntryRefused] = field(default_factory=dict)

    def known(self, commitments: Iterable[Commitment]) -> dict[str, Reveal]:
        """What was revealed so far, by hotkey."""
        found: dict[str, Reveal] = {}
        for commitment in commitments:
            facts = self.state.step_done(self.round_id, _reveal_step(commitment))
            if facts is not None:
                found[commitment.hotkey] = reveal_from(facts)
        return found

    def revealed(self, commitments: Iterable[Commitment]) -> dict[str, Reveal | EntryRefused]:
        """What was revealed, or why what was said is no reveal, by hotkey. Who said nothing is not in it."""
        refused = {c.hotkey: self._refused[_key(c)] for c in commitments if _key(c) in self._refused}
        return {**refused, **self.known(commitments)}

    def ask(self, commitments: Sequence[Commitment], neurons: Sequence[Neuron], *, last: bool = False) -> int:
        """Ask those whose turn it is, `last`: all; the number that is still missing. Only digests are asked for."""
        known = self.known(commitments)
        endpoints = {neuron.hotkey: neuron.endpoint for neuron in neurons if neuron.endpoint}
        missing = [c for c in commitments if c.hotkey not in known]
        now_s = self.clock.now()
        turn = [
            c
            for c in missing
            if c.hotkey in endpoints and (last or self._due.setdefault(c.hotkey, _Due()).is_due(now_s))
        ]
        if not turn:
            return len(missing)
        with ThreadPoolExecutor(min(AT_A_TIME, len(turn)), thread_name_prefix="reveal") as threads:
            got = sum(threads.map(lambda c: self._ask_one(c, str(endpoints[c.hotkey])), turn))
        return len(missing) - got

    def read(self, commitments: Sequence[Commitment], *, opened_by_s: float) -> int:
        """Read the texts, opening those whose seal opens by that time; the number that says nothing.

        Raises:
            PeerUnavailable: a seal cannot be opened now, though its time has come.
        """
        known = self.known(commitments)
        missing = [c for c in commitments if c.hotkey not in known and _key(c) not in self._refused]
        for commitment in missing:
            try:
                reveal = reveal_of_text(self._text(commitment.digest, opened_by_s), commitment.hotkey)
            except EntryRefused as refused:
                _log.info(
                    "no reveal",
                    extra={"action": "no_reveal", "hotkey": commitment.hotkey, "reason": str(refused)[:200]},
                )
                self._refused[_key(commitment)] = refused
                continue
            self._keep(commitment, reveal)
        return len(commitments) - len(self.known(commitments))

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
        """The commitments as digests, so that whoever screens them need not know how they were made.

        A sealed entry that stood in the round `before` keeps its block: it has to be sealed anew for each round,
        and would otherwise look younger than a copy of it. For the same reason its earlier commitments do not
        count. Of who left and came back since, only the new commitment does.
        """
        if self.kind is CommitmentKind.DIGEST:
            return tuple(commitments)
        since = self._stood(before) if self.kind is CommitmentKind.SEALED else {}
        registered = {neuron.hotkey: neuron.registered_at for neuron in neurons}
        known = self.known(commitments)
        found = []
        for commitment in commitments:
            reveal = known.get(commitment.hotkey)
            if reveal is not None:
                hotkey, model, competition_id = commitment.hotkey, reveal.model, reveal.competition_id
                commitment = replace(commitment, digest=commitment_digest(model, hotkey, competition_id))
                stood_at = since.get((hotkey, model, competition_id), commitment.block)
                if registered.get(hotkey, 0) <= stood_at < commitment.block:
                    commitment = replace(commitment, block=stood_at)
            if self.kind is CommitmentKind.SEALED:
                commitment = replace(commitment, earlier_blocks=())
            found.append(commitment)
        return tuple(found)

    def _stood(self, round_id: str | None) -> dict[tuple[str, Source, str], int]:
        """The block of each entry that was admitted to that round."""
        entries = self.state.step_done(round_id, "entries") if round_id is not None else None
        return {
            (s["hotkey"], source_of(s["model"]), s["competition"]): int(s["block"])
            for s in (entries or {}).get("submissions", ())
        }

    def _keep(self, commitment: Commitment, reveal: Reveal) -> None:
        self.health.add("responses.total_valid_responses")
        self.state.finish_step(self.round_id, _reveal_step(commitment), reveal_facts(reveal))

    def _ask_one(self, commitment: Commitment, endpoint: str) -> bool:
        hotkey = commitment.hotkey
        self.health.add("axons.total_queried_axons")
        try:
            reply = self.peers.call(endpoint, hotkey, "/reveal", REVEAL_BODY, timeout_s=REVEAL_TIMEOUT_S)
            if reply.status != 200:
                raise PeerUnavailable(f"{endpoint} answered {reply.status}")
            reveal = reveal_of(reply.body, commitment)
        except (PeerUnavailable, EntryRefused) as error:
            if isinstance(error, EntryRefused):
                self._refused[_key(commitment)] = error
            self.health.add("responses.total_invalid_responses")
            _log.info("no reveal", extra={"action": "no_reveal", "hotkey": hotkey, "reason": str(error)[:200]})
            self._due.setdefault(hotkey, _Due()).failed(self.clock.now())
            return False
        self._keep(commitment, reveal)
        return True


def _reveal_step(commitment: Commitment) -> str:
    return f"reveal:{_key(commitment)}"


def _key(commitment: Commitment) -> str:
    return f"{commitment.hotkey}:{hashlib.sha256(commitment.digest.encode()).hexdigest()[:16]}"


@dataclass
class FeedbackCourier:
    """Delivers one round's envelopes, by hotkey."""

    round_id: str
    envelopes: Mapping[str, bytes]
    peers: Peers
    state: StateStore
    clock: Clock
    health: Health
    _due: dict[str, _Due] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)

    def deliver(self, neurons: Sequence[Neuron]) -> int:
        """Try those whose turn it is; the number that is still waiting."""
        for hotkey in self.envelopes:
            if hotkey not in self._done and self.state.step_done(self.round_id, f"delivered:{hotkey}") is not None:
                self._done.add(hotkey)
        endpoints = {neuron.hotkey: neuron.endpoint for neuron in neurons if neuron.endpoint}
        now_s = self.clock.now()
        waiting = [hk for hk in self.envelopes if hk not in self._done]
        turn = [hk for hk in waiting if self._due.setdefault(hk, _Due()).is_due(now_s)]
        if turn:
            with ThreadPoolExecutor(min(AT_A_TIME, len(turn)), thread_name_prefix="feedback") as threads:
                list(threads.map(lambda hk: self._deliver_one(hk, endpoints.get(hk)), turn))
        return sum(hk not in self._done for hk in self.envelopes)

    def _deliver_one(self, hotkey: str, endpoint: str | None) -> None:
        due = self._due[hotkey]
        due.failed(self.clock.now())
        status = 0
        reason = "no endpoint on the chain"
        if endpoint is not None:
            try:
                reply = self.peers.call(
                    endpoint, hotkey, "/feedback", self.envelopes[hotkey], timeout_s=FEEDBACK_TIMEOUT_S
                )
                status, reason = reply.status, f"status {reply.status}"
            except PeerUnavailable as error:
                reason = error.problem
        if status == 200:
            self._finish(hotkey, {"ok": True, "tries": due.tries})
            self.health.add("feedback.delivered")
        elif due.tries >= MAX_TRIES or (400 <= status < 500 and status not in (401, 403, 408, 409, 429)):
            self._finish(hotkey, {"ok": False, "tries": due.tries, "reason": reason[:200]})
            self.health.event("warning", f"No feedback for {hotkey}: {reason}", action="feedback_given_up")
        else:
            _log.info("no delivery", extra={"action": "feedback_waits", "hotkey": hotkey, "reason": reason[:200]})

    def _finish(self, hotkey: str, facts: Mapping[str, Any]) -> None:
        self.state.finish_step(self.round_id, f"delivered:{hotkey}", facts)
        self._done.add(hotkey)
