"""A private chain on another host, through its HTTP service.

Blocks are counted; times are in seconds. Reads are repeated after growing pauses; writes never are. The result of a
write without an answer is `unknown`: read the chain before you write again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from soundsright.adapters.peers import reply_json, request, signed_headers
from soundsright.core.coldkeys import coldkey_consent
from soundsright.core.errors import ChainUnavailable, HistoryGone, PeerUnavailable, UsageError
from soundsright.core.ports import Account, BlockRef, Neuron, Reply, Snapshot, SubnetRules, Transfer, TxResult
from soundsright.core.submission import Commitment

T = TypeVar("T")

SERVICE = "soundsright.chain/1"
_TRIES = 3
_FIRST_PAUSE_S = 0.3
_GONE = 410
_CHECK_KEYS = "Check WALLET and HOTKEY."
_REMEDIES = {401: _CHECK_KEYS, 403: _CHECK_KEYS, 409: "Try again in a day, or ask the organiser."}


class HttpChain:
    """The ports `LiveChain` and `Treasury` over the service at `url`.

    The account signs writes: a hotkey, or the coldkey that pays a transfer. `timeout_s` limits each request.

    Opening reads the address of the service. Every write is signed for that address.

    Raises:
        UsageError: the server at the URL is not a private chain.
        ChainUnavailable: nothing answers there. Every method can raise it.
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
                f"SUBTENSOR_CHAIN_ENDPOINT {url}: the server there is not a private chain",
                "Give the address of `soundsright chain serve`, or a ws:// address for Bittensor.",
            )
        self._address = str(identity["address"])

    def head(self) -> BlockRef:
        return self._parsed(_block, self._read("/v1/head"))

    def finalized(self) -> BlockRef:
        return self._parsed(_block, self._read("/v1/finalized"))

    def block_hash(self, number: int) -> str:
        return self._parsed(lambda reply: str(reply["hash"]), self._read(f"/v1/blocks/{number}"))

    def timestamp_s(self, number: int) -> float:
        return self._parsed(lambda reply: float(reply["timestamp_s"]), self._read(f"/v1/blocks/{number}"))

    def neurons(self) -> tuple[Neuron, ...]:
        return self.snapshot().neurons

    def commitments(self) -> tuple[Commitment, ...]:
        return self.snapshot().commitments

    def snapshot(self, number: int | None = None) -> Snapshot:
        """The chain as of that block, in one request. None means the head."""
        reply = self._read("/v1/snapshot" if number is None else f"/v1/snapshot?block={number}")
        return self._parsed(_snapshot, reply)

    def owner(self) -> str | None:
        """The organiser's hotkey, or None if the service is of an older version that does not say."""

        def parse(identity: Any) -> str | None:
            owner = identity.get("owner")
            return None if owner is None else str(owner)

        return self._parsed(parse, self._read("/v1/identity"))

    def balance_rao(self, coldkey: str) -> int:
        """The balance of the address; 0 if it has no account."""
        reply = self._read(f"/v1/balances/{quote(coldkey, safe='')}")
        return self._parsed(lambda balance: int(balance["balance_rao"]), reply)

    def transfer(self, coldkey: str, to: str, amount_rao: int) -> TxResult:
        """Move RAO from the coldkey's balance to another's. The client's account is the coldkey."""
        return self._write(coldkey, "/v1/transfer", {"to": to, "amount_rao": amount_rao})

    def mint(self, to: str, amount_rao: int) -> TxResult:
        """Add new RAO to the balance of the address. Only the organiser's account may do this."""
        assert self._account is not None, "a write needs an account"
        return self._write(self._account.address, "/v1/mint", {"to": to, "amount_rao": amount_rao})

    def transfers(self, to: str, after_block: int, until_block: int | None = None) -> tuple[Transfer, ...]:
        path = f"/v1/transfers/{quote(to, safe='')}?after={max(after_block, -1)}"
        listed: list[Transfer] = []
        more = True
        while more:
            # The first page fixes the last block, so that the others are of the same list.
            asked = "" if until_block is None else f"&until={until_block}"
            page = self._read(f"{path}{asked}&skip={len(listed)}")
            last, transfers, more = self._parsed(_transfers, page)
            listed += transfers
            blocks = [after_block + 1, *(transfer.block for transfer in listed), max(last, after_block + 1)]
            if blocks != sorted(blocks) or until_block not in (None, last) or (more and not transfers):
                raise ChainUnavailable(
                    f"The chain at {self._url} lists transfers of other blocks than those asked for",
                    "Use the same version of soundsright on both hosts.",
                )
            until_block = last
        return tuple(listed)

    def weights(self, validator: str) -> dict[int, float]:
        """The validator's current weights, by uid."""
        reply = self._read(f"/v1/weights/{validator}")
        return self._parsed(lambda weights: {int(uid): float(weight) for uid, weight in weights.items()}, reply)

    def publish(self, hotkey: str, digest: str) -> TxResult:
        return self._write(hotkey, "/v1/commitment", {"digest": digest})

    def rules(self) -> SubnetRules:
        """The defaults: the owner of a private chain cannot change the rules."""
        return SubnetRules()

    def clock_offset_s(self, now_s: float) -> float:
        """The offset to the clock of the chain's host. The time of its blocks can be faster."""
        return self._parsed(lambda reply: float(reply["time_s"]), self._read("/v1/identity")) - now_s

    def publish_endpoint(self, hotkey: str, endpoint: str) -> TxResult:
        return self._write(hotkey, "/v1/endpoint", {"endpoint": endpoint})

    def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
        return self._write(hotkey, "/v1/weights", {"by_hotkey": dict(by_hotkey)})

    def register(
        self,
        hotkey: str,
        *,
        stake: float = 0.0,
        permit: bool = False,
        coldkey: str | None = None,
        coldkey_account: Account | None = None,
    ) -> int:
        """Register the hotkey and return its uid. The organiser's account may register any hotkey.

        `coldkey` is the address that owns the hotkey. If a hotkey registers itself, `coldkey_account` signs for it.

        Raises:
            UsageError: the chain refuses.
            ChainUnavailable: the chain does not answer now.
        """
        values: dict[str, Any] = {"hotkey": hotkey, "stake": stake, "permit": permit}
        if coldkey_account is not None:
            signature = coldkey_account.sign(coldkey_consent(self._address, hotkey))
            values |= {"coldkey": coldkey_account.address, "coldkey_signature": signature.hex()}
        elif coldkey is not None:
            values["coldkey"] = coldkey
        return self._parsed(lambda reply: int(reply["uid"]), self._command("/v1/register", values))

    def advance(self, blocks: int = 1) -> BlockRef:
        """Append blocks and return the new head. Only the organiser's account may do this.

        Raises:
            UsageError: the chain refuses.
            ChainUnavailable: the chain does not answer now.
        """
        return self._parsed(_block, self._command("/v1/advance", {"blocks": blocks}))

    def close(self) -> None:
        """Do nothing: no connection stays open between calls."""

    def _read(self, path: str) -> Any:
        for attempt in range(_TRIES):
            try:
                reply = request(self._url, "GET", path, timeout_s=self._timeout_s)
                if reply.status == 200:
                    return reply_json(reply, self._url + path)
                if reply.status == _GONE:
                    raise HistoryGone(
                        f"The chain at {self._url} answered: {_sentence_of(reply)}",
                        "Ask for later blocks, and settle the earlier ones by hand.",
                    )
                if reply.status < 500:
                    raise ChainUnavailable(
                        f"The chain at {self._url} answered: {_sentence_of(reply)}",
                        "Wait a moment, then try again.",
                    )
                reason = f"status {reply.status}"
            except PeerUnavailable as error:
                reason = error.problem
            if attempt + 1 < _TRIES:
                self._sleep(_FIRST_PAUSE_S * 2**attempt)
        raise ChainUnavailable(
            f"The chain at {self._url} does not answer: {reason}",
            "Check SUBTENSOR_CHAIN_ENDPOINT and that `soundsright chain serve` runs there.",
        )

    def _write(self, hotkey: str, path: str, values: Mapping[str, Any]) -> TxResult:
        if self._account is None or self._account.address != hotkey:
            return TxResult(False, "wrong_account", f"this client does not sign for {hotkey}")
        try:
            reply = self._signed_request(path, values)
        except PeerUnavailable as error:
            return TxResult(False, "no_answer", error.problem, retryable=True, unknown=True)
        if reply.status != 200:
            retryable = reply.status >= 500 or reply.status in (401, 429)
            return TxResult(
                False, _code_of(reply), _sentence_of(reply), retryable=retryable, unknown=reply.status >= 500
            )
        return self._parsed(lambda result: TxResult(**result), reply_json(reply, self._url + path))

    def _command(self, path: str, values: Mapping[str, Any]) -> Any:
        try:
            reply = self._signed_request(path, values)
        except PeerUnavailable as error:
            raise ChainUnavailable(error.problem, "Try again.") from error
        if reply.status == 429 or reply.status >= 500:
            raise ChainUnavailable(
                f"The chain at {self._url} answered: {_sentence_of(reply)}", "Try again in a minute."
            )
        if reply.status != 200:
            remedy = _REMEDIES.get(
                reply.status, "Correct this, or use the same version of soundsright on both hosts."
            )
            raise UsageError(f"The chain at {self._url} refused: {_sentence_of(reply)}", remedy)
        return reply_json(reply, self._url + path)

    def _signed_request(self, path: str, values: Mapping[str, Any]) -> Reply:
        assert self._account is not None, "a write needs an account"
        body = json.dumps(values, allow_nan=False).encode()
        headers = signed_headers(self._account, method="POST", path=path, body=body, receiver=self._address)
        return request(self._url, "POST", path, body=body, headers=headers, timeout_s=self._timeout_s)

    def _parsed(self, parse: Callable[[Any], T], reply: Any) -> T:
        try:
            return parse(reply)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ChainUnavailable(
                f"The answer of the chain at {self._url} has another form ({type(error).__name__}: {error})",
                "Use the same version of soundsright on both hosts.",
            ) from error


def _block(reply: Any) -> BlockRef:
    return BlockRef(int(reply["number"]), str(reply["hash"]))


def _snapshot(reply: Any) -> Snapshot:
    return Snapshot(
        _block(reply["block"]),
        tuple(Neuron(**neuron) for neuron in reply["neurons"]),
        tuple(Commitment(**commitment) for commitment in reply["commitments"]),
    )


def _transfers(reply: Any) -> tuple[int, list[Transfer], bool]:
    """The last block of a page of transfers, the transfers, and whether there are more."""
    return int(reply["until_block"]), [Transfer(**each) for each in reply["transfers"]], bool(reply["more"])


def _code_of(reply: Reply) -> str:
    try:
        return str(json.loads(reply.body)["code"])[:60]
    except (ValueError, KeyError, TypeError):
        return f"http_{reply.status}"


def _sentence_of(reply: Reply) -> str:
    try:
        return str(json.loads(reply.body)["sentence"])[:300]
    except (ValueError, KeyError, TypeError):
        return f"status {reply.status}"
