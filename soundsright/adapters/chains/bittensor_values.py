"""Converts between the SDK's values and those of this program: neurons, commitments, weights, results of writes.

Blocks are counted; sizes are in bytes. The SDK shows bytes as text if they are text, otherwise as hex or numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from soundsright.adapters.chains.timelock import PREFIX, sealed_parts, sealed_text
from soundsright.core.ports import Neuron, TxResult
from soundsright.core.submission import Commitment

MAX_RAW_BYTES = 128
MAX_BIG_RAW_BYTES = 512
MAX_SEALED_BYTES = 1_024
MAX_U16 = 65_535
NOBODY = "5C4hrfjw9DjXZTzV3MwzrrAr9P1MJhSrvWGWqi1eSuyUpnhM"
"""The address of a key of zeros, which the chain has where it has no account."""
# Refusals that are worth another try later.
_RETRYABLE = frozenset({"rate_limited", "too_early", "limit_exceeded", "expired"})


def padded_weights(weights: Mapping[int, float], uids: Sequence[int], min_weights: int) -> dict[int, float]:
    """The weights by uid. If there are fewer than `min_weights`, other uids get the smallest weight of the chain.

    >>> padded_weights({7: 3.0}, [0, 7, 9], 2) == {7: 3.0, 0: 3.0 / 65_535}
    True
    """
    padded = dict(weights)
    smallest = max(padded.values()) / MAX_U16
    for uid in sorted(uids):
        if len(padded) >= min_weights:
            break
        padded.setdefault(uid, smallest)
    return padded


async def result_of(writing: Awaitable[Any]) -> TxResult:
    """The result of a write by the SDK."""
    from bittensor.result import ChainError

    try:
        result = await writing
    except ChainError as error:
        # The SDK's own check refused it before anything was sent.
        code = _code(error)
        return TxResult(False, code, str(error)[:300], retryable=code in _RETRYABLE)
    if result.success:
        return TxResult(True, block=_block_of(result))
    code = _code(result.error)
    # With this code the SDK says that the connection broke after the transaction was sent.
    unknown = code == "unknown"
    return TxResult(
        False, code, str(result.message)[:300], retryable=unknown or code in _RETRYABLE, unknown=unknown
    )


def _code(error: Any) -> str:
    code = getattr(error, "code", None)
    return str(getattr(code, "value", code) or "refused").lower()


def _block_of(result: Any) -> int | None:
    """The block number in the id of an extrinsic, which is `BLOCK-INDEX`."""
    number = str(getattr(result, "extrinsic_id", "") or "").partition("-")[0]
    return int(number) if number.isdigit() else None


def neuron_of(neuron: Any) -> Neuron:
    """The port's neuron for one of the SDK's metagraph. The stake is in TAO."""
    return Neuron(
        uid=int(neuron.uid),
        hotkey=str(neuron.hotkey),
        registered_at=int(neuron.block_at_registration),
        stake=float(neuron.total_stake.rao) / 1e9,
        permit=bool(neuron.validator_permit),
        endpoint=str(neuron.axon) if neuron.axon else None,
        weights_set_at=int(neuron.last_update) or None,
        coldkey=None if str(neuron.coldkey) == NOBODY else str(neuron.coldkey),
    )


def field_of(text: str) -> dict[str, Any]:
    """The field of a commitment that stores the text, in the chain's own form.

    Raises:
        ValueError: the text is empty or too long.
        EntryRefused: `bad_seal`, if it begins like a sealed text but is not one.
    """
    if text.startswith(PREFIX):
        reveal_round, encrypted = sealed_parts(text)
        if len(encrypted) > MAX_SEALED_BYTES:
            raise ValueError(f"a sealed commitment has at most {MAX_SEALED_BYTES} bytes")
        return {"TimelockEncrypted": {"encrypted": encrypted, "reveal_round": reveal_round}}
    data = text.encode()
    if not 0 < len(data) <= MAX_BIG_RAW_BYTES:
        raise ValueError(f"a commitment has 1 to {MAX_BIG_RAW_BYTES} bytes")
    return {f"Raw{len(data)}" if len(data) <= MAX_RAW_BYTES else "BigRaw": data}


def commitments_of(rows: Any) -> tuple[Commitment, ...]:
    """The commitments that are one text, plain or sealed. Others are left out: they cannot be entries."""
    commitments = []
    for hotkey, registration in rows:
        text = _text(registration["info"]["fields"])
        if text is not None:
            commitments.append(Commitment(str(hotkey), text, int(registration["block"])))
    return tuple(sorted(commitments, key=lambda c: (c.block, c.hotkey)))


def _text(fields: Any) -> str | None:
    # The runtime wraps bounded vectors in lists of one element.
    while isinstance(fields, list | tuple) and len(fields) == 1 and not isinstance(fields[0], dict):
        fields = fields[0]
    if not isinstance(fields, list | tuple) or len(fields) != 1 or not isinstance(fields[0], dict):
        return None
    ((kind, value),) = fields[0].items()
    if kind == "TimelockEncrypted":
        encrypted = _bytes(value["encrypted"])
        return None if encrypted is None else sealed_text(int(value["reveal_round"]), encrypted)
    if kind != "BigRaw" and not str(kind).startswith("Raw"):
        return None
    data = _bytes(value)
    with contextlib.suppress(UnicodeDecodeError):
        return None if data is None else data.decode("ascii")
    return None


def _bytes(value: Any) -> bytes | None:
    """The bytes of a value as the SDK shows it: text, hex or numbers, possibly in lists of one element."""
    while isinstance(value, list | tuple) and len(value) == 1 and not isinstance(value[0], int):
        value = value[0]
    if isinstance(value, str):
        if value.startswith("0x"):
            # The SDK shows bytes that are not text as hex. Text that looks like hex is read as bytes too.
            with contextlib.suppress(ValueError):
                return bytes.fromhex(value[2:])
        return value.encode()
    try:
        return bytes(value)
    except (TypeError, ValueError):
        return None
