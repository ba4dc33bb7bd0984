"""The hotkeys that may call a service for validators. Times are in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from soundsright.core.errors import RequestRefused
from soundsright.core.ports import LiveChain
from soundsright.services.http import SharedReading


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
        self._permitted = SharedReading(self._read, monotonic_s)

    def check(self, hotkey: str) -> None:
        """Check that the hotkey may call. Verify its signature before: strangers must not cause readings.

        Raises:
            RequestRefused: `no_permit`.
            ChainUnavailable: the chain has not answered since the start, so it is unknown who may call.
        """
        if hotkey in self._named:
            return
        if hotkey not in self._permitted.value(lambda permitted: hotkey in permitted):
            raise RequestRefused("no_permit", "Only validators of this executor get a reply")

    def _read(self) -> frozenset[str]:
        """The hotkeys of the chain now."""
        owner = self._chain.owner()
        neurons = () if self._named else self._chain.neurons()
        return self._named.union(neuron.hotkey for neuron in neurons if neuron.permit).union(
            [owner] if owner else []
        )
