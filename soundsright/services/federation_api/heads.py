"""The present block, read from the chain at most every 12 seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from soundsright.core.errors import ChainUnavailable
from soundsright.core.ports import LiveChain

_FRESH_S = 12.0
_KEPT_S = 600.0
"""Seconds for which the last block that was read counts while the chain does not answer."""


class Heads:
    """The chain's newest block. Any thread may call it."""

    def __init__(self, chain: LiveChain, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._chain = chain
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._block = 0
        self._read_at_s = self._tried_at_s = -float("inf")

    def block(self) -> int:
        """The newest block.

        Raises:
            ChainUnavailable: the chain has not answered for ten minutes.
        """
        with self._lock:
            if self._monotonic_s() - self._tried_at_s > _FRESH_S:
                self._read()
            if self._monotonic_s() - self._read_at_s > _KEPT_S:
                raise ChainUnavailable("The chain did not answer", "Try again in a moment.")
            return self._block

    def known(self) -> int | None:
        """The newest block, or None while the chain does not answer."""
        try:
            return self.block()
        except ChainUnavailable:
            return None

    def _read(self) -> None:
        try:
            block = self._chain.head().number
        except ChainUnavailable:
            self._tried_at_s = self._monotonic_s()
        else:
            self._block = max(self._block, block)
            self._read_at_s = self._tried_at_s = self._monotonic_s()
