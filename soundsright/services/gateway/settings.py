"""The limits of a gateway. Times are in seconds, lengths of recordings too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GatewayLimits:
    """What a gateway allows. Those with `demo` are for listeners without a key.

    A request is put to `tries` provers at most. Each has `timeout_s`, and all together `total_s`. `requests` and
    `streams` are allowed at the same time; `_per_key` is for one key, or for all listeners without one.
    """

    max_audio_s: float = 30.0
    demo_max_audio_s: float = 15.0
    timeout_s: float = 12.0
    total_s: float = 30.0
    tries: int = 3
    requests: int = 32
    requests_per_key: int = 8
    streams: int = 64
    streams_per_key: int = 8
    streams_per_address: int = 8
    stream_s: float = 3_600.0
    demo_stream_s: float = 60.0
    open_s: float = 5.0
    """Time to open a prover's stream, and to wait for the answer to a frame."""

    def audio_s(self, is_demo: bool) -> float:
        """The longest recording."""
        return min(self.demo_max_audio_s, self.max_audio_s) if is_demo else self.max_audio_s

    def stream_longest_s(self, is_demo: bool) -> float:
        """The longest stream."""
        return min(self.demo_stream_s, self.stream_s) if is_demo else self.stream_s
