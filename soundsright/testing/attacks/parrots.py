"""The parrot: an entry that carries recordings, finds the one in a noisy clip, and returns it instead of enhancing.

Signals are float32 `(n,)`, full scale ±1; rates in Hz.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples
from soundsright.testing.attacks.systems import System

LEAST_LIKENESS = 0.3
"""The normalised correlation with the clip from which a recording counts as found. At an SNR of -2.5 dB a true one
has 0.6, and a wrong one 0.1 to 0.2."""

_MIN_OVERLAP = 0.5  # of the clip must lie in the recording


@dataclass(frozen=True, eq=False)
class Library:
    """The recordings that an attacker knows, by id, at one rate. `name` identifies them."""

    name: str
    recordings: Mapping[str, Samples]
    _spectra: dict[tuple[str, int], NDArray[np.complex64]] = field(default_factory=dict, repr=False)

    def found(self, degraded: Samples) -> Samples | None:
        """The clean speech of a clip at the level that it has there, or None if no recording is in the clip."""
        from scipy import fft

        best, speech = LEAST_LIKENESS, None
        count = len(degraded)
        energies = np.concatenate(([0.0], np.cumsum(degraded.astype(np.float64) ** 2)))
        spectra: dict[int, NDArray[np.complex64]] = {}
        for name, recording in self.recordings.items():
            size = fft.next_fast_len(count + len(recording), real=True)
            if size not in spectra:
                spectra[size] = fft.rfft(degraded, size)
            if (name, size) not in self._spectra:
                self._spectra[name, size] = np.conj(fft.rfft(recording, size)).astype(np.complex64)
            products = fft.irfft(spectra[size] * self._spectra[name, size], size)
            lag = int(np.argmax(np.abs(products)))
            lag = lag if lag < count else lag - size  # the clip's sample at which the recording begins
            first, last = max(0, lag), min(count, lag + len(recording))
            part = recording[first - lag : last - lag]
            own, heard = float(np.dot(part, part)), float(energies[last] - energies[first])
            if last - first < _MIN_OVERLAP * count or own <= 0 or heard <= 0:
                continue
            product = float(np.dot(part, degraded[first:last]))
            if abs(product) / np.sqrt(own * heard) > best:
                best = abs(product) / np.sqrt(own * heard)
                speech = np.zeros(count, np.float32)
                speech[first:last] = np.float32(product / own) * part
        return speech


def parrot(library: Library, base: System) -> System:
    """Returns the recording that it finds in the clip, and otherwise the output of an honest enhancer."""
    return _mixed(library, base, 1.0, "parrot")


def stealth_parrot(library: Library, base: System, share: float) -> System:
    """Mixes `share` of the recording that it finds into the output of an honest enhancer."""
    return _mixed(library, base, share, f"{share:.0%} parrot")


def _mixed(library: Library, base: System, share: float, name: str) -> System:
    def answer(degraded: Samples, rate_hz: int) -> Samples:
        speech = library.found(degraded) if library.recordings else None
        if share == 1.0 and speech is not None:
            return speech
        output = base.answer(degraded, rate_hz)
        if speech is None:
            return output
        return np.asarray((1 - share) * output + share * speech, dtype=np.float32)

    return System(f"{base.name}, {name}, {library.name}", answer)
