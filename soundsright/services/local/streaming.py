"""Check a model that streams: the output of its stream must be that of the whole clip, later by its look-ahead.

Signals are float32 arrays of shape `(n,)`, full scale ±1; times are in seconds, agreements in dB.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from soundsright.core.audio import Audio, pcm16
from soundsright.core.ports import DegradedClip, RunningModel, StreamingModel
from soundsright.core.tiers import STREAM_FRAME_MS, lookahead_frames

LEAST_AGREEMENT_DB = 40.0
"""The least ratio of the clip to its difference from the stream. Another order of sums gives about 90 dB."""
_LONGEST_S = 3.0
REMEDY = (
    "Let `Stream` give what `enhance` gives, later by LOOKAHEAD_MS, in less than 20 ms for each frame. If the "
    "model needs the whole clip at once, delete `Stream`."
)


@dataclass(frozen=True)
class StreamCheck:
    """The outcome: the agreement of stream and clip, and the median and the longest time of a frame."""

    lookahead_ms: float
    agreement_db: float
    median_s: float
    longest_s: float

    @property
    def problem(self) -> str:
        """A sentence that says what is wrong; empty if nothing is."""
        if self.agreement_db < LEAST_AGREEMENT_DB:
            return (
                f"The stream differs from the enhanced clip: they agree to {self.agreement_db:.1f} dB, less than "
                f"{LEAST_AGREEMENT_DB:g} dB"
            )
        if self.median_s > STREAM_FRAME_MS / 1_000:
            return (
                f"A frame of {STREAM_FRAME_MS} ms takes {1_000 * self.median_s:.1f} ms, so the stream falls behind"
            )
        return ""

    @property
    def message(self) -> str:
        """The outcome in one line."""
        same = "the same output" if math.isinf(self.agreement_db) else f"{self.agreement_db:.0f} dB of agreement"
        return (
            f"{same} as for the clip, {self.lookahead_ms:g} ms later; "
            f"a frame takes {1_000 * self.median_s:.1f} ms, at most {1_000 * self.longest_s:.1f} ms"
        )


def checked_stream(running: RunningModel, clip: Audio) -> StreamCheck | None:
    """Compare a stream of the clip's beginning with the answer to the same as a clip. None: it does not stream.

    Raises:
        ModelFault: the model broke the protocol.
    """
    if not isinstance(running, StreamingModel):
        return None
    lookahead_ms = running.stream_lookahead_ms()
    if lookahead_ms is None:
        return None
    samples = clip.sample_rate_hz * STREAM_FRAME_MS // 1_000
    count = min(len(clip), int(_LONGEST_S * clip.sample_rate_hz)) // samples
    audio = Audio(clip.samples[: count * samples], clip.sample_rate_hz)
    (answer,) = running.enhance([DegradedClip("stream", audio)])
    streamed, times_s = _streamed(running, audio, samples)
    expected = np.zeros_like(streamed)
    lag = samples * lookahead_frames(lookahead_ms)
    if answer.audio is not None:
        expected[lag:] = pcm16(answer.audio.samples)
    return StreamCheck(lookahead_ms, _agreement_db(expected, streamed), float(np.median(times_s)), max(times_s))


def _streamed(running: StreamingModel, audio: Audio, samples: int) -> tuple[np.ndarray, list[float]]:
    """The 16-bit output of a stream, and the time of each frame."""
    answers, times_s = [], []
    with running.open_stream(audio.sample_rate_hz) as stream:
        for frame in pcm16(audio.samples).astype("<i2").reshape(-1, samples):
            began_s = time.monotonic()
            answers.append(stream.exchange(frame.tobytes()))
            times_s.append(time.monotonic() - began_s)
        answers += stream.finish()
    return np.frombuffer(b"".join(answers), "<i2"), times_s


def _agreement_db(expected: np.ndarray, streamed: np.ndarray) -> float:
    difference = expected.astype(np.float64) - streamed
    error, signal = float(np.sum(difference**2)), float(np.sum(expected.astype(np.float64) ** 2))
    if error == 0:
        return math.inf
    return 10 * math.log10(signal / error) if signal else -math.inf
