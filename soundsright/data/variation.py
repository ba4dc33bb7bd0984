"""Speech that does not name its recording: signals float32 `(n,)`, full scale ±1; times in seconds, levels in dB.

A clip joins stretches of a speaker's recordings, cut at random places, with short pauses. Then it changes the speed
by 1 to 4 %, with the pitch, and colours the sound with a mild equaliser. Neither the length nor one correlation
then says which recording the clip is from. All of this happens to the clean signal before it is degraded, so the
target of a model is exactly the speech in its input.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from soundsright.core.audio import Samples, SpeechPiece
from soundsright.core.errors import SilentRecording
from soundsright.core.ports import SpeechSource
from soundsright.data.levels import SILENT_DB, active_level, gain_to, power_db
from soundsright.data.pools import ChosenRecording, Pools
from soundsright.data.recordings import LONG_FILE_S, RecordingSet
from soundsright.data.speed import at_speed

VARIATION_VERSION = 1
"""The method below. A set records it, so that a later method does not continue a set of this one."""

SPEED_CHANGES = tuple(change for size in range(10, 41, 5) for change in (-size, size))
"""The changes of speed in thousandths, from 1 to 4 %. Ratios of small numbers are resampled exactly and fast."""

PIECE_S = (1.0, 2.2)
PAUSE_S = (0.05, 0.3)
FADE_S = 0.015
_SHORTEST_S = 0.1

# A stretch this much below the level of its recording is a pause, so another place is drawn.
_QUIET_DB = 20.0
_TRIES = 8
_LEVEL_OF_LONG_FILE_S = 30.0
_MAX_GAIN_DB = 12.0

_EQUALISER_DELAYS_S = (0.00006, 0.0006)
_EQUALISER_BANDS = 3
_EQUALISER_DEPTH = 0.15


@dataclass(frozen=True, eq=False)
class VariedSpeech:
    """Speech of the drawn length, before its level is set, and the choices that made it.

    Attributes:
        speed: playing speed; 1.02 is two percent faster and higher.
        equaliser: echoes before and after the sound, each by its delay in seconds and its gain.
    """

    samples: Samples
    level_db: float
    pieces: tuple[SpeechPiece, ...]
    speed: float
    equaliser: tuple[tuple[float, float], ...]


def varied_speech(
    rng: np.random.Generator,
    source: SpeechSource,
    pools: Pools,
    chosen: ChosenRecording,
    sample_rate_hz: int,
    *,
    count: int,
    alone: bool = False,
) -> VariedSpeech:
    """`count` samples of speech that begin with the chosen recording.

    With `alone`, all stretches are from that recording, otherwise from all recordings of its speaker and pool.

    Raises:
        AudioFileError: a recording cannot be used, or is silent.
    """
    voice = [chosen.index] if alone else pools.others(chosen.index, source.speaker(chosen.index))
    for _ in range(_TRIES):
        speed = 1000 + SPEED_CHANGES[int(rng.integers(len(SPEED_CHANGES)))]
        joined, pieces = _joined(
            rng, source, pools, chosen.index, voice, sample_rate_hz, -(-count * speed // 1000) + 1
        )
        equaliser = _drawn_equaliser(rng, sample_rate_hz)
        samples = equalised(at_speed(joined, speed)[:count], equaliser, sample_rate_hz)
        level_db = active_level(samples, sample_rate_hz).level_db
        if level_db > SILENT_DB:
            seconds = tuple((delay / sample_rate_hz, gain) for delay, gain in equaliser)
            return VariedSpeech(samples, level_db, pieces, speed / 1000, seconds)
    raise SilentRecording(
        source.utterance_id(chosen.index), f"is silent at {_TRIES} random places (active level {level_db:.0f} dB)"
    )


def equalised(samples: Samples, echoes: tuple[tuple[int, float], ...], sample_rate_hz: int) -> Samples:
    """The signal with echoes of the same gain before and after each sound, by their delay in samples.

    A pair of echoes of gain `g` at delay `d` changes the spectrum at `f` Hz by the factor `1 + 2 g cos(2 pi f d)`
    and delays nothing. Only single products and sums are used, so every processor computes the same bits.

    >>> equalised(np.array([0, 0, 1, 0, 0], dtype=np.float32), ((1, 0.125),), 16_000).tolist()
    [0.0, 0.125, 1.0, 0.125, 0.0]
    """
    out = samples.copy()
    echo = np.empty_like(samples)
    for delay, gain in echoes:
        np.multiply(samples, np.float32(gain), out=echo)
        out[delay:] += echo[:-delay]
        out[:-delay] += echo[delay:]
    return out


def _joined(
    rng: np.random.Generator,
    source: SpeechSource,
    pools: Pools,
    first: int,
    voice: list[int],
    rate: int,
    count: int,
) -> tuple[Samples, tuple[SpeechPiece, ...]]:
    """`count` samples of stretches and pauses: the first from the first recording, the others from the voice."""
    joined = np.zeros(count, dtype=np.float32)
    pieces: list[SpeechPiece] = []
    shortest = round(PIECE_S[0] * rate)
    at, number = 0, first
    level_db = recording_level_db(source, pools, first, rate)
    while not pieces or count - at > round(_SHORTEST_S * rate):
        length = round(float(rng.uniform(*PIECE_S)) * rate)
        if count - at - length < shortest:
            length = count - at  # Do not end with a stub.
        gain = 1.0
        if number != first:
            change_db = level_db - recording_level_db(source, pools, number, rate)
            gain = gain_to(0.0, min(_MAX_GAIN_DB, max(-_MAX_GAIN_DB, change_db)))
        start, samples = _cut(rng, source, pools, number, rate, length)
        piece = joined[at : at + samples.shape[0]]
        np.multiply(samples, np.float32(gain), out=piece)
        _fade(piece, rate)
        pieces.append(
            SpeechPiece(source.utterance_id(number), start / rate, samples.shape[0] / rate, at / rate, gain)
        )
        at += samples.shape[0] + round(float(rng.uniform(*PAUSE_S)) * rate)
        number = _next(rng, voice, number)
    return joined, tuple(pieces)


def _cut(
    rng: np.random.Generator, source: SpeechSource, pools: Pools, number: int, rate: int, length: int
) -> tuple[int, Samples]:
    """A random stretch of the recording, at most `length` long, and its start. A quiet one is drawn again."""
    floor_db = max(SILENT_DB, recording_level_db(source, pools, number, rate) - _QUIET_DB)
    loudest: tuple[float, int, Samples] | None = None
    for _ in range(_TRIES):
        start, samples = stretch(rng, source, number, rate, length)
        # One sample of eight tells a pause from speech.
        found_db = power_db(samples[::8])
        if found_db > floor_db:
            return start, samples
        if loudest is None or found_db > loudest[0]:
            loudest = found_db, start, samples
    assert loudest is not None
    return loudest[1:]


def stretch(
    rng: np.random.Generator, source: SpeechSource, number: int, rate: int, length: int
) -> tuple[int, Samples]:
    """A random stretch of the recording, at most `length` samples long, and its start."""
    if isinstance(source, RecordingSet) and source.duration_s(number) > LONG_FILE_S:
        # Leave out the last second, because a header may state a few samples too many.
        start = int(rng.integers(round((source.duration_s(number) - 1.0) * rate) - length + 1))
        return start, source.part(number, rate, start=start, count=length)
    samples = source.read(number, rate).samples
    start = int(rng.integers(max(1, samples.shape[0] - length + 1)))
    return start, samples[start : start + length]


def recording_level_db(source: SpeechSource, pools: Pools, number: int, rate: int) -> float:
    """The mean power of the recording, or of the middle of a long one."""
    level_db = pools.levels_db.get((number, rate))
    if level_db is None:
        if isinstance(source, RecordingSet) and source.duration_s(number) > LONG_FILE_S:
            start = round((source.duration_s(number) - _LEVEL_OF_LONG_FILE_S) / 2 * rate)
            samples = source.part(number, rate, start=start, count=round(_LEVEL_OF_LONG_FILE_S * rate))
        else:
            samples = source.read(number, rate).samples
        level_db = pools.levels_db[number, rate] = power_db(samples)
    return level_db


def _next(rng: np.random.Generator, voice: list[int], number: int) -> int:
    """Another recording of the voice, if there is one."""
    if len(voice) == 1:
        return number
    drawn = voice[int(rng.integers(len(voice) - 1))]
    return voice[-1] if drawn == number else drawn


def _fade(piece: Samples, rate: int) -> None:
    """Fade the ends of the stretch in and out, so that no joint clicks."""
    ramp = _ramp(min(round(FADE_S * rate), piece.shape[0] // 2))
    if ramp.size:
        piece[: ramp.size] *= ramp
        piece[-ramp.size :] *= ramp[::-1]


@lru_cache(maxsize=32)
def _ramp(count: int) -> Samples:
    ramp: Samples = (0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / max(1, count))).astype(np.float32)
    return ramp


def _drawn_equaliser(rng: np.random.Generator, rate: int) -> tuple[tuple[int, float], ...]:
    delays = rng.uniform(*_EQUALISER_DELAYS_S, _EQUALISER_BANDS)
    gains = rng.uniform(-_EQUALISER_DEPTH / 2, _EQUALISER_DEPTH / 2, _EQUALISER_BANDS).astype(np.float32)
    return tuple(
        (max(1, round(delay * rate)), float(gain)) for delay, gain in zip(delays.tolist(), gains, strict=True)
    )
