"""Bittensor's own values as this program's: neurons, commitments, weights, and what became of a write.

Blocks are counted, sizes in bytes. Bytes come from the SDK as text where they are text, else as hex or numbers.
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
# Refusals that time mends; everything else that a chain says no to stays a no.
_RETRYABLE = frozenset({"rate_limited", "too_early", "limit_exceeded", "expired"})


def enough_weights(weights: Mapping[int, float], uids: Sequence[int], least: int) -> dict[int, float]:
    """The weights, and as many of the least weight that a chain can hold as are missing to their `least` number.

    >>> enough_weights({7: 3.0}, [0, 7, 9], 2) == {7: 3.0, 0: 3.0 / 65_535}
    True
    """
    found = dict(weights)
    dust = max(found.values()) / MAX_U16
    for uid in sorted(uids):
        if len(found) >= least:
            break
        found.setdefault(uid, dust)
    return found


async def result_of(writing: Awaitable[Any]) -> TxResult:
    """What became of a write of the SDK's."""
    from bittensor.result import ChainError

    try:
        result = await writing
    except ChainError as error:
        # Raised before anything was sent: a preflight's refusal.
        code = _code(error)
        return TxResult(False, code, str(error)[:300], retryable=code in _RETRYABLE)
    if result.success:
        return TxResult(True, block=_block_of(result))
    code = _code(result.error)
    # So the SDK says that the connection broke while the transaction was on its way.
    unknown = code == "unknown"
    return TxResult(
        False, code, str(result.message)[:300], retryable=unknown or code in _RETRYABLE, unknown=unknown
    )


def _code(error: Any) -> str:
    code = getattr(error, "code", None)
    return str(getattr(code, "value", code) or "refused").lower()


def _block_of(result: Any) -> int | None:
    """The block in an extrinsic's id, `number-index`."""
    number = str(getattr(result, "extrinsic_id", "") or "").partition("-")[0]
    return int(number) if number.isdigit() else None


def neuron_of(neuron: Any) -> Neuron:
    """A neuron of the SDK's metagraph."""
    return Neuron(
        uid=int(neuron.uid),
        hotkey=str(neuron.hotkey),
        registered_at=int(neuron.block_at_registration),
        stake=float(neuron.total_stake.rao) / 1e9,
        permit=bool(neuron.validator_permit),
        endpoint=str(neuron.axon) if neuron.axon else None,
        weights_set_at=int(neuron.last_update) or None,
    )


def field_of(text: str) -> dict[str, Any]:
    """The text as the chain's own kind of data."""
    if text.startswith(PREFIX):
        reveal_round, encrypted = sealed_parts(text)
        if len(encrypted) > MAX_SEALED_BYTES:
            raise ValueError(f"a sealed commitment holds {MAX_SEALED_BYTES} bytes")
        return {"TimelockEncrypted": {"encrypted": encrypted, "reveal_round": reveal_round}}
    data = text.encode()
    if not 0 < len(data) <= MAX_BIG_RAW_BYTES:
        raise ValueError(f"a commitment holds {MAX_BIG_RAW_BYTES} bytes")
    return {f"Raw{len(data)}" if len(data) <= MAX_RAW_BYTES else "BigRaw": data}


def commitments_of(rows: Any) -> tuple[Commitment, ...]:
    """The commitments that are one text, plain or sealed; what else miners put there is no entry."""
    found = []
    for hotkey, registration in rows:
        text = _text(registration["info"]["fields"])
        if text is not None:
            found.append(Commitment(str(hotkey), text, int(registration["block"])))
    return tuple(sorted(found, key=lambda c: (c.block, c.hotkey)))


def _text(fields: Any) -> str | None:
    # A list in a list, where the runtime wraps its bounded vectors.
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
    """Bytes however the SDK shows them: text where they are text, else hex or numbers, in lists of one."""
    while isinstance(value, list | tuple) and len(value) == 1 and not isinstance(value[0], int):
        value = value[0]
    if isinstance(value, str):
        if value.startswith("0x"):
            # Bytes that are no text come as hex, and hex that was committed as text would too.
            with contextlib.suppress(ValueError):
                return bytes.fromhex(value[2:])
        return value.encode()
    try:
        return bytes(value)
    except (TypeError, ValueError):
        return None
