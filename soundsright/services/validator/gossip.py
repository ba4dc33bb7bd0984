"""Reveals that validators pass on to each other, so that all of them admit the same entries.

Blocks are counted, times are in seconds, sizes in bytes. Every reveal is signed by its miner and hashes to its
commitment, so a validator need not trust the one that passes it on. A validator asks each other validator for its
reveals, again and again until the seed's block is final. It keeps at most two reveals of a commitment: if they
differ, the miner signed both, and the entry is refused everywhere.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundsright.core.errors import EntryRefused, PeerUnavailable, RequestRefused
from soundsright.core.ports import Clock, Neuron, Peers
from soundsright.services.records import RevealDocument, SignedReveal
from soundsright.services.validator.round import Backoff

REVEALS_SCHEMA = "soundsright.reveals/1"
REVEALS_PATH = "/reveals"
MAX_REQUEST_BYTES = 2_000
MAX_REVEALS_IN_REPLY = 64
"""With their largest texts these fit into the 100 kB that a peer's reply may have."""
MAX_PAGES = 160
"""Enough for two reveals of each of 4 096 hotkeys, with some to spare."""
MAX_VALIDATORS_ASKED = 64
MAX_PEERS_AT_A_TIME = 8
TIMEOUT_S = 5.0
MAX_ANSWER_S = 20.0
"""The time for all pages of one validator. A few slow ones must not take the time between close and seed."""
EVERY_S = 10.0
MAX_PAUSE_S = 60.0

_log = logging.getLogger(__name__)


class RevealsRequest(BaseModel):
    """A validator's request for the reveals of a round. `after` is the number of reveals that it has read."""

    model_config = ConfigDict(extra="forbid")

    request_schema: Annotated[Literal["soundsright.reveals/1"], Field(alias="schema")]
    round: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    after: Annotated[int, Field(ge=0, le=MAX_PAGES * MAX_REVEALS_IN_REPLY)] = 0


class RevealsReply(BaseModel):
    """The reveals that a validator has, and whether it asked the miners before the deadline for reveals."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    reply_schema: Annotated[Literal["soundsright.reveals/1"], Field(alias="schema")] = "soundsright.reveals/1"
    round: Annotated[str, Field(max_length=64)]
    collected: bool
    reveals: Annotated[list[RevealDocument], Field(max_length=MAX_REVEALS_IN_REPLY)]
    more: bool


class SharedReveals:
    """The reveals of the present round that this validator gives to others. Any thread may call its methods.

    Only validators with a permit get them. A reveal is public after the close, but its round is not over before the
    seed is final.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._validators: frozenset[str] = frozenset()
        self._round_id = ""
        self._collected = False
        self._documents: dict[str, dict[str, Any]] = {}

    def admit_validators(self, neurons: Iterable[Neuron]) -> None:
        """Let these validators ask from now on."""
        hotkeys = frozenset(neuron.hotkey for neuron in neurons if neuron.permit)
        with self._lock:
            self._validators = hotkeys

    def share(self, round_id: str, reveals: Iterable[SignedReveal], *, collected: bool) -> None:
        """Give these reveals to validators that ask. Reveals of an earlier call for the same round stay."""
        documents = {signed.signature: signed.document(round_id) for signed in reveals if signed.signature}
        with self._lock:
            # New ones come last, so that a sender that reads page by page misses none.
            self._documents = self._documents | documents if self._round_id == round_id else documents
            self._round_id, self._collected = round_id, collected

    def reply(self, sender: str, request: RevealsRequest) -> RevealsReply:
        """The reveals after those that the sender has read.

        Raises:
            RequestRefused: `no_permit`, or `wrong_round` if this validator does not judge that round now.
        """
        with self._lock:
            if sender not in self._validators:
                raise RequestRefused("no_permit", "Only validators with a permit get a reply")
            if request.round != self._round_id:
                raise RequestRefused(
                    "wrong_round", f"The round is {self._round_id or 'not begun'} here", status=409
                )
            page = list(self._documents.values())[request.after : request.after + MAX_REVEALS_IN_REPLY]
            return RevealsReply(
                round=self._round_id,
                collected=self._collected,
                reveals=[RevealDocument.model_validate(document) for document in page],
                more=request.after + len(page) < len(self._documents),
            )


@dataclass
class RevealGossip:
    """Fetches the reveals that the other validators have of one round.

    `accept` verifies a document and keeps it; it raises EntryRefused if the document is not a valid reveal of a
    commitment of the round.
    """

    round_id: str
    own_hotkey: str
    peers: Peers
    clock: Clock
    accept: Callable[[dict[str, Any]], None]
    heard: set[str] = field(default_factory=set)
    """The validators that have answered."""
    collected: set[str] = field(default_factory=set)
    """Those of them that say that they asked the miners before the deadline for reveals."""
    _pauses: dict[str, Backoff] = field(default_factory=dict)

    def ask(self, neurons: Sequence[Neuron], *, last: bool = False) -> None:
        """Ask the validators whose turn it is; all of them if `last`."""
        others = [n for n in neurons if n.permit and n.endpoint and n.hotkey != self.own_hotkey]
        others = sorted(others, key=lambda n: (-n.stake, n.uid))[:MAX_VALIDATORS_ASKED]
        now_s = self.clock.now()
        due = [n for n in others if last or self._pause_of(n.hotkey).is_due(now_s)]
        if not due:
            return
        with ThreadPoolExecutor(min(MAX_PEERS_AT_A_TIME, len(due)), thread_name_prefix="gossip") as threads:
            # This thread alone accepts documents, in the order of the validators.
            for neuron, replies in zip(due, threads.map(self._fetched_from, due), strict=True):
                self._accept_all(neuron.hotkey, replies)

    def majority_collected(self, neurons: Sequence[Neuron]) -> bool:
        """Whether most other validators, by their stake, asked the miners before the deadline for reveals.

        One dishonest validator alone must not keep this one from asking.
        """
        others = [n for n in neurons if n.permit and n.hotkey != self.own_hotkey]
        by_stake = any(n.stake > 0 for n in others)
        weight = {n.hotkey: n.stake if by_stake else 1.0 for n in others}
        return 2 * sum(weight.get(hotkey, 0.0) for hotkey in self.collected) > sum(weight.values())

    def _pause_of(self, hotkey: str) -> Backoff:
        return self._pauses.setdefault(hotkey, Backoff(first_s=EVERY_S, longest_s=MAX_PAUSE_S))

    def _accept_all(self, hotkey: str, replies: Sequence[RevealsReply]) -> None:
        pause = self._pause_of(hotkey)
        if replies:
            self.heard.add(hotkey)
            pause.succeeded()  # The next pause is the shortest again.
        if any(reply.collected for reply in replies):
            self.collected.add(hotkey)
        try:
            for document in (document for reply in replies for document in reply.reveals):
                self.accept(document.as_json())
        except EntryRefused as refused:
            # An honest validator passes on only what it has verified. Believe nothing more of this answer.
            _log.warning(
                "bad gossip", extra={"action": "bad_gossip", "hotkey": hotkey, "reason": str(refused)[:200]}
            )
        pause.failed(self.clock.now())

    def _fetched_from(self, neuron: Neuron) -> list[RevealsReply]:
        """All pages of one validator's reveals, as far as it gives them in time."""
        replies: list[RevealsReply] = []
        ends_s = self.clock.now() + MAX_ANSWER_S
        try:
            while len(replies) < MAX_PAGES and (not replies or (replies[-1].more and replies[-1].reveals)):
                left_s = ends_s - self.clock.now()
                if left_s <= 0:
                    raise PeerUnavailable(f"{neuron.endpoint} needs more than {MAX_ANSWER_S:g} s for its reveals")
                after = sum(len(reply.reveals) for reply in replies)
                replies.append(self._page(neuron, after, min(TIMEOUT_S, left_s)))
        except PeerUnavailable as error:
            _log.info(
                "no gossip", extra={"action": "no_gossip", "hotkey": neuron.hotkey, "reason": error.problem[:200]}
            )
        return replies

    def _page(self, neuron: Neuron, after: int, timeout_s: float) -> RevealsReply:
        body = json.dumps({"schema": REVEALS_SCHEMA, "round": self.round_id, "after": after}).encode()
        endpoint = str(neuron.endpoint)
        answer = self.peers.call(endpoint, neuron.hotkey, REVEALS_PATH, body, timeout_s=timeout_s)
        if answer.status != 200:
            raise PeerUnavailable(f"{endpoint} answered {answer.status}")
        try:
            reply = RevealsReply.model_validate_json(answer.body)
        except ValidationError as error:
            raise PeerUnavailable(f"{endpoint} did not answer with reveals") from error
        if reply.round != self.round_id:
            raise PeerUnavailable(f"{endpoint} answered for another round")
        return reply
