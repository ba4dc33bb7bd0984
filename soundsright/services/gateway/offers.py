"""The provers whose models take live audio: each is asked now and then. Times are in seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from soundsright.core.errors import InfrastructureFault
from soundsright.core.ports import LiveProvers
from soundsright.services.verifier import ServingProver

_KNOWN_S = 60.0
_TIMEOUT_S = 2.0
_ASKED_AT_ONCE = 16
_MOST_KNOWN = 4_096


class LiveOffers:
    """Says which provers stream. It belongs to one event loop; its threads do the asking."""

    def __init__(self, provers: LiveProvers, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._provers = provers
        self._monotonic_s = monotonic_s
        self._known: dict[str, tuple[float, bool]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(_ASKED_AT_ONCE, "live-offers")

    def close(self) -> None:
        """Stop asking."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def streams(self, prover: ServingProver) -> bool | None:
        """Whether the prover's model streams; None if that is not known now."""
        asked_s, streams = self._known.get(_name(prover), (float("-inf"), False))
        return streams if self._monotonic_s() - asked_s < _KNOWN_S else None

    def forget(self, prover: ServingProver) -> None:
        """Take it that this prover does not stream, until it is asked again."""
        self._keep(prover, streams=False)

    async def streaming(self, provers: Sequence[ServingProver], rate_hz: int) -> list[ServingProver]:
        """Those that stream, in the same order. The first ones of which it is not known are asked."""
        unknown = [each for each in provers if self.streams(each) is None][:_ASKED_AT_ONCE]
        await asyncio.gather(*(self._ask(each, rate_hz) for each in unknown))
        return [each for each in provers if self.streams(each)]

    async def _ask(self, prover: ServingProver, rate_hz: int) -> None:
        """Ask a prover. Whoever wants to know at the same time waits for the same answer."""
        name = _name(prover)
        if name not in self._asking:
            self._asking[name] = asyncio.create_task(self._look_up(prover, rate_hz))
            self._asking[name].add_done_callback(lambda _: self._asking.pop(name, None))
        await asyncio.shield(self._asking[name])

    async def _look_up(self, prover: ServingProver, rate_hz: int) -> None:
        loop = asyncio.get_running_loop()
        self._keep(prover, streams=await loop.run_in_executor(self._threads, self._offers, prover, rate_hz))

    def _offers(self, prover: ServingProver, rate_hz: int) -> bool:
        try:
            offer = self._provers.offer(prover.prover, timeout_s=_TIMEOUT_S)
        except InfrastructureFault:
            return False
        return offer.streaming and offer.sample_rate_hz == rate_hz

    def _keep(self, prover: ServingProver, *, streams: bool) -> None:
        self._known.pop(_name(prover), None)
        self._known[_name(prover)] = (self._monotonic_s(), streams)
        if len(self._known) > _MOST_KNOWN:
            self._known.pop(next(iter(self._known)))


def _name(prover: ServingProver) -> str:
    return f"{prover.hotkey}@{prover.endpoint}"
