"""The sources for training and validation. Signals float32 `(n,)`, full scale ±1; times in seconds, rates in Hz.

They are the speech, noise and rooms of one split of the shipped corpus. Training adds the directories of
`collect.py` or the user, and endless synthetic noise with a random spectrum and a random level over time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.finetune.variety import VariedNoise, VariedVoices
from soundsright.data.corpora import Corpus
from soundsright.data.directories import Listing, noise_listing, speech_listing
from soundsright.data.noise_kinds import Babble, FormulaNoise, NoiseMenu, levelled
from soundsright.data.recipe import AnySetTask, SetRecipe
from soundsright.data.recordings import Recording, RecordingSet
from soundsright.data.sources import NoiseSegment, NoiseSource, RecordedNoise, Rooms, Sources
from soundsright.data.splits import Split
from soundsright.data.turns import Turn

CACHE_BYTES = 1_500_000_000
"""The size of the cache of decoded audio: enough for the three hours of `collect.py`. A smaller one reads more."""

FORMULAS = ("white", "pink", "brown", "hum", "clicks")


@dataclass(frozen=True)
class ShapedNoise:
    """Gaussian noise with a random smooth spectrum and a level that is steady, varies, or comes in bursts."""

    def draw(
        self,
        rng: np.random.Generator,
        count: int,
        sample_rate_hz: int,
        *,
        avoid: str = "",
        turn: Turn | None = None,
    ) -> NoiseSegment:
        from scipy.fft import irfft, next_fast_len, rfft

        size = next_fast_len(count, real=True)
        frequency = np.fft.rfftfreq(size, 1.0 / sample_rate_hz)
        octaves = np.log2(np.maximum(frequency, 40.0))
        corners = np.sort(rng.uniform(np.log2(40.0), np.log2(sample_rate_hz / 2), int(rng.integers(2, 9))))
        tilt_db = rng.uniform(-6.0, 1.0) * (octaves - 10.0)
        gain_db = np.interp(octaves, corners, rng.uniform(-15.0, 15.0, corners.size)) + tilt_db
        samples = irfft(rfft(rng.standard_normal(size)) * 10.0 ** (gain_db / 20.0), size)[:count]
        samples *= self._gain_over_time(rng, count, sample_rate_hz)
        return NoiseSegment("shaped", levelled(samples), 0.0)

    @staticmethod
    def _gain_over_time(rng: np.random.Generator, count: int, sample_rate_hz: int) -> np.ndarray:
        """The gain over time: steady with probability 1/3, otherwise varying by up to 25 dB at 0.5 to 12 Hz."""
        if rng.random() < 1 / 3:
            return np.ones(count)
        points = max(3, round(count / sample_rate_hz * 2.0 * 2.0 ** rng.uniform(-1.0, 3.6)))
        levels_db = rng.uniform(-25.0, 0.0, points)
        if rng.random() < 0.4:
            levels_db = np.where(rng.random(points) < 0.5, levels_db.min() - 10.0, levels_db.max())
        grid = np.linspace(0, points - 1, count)
        return np.asarray(10.0 ** (np.interp(grid, np.arange(points), levels_db) / 20.0))


def sources_of(
    task: AnySetTask,
    sample_rate_hz: int,
    recipe: SetRecipe,
    *,
    split: Split,
    speech: tuple[Path, ...] = (),
    noise: tuple[Path, ...] = (),
) -> Sources:
    """One split of the shipped corpus, and all recordings of the directories that fill the band.

    For training, speech and noise are varied, and babble of other speakers and noise by formula are added.

    Raises:
        UsageError: a directory is missing, or none of its files can be used.
    """
    corpus = Corpus.open()
    voices = RecordingSet(
        (*corpus.speech_for(sample_rate_hz, split).recordings, *_listed(speech, sample_rate_hz, speech_listing)),
        cache_bytes=CACHE_BYTES,
    )
    recorded = RecordedNoise(
        RecordingSet(corpus.noise_for(sample_rate_hz, split).recordings, cache_bytes=CACHE_BYTES)
    )
    menu: tuple[NoiseSource, ...] = (recorded,)
    if split is Split.TRAIN:
        extra = _listed(noise, sample_rate_hz, noise_listing)
        collected = (VariedNoise(RecordedNoise(RecordingSet(extra, cache_bytes=CACHE_BYTES))),) * 3 if extra else ()
        formulas = tuple(FormulaNoise(kind) for kind in FORMULAS)
        menu = ((VariedNoise(recorded),) * 6 + collected + (ShapedNoise(),) * 3 + (Babble(voices),) * 2
                + (NoiseMenu(formulas),))  # fmt: skip
    return Sources(
        speech=VariedVoices(voices) if split is Split.TRAIN else voices,
        noise=NoiseMenu(menu) if task.has_noise else None,
        rooms=Rooms(corpus.rirs_for(sample_rate_hz, split), recipe.measured_rirs, recipe.rt60_s, split)
        if task.has_room
        else None,
        split=split,
    )


def _listed(
    folders: Iterable[Path], sample_rate_hz: int, listing_of: Callable[[Path, int], Listing]
) -> tuple[Recording, ...]:
    recordings: list[Recording] = []
    for folder in folders:
        recordings += listing_of(folder, sample_rate_hz).recordings
    return tuple(recordings)
