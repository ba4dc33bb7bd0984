"""Set weights on a chain whose answer can be lost: read them back before setting them again.

Blocks are counted, times are in seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from soundsright.core.ports import Chain, TxResult

PAUSES_S = (12.0, 24.0, 12.0)
"""The pause after each try: time for the block that can contain the transaction."""

_log = logging.getLogger(__name__)


def set_weights(
    chain: Chain, hotkey: str, by_hotkey: Mapping[str, float], *, pause: Callable[[float], None]
) -> TxResult:
    """Set the weights and check that they are set. Temporary failures are tried again after a pause.

    If it is unknown whether a write took effect, it counts as done when the chain shows that the hotkey has set
    weights since.

    Raises:
        ChainUnavailable: the chain does not answer.
    """
    since = chain.head().number
    unsure = False
    result = TxResult(False)
    for pause_s in PAUSES_S:
        result = chain.set_weights(hotkey, by_hotkey)
        unsure = unsure or result.unknown
        if result.ok or not (result.retryable or unsure):
            return result
        _log.info("weights not set", extra={"action": "weights_not_set", "reason": result.message or result.code})
        pause(pause_s)
        set_block = weights_set_at(chain, hotkey) if unsure else None
        if set_block is not None and set_block > since:
            return TxResult(True, "confirmed", block=set_block)
    return result


def weights_set_at(chain: Chain, hotkey: str) -> int | None:
    """The block in which the hotkey last set weights, at the head of the chain; None if it never did."""
    neurons = chain.snapshot(chain.head().number).neurons
    return next((n.weights_set_at for n in neurons if n.hotkey == hotkey), None)
