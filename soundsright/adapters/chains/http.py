"""A private competition's chain on another host: the `LiveChain` port over its HTTP service.

Blocks are counted, times in seconds. Reads are tried again with growing pauses, writes never: whether one that got
no answer has landed is told as `unknown`, and the caller reads before it writes again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from soundsright.adapters.peers import reply_json, request, signed_headers
from soundsright.core.errors import ChainUnavailable, PeerUnavailable, UsageError
from soundsright.core.ports import Account, BlockRef, Neuron, Reply, Snapshot, SubnetRules, TxResult
from soundsright.core.submission import Commitment

T = TypeVar("T")

SERVICE = "soundsright.chain/1"
_TRIES = 3
_FIRST_PAUSE_S = 0.3
_CHECK_KEYS = "See that WALLET and HOTKEY are the right ones."
_REMEDIES = {401: _CHECK_KEYS, 403: _CHECK_KEYS, 409: "Start another chain."}


class HttpChain:
    """The chain at `url`, with the account that signs its writes.

    Opening asks the service for its address, which every write is bound to.

    Raises:
        UsageError: something else answers there.
        ChainUnavailable: in every method, if nothing does.
    """

    def __init__(
        self,
        url: str,
        account: Account | None = None,
        *,
        timeout_s: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url.rstrip("/")
        self._account = account
        self._timeout_s = timeout_s
        self._sleep = sleep
        identity = self._read("/v1/identity")
        if not isinstance(identity, dict) or identity.get("service") != SERVICE:
            raise UsageError(
                f"SUBTENSOR_CHAIN_ENDPOINT {url}: no private chain answers there",
                "Give the address of a `soundsright chain serve`, or a ws:// address for Bittensor.",
            )
        self._address = str(identity["address"])

    def head(self) -> BlockRef:
        return self._facts(_block, self._read("/v1/head"))

    def finalized(self) -> BlockRef:
        return self._facts(_block, self._read("/v1/finalized"))

    def block_hash(self, number: int) -> str:
        return self._facts(lambda facts: str(facts["hash"]), self._read(f"/v1/blocks/{number}"))

    def timestamp_s(self, number: int) -> float:
        return self._facts(lambda facts: float(facts["timestamp_s"]), self._read(f"/v1/blocks/{number}"))

    def neurons(self) -> tuple[Neuron, ...]:
        return self.snapshot().neurons

    def commitments(self) -> tuple[Commitment, ...]:
        return self.snapshot().commitments

    def snapshot(self, number: int | None = None) -> Snapshot:
        """The chain as of that block, in one request."""
        facts = self._read("/v1/snapshot" if number is None else f"/v1/snapshot?block={number}")
        return self._facts(_snapshot, facts)

    def weights(self, validator: str) -> dict[int, float]:
        """What the validator set last: weight by uid."""
        found = self._read(f"/v1/weights/{validator}")
        return self._facts(lambda facts: {int(uid): float(w) for uid, w in facts.items()}, found)

    def publish(self, hotkey: str, digest: str) -> TxResult:
        return self._write(hotkey, "/v1/commitment", {"digest": digest})

    def rules(self) -> SubnetRules:
        """The defaults: a private chain's owner sets nothing."""
        return SubnetRules()

    def clock_offset_s(self, now_s: float) -> float:
        """By the clock of the chain's host, not by its blocks: an organiser may let their time run faster."""
        return self._facts(lambda facts: float(facts["time_s"]), self._read("/v1/identity")) - now_s

    def publish_endpoint(self, hotkey: str, endpoint: str) -> TxResult:
        return self._write(hotkey, "/v1/endpoint", {"endpoint": endpoint})

    def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
        return self._write(hotkey, "/v1/weights", {"by_hotkey": dict(by_hotkey)})

    def register(self, hotkey: str, *, stake: float = 0.0, permit: bool = False) -> int:
        """The hotkey's uid; the organiser's account registers anybody.

        Raises:
            UsageError: the chain refuses.
            ChainUnavailable: it does not answer now.
        """
        asked = {"hotkey": hotkey, "stake": stake, "permit": permit}
        return self._facts(lambda facts: int(facts["uid"]), self._command("/v1/register", asked))

    def advance(self, blocks: int = 1) -> BlockRef:
        """Append blocks, as the organiser.

        Raises:
            UsageError: the chain refuses.
            ChainUnavailable: it does not answer now.
        """
        return self._facts(_block, self._command("/v1/advance", {"blocks": blocks}))

    def close(self) -> None:
        """Nothing stays open between calls."""

    def _read(self, path: str) -> Any:
        for attempt in range(_TRIES):
            try:
                reply = request(self._url, "GET", path, timeout_s=self._timeout_s)
                if reply.status == 200:
                    return reply_json(reply, self._url + path)
                if reply.status < 500:
                    raise ChainUnavailable(f"The chain at {self._url} answered {_told(reply)}", "Wait for it.")
                reason = f"it answered {reply.status}"
            except PeerUnavailable as error:
                reason = error.problem
            if attempt + 1 < _TRIES:
                self._sleep(_FIRST_PAUSE_S * 2**attempt)
        raise ChainUnavailable(
            f"The chain at {self._url} does not answer: {reason}",
            "Check SUBTENSOR_CHAIN_ENDPOINT and that `soundsright chain serve` runs there.",
        )

    def _write(self, hotkey: str, path: str, asked: Mapping[str, Any]) -> TxResult:
        if self._account is None or self._account.address != hotkey:
            return TxResult(False, "wrong_account", f"this client does not sign for {hotkey}")
        try:
            reply = self._signed(path, asked)
        except PeerUnavailable as error:
            return TxResult(False, "no_answer", error.problem, retryable=True, unknown=True)
        if reply.status != 200:
            retryable = reply.status >= 500 or reply.status in (401, 429)
            return TxResult(False, _code(reply), _told(reply), retryable=retryable, unknown=reply.status >= 500)
        return self._facts(lambda facts: TxResult(**facts), reply_json(reply, self._url + path))

    def _command(self, path: str, asked: Mapping[str, Any]) -> Any:
        try:
            reply = self._signed(path, asked)
        except PeerUnavailable as error:
            raise ChainUnavailable(error.problem, "Try again.") from error
        if reply.status == 429 or reply.status >= 500:
            raise ChainUnavailable(f"The chain at {self._url} answered: {_told(reply)}", "Try again in a minute.")
        if reply.status != 200:
            remedy = _REMEDIES.get(
                reply.status, "Correct that, or use the same version of soundsright on both hosts."
            )
            raise UsageError(f"The chain at {self._url} refused: {_told(reply)}", remedy)
        return reply_json(reply, self._url + path)

    def _signed(self, path: str, asked: Mapping[str, Any]) -> Reply:
        assert self._account is not None, "an account signs"
        body = json.dumps(asked, allow_nan=False).encode()
        headers = signed_headers(self._account, method="POST", path=path, body=body, receiver=self._address)
        return request(self._url, "POST", path, body=body, headers=headers, timeout_s=self._timeout_s)

    def _facts(self, read: Callable[[Any], T], facts: Any) -> T:
        try:
            return read(facts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ChainUnavailable(
                f"The chain at {self._url} answered what cannot be read ({type(error).__name__}: {error})",
                "Use the same version of soundsright on both hosts.",
            ) from error


def _block(facts: Any) -> BlockRef:
    return BlockRef(int(facts["number"]), str(facts["hash"]))


def _snapshot(facts: Any) -> Snapshot:
    return Snapshot(
        _block(facts["block"]),
        tuple(Neuron(**neuron) for neuron in facts["neurons"]),
        tuple(Commitment(**commitment) for commitment in facts["commitments"]),
    )


def _code(reply: Reply) -> str:
    try:
        return str(json.loads(reply.body)["code"])[:60]
    except (ValueError, KeyError, TypeError):
        return f"http_{reply.status}"


def _told(reply: Reply) -> str:
    try:
        return str(json.loads(reply.body)["sentence"])[:300]
    except (ValueError, KeyError, TypeError):
        return f"status {reply.status}"
