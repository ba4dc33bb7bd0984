"""Noise made by formula: signals float32 `(n,)` of about -20 dB, frequencies in Hz, times in seconds.

The kinds are coloured hiss, mains hum, clicks, wind, and babble of other speakers of the set. Mixing sets the
level. The formulas here are those of earlier versions, for sets without balance; `formulas` has the present ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples
from soundsright.core.errors import UsageError
from soundsright.core.ports import SpeechSource
from soundsright.data.formulas import COLOURS, FORMULAS, LEVEL_DB
from soundsright.data.levels import SILENT_DB, gain_to, power_db
from soundsright.data.mixing import looped
from soundsright.data.pools import Pools
from soundsright.data.recordings import RecordingSet
from soundsright.data.sources import NoiseSegment, NoiseSource, RecordedNoise
from soundsright.data.turns import Turn
from soundsright.data.variation import recording_level_db, stretch

_TRIES = 8


def coloured(rng: np.random.Generator, count: int, sample_rate_hz: int, *, exponent: float) -> Samples:
    """Gaussian noise whose power density goes as `1 / f ** exponent` above 20 Hz."""
    from scipy.fft import irfft, next_fast_len, rfft

    size = next_fast_len(count, real=True)
    spectrum = rfft(rng.standard_normal(size))
    frequency = np.fft.rfftfreq(size, 1.0 / sample_rate_hz)
    spectrum *= np.maximum(frequency, 20.0) ** (-exponent / 2.0)
    return levelled(irfft(spectrum, size)[:count])


def hum(rng: np.random.Generator, count: int, sample_rate_hz: int) -> Samples:
    """Mains hum: 50 or 60 Hz, slightly detuned, with decaying harmonics and faint hiss."""
    mains_hz = float(rng.choice((50.0, 60.0))) * float(rng.uniform(0.998, 1.002))
    time_s = np.arange(count) / sample_rate_hz
    harmonics = int(rng.integers(6, 24))
    out = 1e-3 * rng.standard_normal(count)
    for harmonic in range(1, harmonics + 1):
        if harmonic * mains_hz < 0.45 * sample_rate_hz:
            amplitude = rng.uniform(0.2, 1.0) / harmonic
            out += amplitude * np.sin(2 * np.pi * harmonic * mains_hz * time_s + rng.uniform(0, 2 * np.pi))
    return levelled(out)


def clicks(rng: np.random.Generator, count: int, sample_rate_hz: int) -> Samples:
    """Clicks of 0.1 to 3 ms at 5 to 40 a second, with faint hiss."""
    per_second = float(rng.uniform(5.0, 40.0))
    out = 1e-3 * rng.standard_normal(count)
    number = max(1, int(rng.poisson(per_second * count / sample_rate_hz)))
    for start in rng.integers(0, count, number).tolist():
        length = int(rng.uniform(0.0001, 0.003) * sample_rate_hz) + 1
        stop = min(count, start + length)
        decay = np.exp(-4.0 * np.arange(stop - start) / length)
        out[start:stop] += rng.uniform(0.2, 1.0) * rng.standard_normal(stop - start) * decay
    return levelled(out)


def wind(rng: np.random.Generator, count: int, sample_rate_hz: int) -> Samples:
    """Wind at a microphone: rumble that decays above 60 to 200 Hz, in gusts of 0.1 to 0.4 s.

    A simpler version of the model of C. M. Nelke and P. Vary, "Measurement, analysis and simulation of wind noise
    signals for mobile communication devices", IWAENC 2014.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    size = next_fast_len(count, real=True)
    frequency = np.fft.rfftfreq(size, 1.0 / sample_rate_hz)
    corner_hz, order = float(rng.uniform(60.0, 200.0)), float(rng.uniform(0.75, 1.25))
    shape = (1.0 + (frequency / corner_hz) ** 2) ** -order * np.minimum(1.0, frequency / 20.0)
    rumble = irfft(rfft(rng.standard_normal(size)) * shape, size)[:count]
    step = round(float(rng.uniform(0.1, 0.4)) * sample_rate_hz)
    gusts_db = float(rng.uniform(4.0, 9.0)) * rng.standard_normal(count // step + 2)
    return levelled(
        rumble * 10.0 ** (np.interp(np.arange(count) / step, np.arange(gusts_db.size), gusts_db) / 20.0)
    )


def levelled(samples: NDArray[np.floating]) -> Samples:
    """The noise at `LEVEL_DB`, float32 `(n,)`."""
    return (samples * gain_to(power_db(samples), LEVEL_DB)).astype(np.float32)


def _colour(name: str) -> Callable[[np.random.Generator, int, int], Samples]:
    def make(rng: np.random.Generator, count: int, sample_rate_hz: int) -> Samples:
        return coloured(rng, count, sample_rate_hz, exponent=COLOURS[name])

    return make


NOISE_KINDS: dict[str, Callable[[np.random.Generator, int, int], Samples]] = {
    **{name: _colour(name) for name in COLOURS},
    "hum": hum,
    "clicks": clicks,
    "wind": wind,
}
"""The kinds that are computed by formula, by name."""

BABBLE = "babble"


@dataclass(frozen=True)
class FormulaNoise:
    """Noise of one of `NOISE_KINDS`. With a turn, it is made by the present formula.

    Raises:
        UsageError: the kind is unknown.
    """

    kind: str

    def __post_init__(self) -> None:
        if self.kind not in NOISE_KINDS:
            raise UsageError(
                f"Unknown kind of noise {self.kind!r}",
                f"Choose from {', '.join((*NOISE_KINDS, BABBLE))}, or give a folder that exists.",
            )

    def draw(
        self,
        rng: np.random.Generator,
        count: int,
        sample_rate_hz: int,
        *,
        avoid: str = "",
        turn: Turn | None = None,
    ) -> NoiseSegment:
        if turn is None:
            return NoiseSegment(self.kind, NOISE_KINDS[self.kind](rng, count, sample_rate_hz), 0.0)
        samples = FORMULAS[self.kind](rng, count, sample_rate_hz)
        return NoiseSegment(self.kind, samples, 0.0, level_db=LEVEL_DB)


@dataclass(frozen=True, eq=False)
class Babble:
    """Several voices at equal level, without the clip's own speaker if there are enough others.

    The voices are utterances of `speech`, looped from a random start.
    """

    speech: SpeechSource
    voices: tuple[int, int] = (3, 8)

    def draw(
        self,
        rng: np.random.Generator,
        count: int,
        sample_rate_hz: int,
        *,
        avoid: str = "",
        turn: Turn | None = None,
    ) -> NoiseSegment:
        if turn is not None:
            return self._of_stretches(rng, count, sample_rate_hz, avoid, turn)
        total = np.zeros(count, dtype=np.float64)
        names = []
        speakers = set()
        for _ in range(int(rng.integers(self.voices[0], self.voices[1] + 1))):
            index = self._other(rng, avoid)
            samples = self.speech.read(index, sample_rate_hz).samples
            level = power_db(samples)
            if level <= SILENT_DB:
                continue
            start = int(rng.integers(samples.shape[0]))
            voice = looped(np.roll(samples, -start), count, sample_rate_hz)
            total += voice.astype(np.float64) * gain_to(level, LEVEL_DB)
            names.append(self.speech.utterance_id(index))
            speakers.add(self.speech.speaker(index))
        if not names:
            return FormulaNoise("pink").draw(rng, count, sample_rate_hz)
        name = f"babble:{'+'.join(names)}"
        return NoiseSegment(name, total.astype(np.float32), 0.0, speakers=frozenset(speakers))

    def _of_stretches(
        self, rng: np.random.Generator, count: int, rate: int, avoid: str, turn: Turn
    ) -> NoiseSegment:
        """Each voice is one stretch of a recording, looped from its start. Long recordings are read in part."""
        pools = Pools.of_speech(self.speech)
        total = np.zeros(count, dtype=np.float32)
        names, speakers = [], set()
        for _ in range(int(rng.integers(self.voices[0], self.voices[1] + 1))):
            index = self._other(rng, avoid)
            level_db = recording_level_db(self.speech, pools, index, rate)
            if level_db <= SILENT_DB:
                continue
            samples = looped(stretch(rng, self.speech, index, rate, count)[1], count, rate)
            total += samples * np.float32(gain_to(level_db, LEVEL_DB))
            names.append(self.speech.utterance_id(index))
            speakers.add(self.speech.speaker(index))
        if power_db(total) <= SILENT_DB:
            return FormulaNoise("pink").draw(rng, count, rate, turn=turn)
        return NoiseSegment(f"{BABBLE}:{'+'.join(names)}", total, 0.0, speakers=frozenset(speakers))

    def _other(self, rng: np.random.Generator, avoid: str) -> int:
        index = int(rng.integers(len(self.speech)))
        for _ in range(_TRIES):
            if not avoid or self.speech.speaker(index) != avoid:
                break
            index = int(rng.integers(len(self.speech)))
        return index


@dataclass(frozen=True, eq=False)
class NoiseMenu:
    """Draws one of several noise sources for each clip, all with equal probability, in turns or independently."""

    sources: tuple[NoiseSource, ...]

    def draw(
        self,
        rng: np.random.Generator,
        count: int,
        sample_rate_hz: int,
        *,
        avoid: str = "",
        turn: Turn | None = None,
    ) -> NoiseSegment:
        if turn is None:
            chosen = self.sources[int(rng.integers(len(self.sources)))]
            return chosen.draw(rng, count, sample_rate_hz, avoid=avoid)
        picked = turn.of(len(self.sources))
        return self.sources[picked.number].draw(rng, count, sample_rate_hz, avoid=avoid, turn=turn.within(picked))


@dataclass(frozen=True, eq=False)
class MixedNoise:
    """Recordings and kinds of noise, of which each recording and each kind is equally frequent."""

    recorded: RecordedNoise
    kinds: tuple[NoiseSource, ...]

    @classmethod
    def of(cls, recordings: RecordingSet, voices: SpeechSource | None) -> MixedNoise:
        """The recordings, all kinds by formula, and babble if there are voices for it."""
        kinds: list[NoiseSource] = [FormulaNoise(kind) for kind in NOISE_KINDS]
        if voices is not None:
            kinds.append(Babble(voices))
        return cls(RecordedNoise(recordings), tuple(kinds))

    def draw(
        self,
        rng: np.random.Generator,
        count: int,
        sample_rate_hz: int,
        *,
        avoid: str = "",
        turn: Turn | None = None,
    ) -> NoiseSegment:
        noises = len(self.recorded) + len(self.kinds)
        if turn is None:
            number = int(rng.integers(noises)) - len(self.recorded)
            source = self.recorded if number < 0 else self.kinds[number]
            return source.draw(rng, count, sample_rate_hz, avoid=avoid)
        picked = turn.of(noises)
        number = picked.number - len(self.recorded)
        if number >= 0:
            return self.kinds[number].draw(rng, count, sample_rate_hz, avoid=avoid, turn=turn.within(picked))
        found = self.recorded.segment(picked, count, sample_rate_hz)
        return found or self.recorded.draw(rng, count, sample_rate_hz)
