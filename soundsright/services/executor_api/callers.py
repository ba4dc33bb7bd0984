"""The hotkeys that may call a service for validators. Times are in seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from soundsright.core.errors import ChainUnavailable, RequestRefused
from soundsright.core.ports import LiveChain

_FRESH_S = 60.0
_LOOK_AGAIN_S = 12.0
"""How long a hotkey that just got its permit waits at most, while the chain answers."""


class PermittedValidators:
    """The chain's owner, and the `named` hotkeys; without named ones, every hotkey with a permit on the chain.

    Any thread may call it. The chain is read at most every 12 seconds. While it does not answer, the permits of the
    last reading count.
    """

    def __init__(
        self, chain: LiveChain, named: Collection[str] = (), *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._chain = chain
        self._named = frozenset(named)
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._permitted: frozenset[str] | None = None
        self._read_at_s = self._tried_at_s = -float("inf")

    def check(self, hotkey: str) -> None:
        """Check that the hotkey may call. Verify its signature before: strangers must not cause readings.

        Raises:
            RequestRefused: `no_permit`.
            ChainUnavailable: the chain has not answered since the start, so it is unknown who may call.
        """
        if hotkey in self._named:
            return
        permitted = self._permitted
        is_known = permitted is not None and hotkey in permitted
        if is_known and self._monotonic_s() - self._read_at_s <= _FRESH_S:
            return
        # A slow chain must not keep out those who are known: one of them reads, the others go on.
        if not self._lock.acquire(blocking=not is_known):
            return
        try:
            permitted = self._read()
        finally:
            self._lock.release()
        if hotkey not in permitted:
            raise RequestRefused("no_permit", "Only validators of this executor get a reply")

    def _read(self) -> frozenset[str]:
        """The hotkeys of the chain now. A reading of the last 12 seconds counts, also one that failed."""
        if self._monotonic_s() - self._tried_at_s <= _LOOK_AGAIN_S:
            if self._permitted is None:
                raise ChainUnavailable("The chain did not answer", "Try again in a moment.")
            return self._permitted
        try:
            owner = self._chain.owner()
            neurons = () if self._named else self._chain.neurons()
        except ChainUnavailable:
            if self._permitted is None:
                raise
            return self._permitted
        finally:
            self._tried_at_s = self._monotonic_s()
        found = {neuron.hotkey for neuron in neurons if neuron.permit} | ({owner} if owner else set())
        self._permitted = self._named | found
        self._read_at_s = self._tried_at_s
        return self._permitted
