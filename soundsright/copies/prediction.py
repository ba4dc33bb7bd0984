"""How well the outputs of models predict each other, beyond what the degraded input predicts.

The band up to 4 kHz in the middle of a clip is compared, at 8 kHz. There each output is aligned with the degraded
input. Signal i is predicted by least squares from signal j, filtered by `TAPS` taps, and from the input, filtered
by another `TAPS` taps. What remains is measured as energy. All filters follow from the correlations of all pairs of
signals, which are computed once.

Signals are numbered: the clean speech is 0, the degraded input is 1, and the outputs follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples

Floats = NDArray[np.float64]

MAX_DELAY_S = 0.05
RATE_HZ = 8_000
SECTION_S = 3.072
"""This much in the middle of a clip is compared, so that long clips take no longer."""

REACH = 32
TAPS = 2 * REACH + 1
"""The length of a filter at 8 kHz. Its middle tap is the delay that was found."""

OTHER_REACH = 8
"""The reach of the filter of a second output, which a copy can be mixed with."""

LEAST_REMAINING = 1e-8
"""A part of a signal's energy. Less than this remains only by rounding."""

_BAND_HZ = (150.0, 250.0, 3_600.0, 3_900.0)
"""The band begins between the first two frequencies and ends between the last two. Outside it, hum or noise that
no metric counts could hide a copy."""

_LAGS = 2 * REACH
_SEGMENT = 512  # samples that are correlated at a time
_GRID = 1_024  # the length of a section is a multiple of this, so that its Fourier transform is fast
_RAMP = 1_024  # samples of a section's fade at each end
_RIDGE = 1e-9  # of the energy, so that the filter of a band-limited signal is defined
_LEVEL_SAMPLES = 400  # 50 ms
_LEAST_LEVEL = 1e-4  # of the mean energy, so that silence is not raised to the level of speech
_TINY = float(np.finfo(np.float64).tiny)
_WHITENING = 0.5  # the power of the cross-spectrum by which it is divided to find a delay


@dataclass(frozen=True, eq=False)
class Correlations:
    """The correlations of n signals: `lags[i, j, _LAGS + k]` is the sum of x_i(t) x_j(t + k) over the times t."""

    lags: Floats

    @property
    def count(self) -> int:
        return len(self.lags)

    @property
    def energies(self) -> Floats:
        """`(n,)`"""
        return np.asarray(self.lags[np.arange(self.count), np.arange(self.count), _LAGS])

    def remaining(self, *known: int, reach: int = REACH) -> Floats:
        """`(n,)`: the energy of each signal that remains if it is predicted from the input and the known signals.

        The filters of the known signals have taps up to `reach` samples before and after their middle one.
        """
        predicted = _Prediction.of(self.lags, (1, *known), (REACH, *[reach] * len(known)))
        return self._floored(self.energies - predicted.energies)

    def of(self, signals: Sequence[int]) -> Correlations:
        """Those of some of the signals."""
        return Correlations(self.lags[np.ix_(signals, signals)])

    def remaining_of_pairs(self, end: int) -> Floats:
        """`(n, end - 2)`: what remains of signal i if it is predicted from the input and signal 2 + j."""
        return np.stack([self.remaining(source) for source in range(2, end)], axis=1)

    def remaining_of_mixtures(self, source: int) -> Floats:
        """`(n, n - 2)`: what remains of signal i if it is predicted from the input, the source and signal 2 + j.

        The filter of signal 2 + j reaches `OTHER_REACH` samples.
        """
        first = _Prediction.of(self.lags, (1, source), (REACH, REACH))
        shifts = np.arange(-OTHER_REACH, OTHER_REACH + 1)
        others, width = np.arange(2, self.count), len(shifts)
        # What the first prediction leaves of the shifts of j: their products with each other and with the targets.
        crossed = first.projected(self.lags, shifts)[:, 2:]  # (rows, others, width)
        projected = crossed.transpose(1, 0, 2)
        own = self.lags[others, others][:, _LAGS + shifts[:, None] - shifts]
        own = own - projected.transpose(0, 2, 1) @ projected
        own += _RIDGE * self.energies[2:, None, None] * np.eye(width)
        targets = self.lags[2:][:, :, _LAGS + shifts].transpose(0, 2, 1)
        targets = targets - projected.transpose(0, 2, 1) @ first.rows
        own[source - 2], targets[source - 2] = np.eye(width), 0.0  # nothing remains of the source itself
        more = (targets * np.linalg.solve(own, targets)).sum(axis=1).T
        left = self.energies - first.energies
        # Between signals that are nearly the same, rounding can explain more than there is.
        return self._floored(left[:, None] - np.clip(more, 0, left[:, None]))

    def _floored(self, remaining: Floats) -> Floats:
        least = LEAST_REMAINING * self.energies
        return np.maximum(remaining, least if remaining.ndim == 1 else least[:, None])


@dataclass(frozen=True, eq=False)
class _Prediction:
    """A prediction from known signals.

    `factor` is the Cholesky factor of the products of their shifts. `rows` `(shifts, n)` are the products of the
    shifts with each signal, divided by the factor.
    """

    known: tuple[int, ...]
    reaches: tuple[int, ...]
    factor: Floats
    rows: Floats

    @classmethod
    def of(cls, lags: Floats, known: tuple[int, ...], reaches: tuple[int, ...]) -> _Prediction:
        taps = [np.arange(-reach, reach + 1) for reach in reaches]
        products = np.block(
            [
                [lags[i, j][_LAGS + one[:, None] - other] for j, other in zip(known, taps, strict=True)]
                for i, one in zip(known, taps, strict=True)
            ]
        )
        np.fill_diagonal(products, products.diagonal() * (1 + _RIDGE))
        factor = np.linalg.cholesky(products)
        targets = np.concatenate([lags[i][:, _LAGS + one].T for i, one in zip(known, taps, strict=True)])
        return cls(known, reaches, factor, _divided(factor, targets))

    @property
    def energies(self) -> Floats:
        """`(n,)`: the energy of each signal that is predicted."""
        return np.asarray((self.rows**2).sum(axis=0))

    def projected(self, lags: Floats, shifts: NDArray[np.int64]) -> Floats:
        """`(rows, n, shifts)`: as `rows`, for shifts of each signal."""
        parts = [
            lags[i][:, _LAGS + np.arange(-reach, reach + 1)[:, None] - shifts].transpose(1, 0, 2)
            for i, reach in zip(self.known, self.reaches, strict=True)
        ]
        products = np.concatenate(parts)
        return _divided(self.factor, products.reshape(len(products), -1)).reshape(products.shape)


def _divided(factor: Floats, products: Floats) -> Floats:
    from scipy.linalg import solve_triangular

    return np.asarray(solve_triangular(factor, products, lower=True, check_finite=False))


@dataclass(frozen=True, eq=False)
class Sections:
    """The parts of a clip's signals that are compared, `(2 + outputs + late inputs, samples)`.

    `names` are those of the outputs. The late inputs are the input at the delays of late outputs, before alignment:
    a late copy can be mixed with an input that is not late.
    """

    names: tuple[str, ...]
    signals: Floats

    def levelled(self) -> Sections:
        """The same without late inputs, and with the level in `_LEVEL_SAMPLES` made constant over time."""
        from scipy.ndimage import uniform_filter1d

        if not self.names:
            return self
        signals = self.signals[: 2 + len(self.names)]
        energies = signals**2
        for _ in range(2):
            energies = uniform_filter1d(energies, _LEVEL_SAMPLES, axis=1, mode="nearest")
        least = np.maximum(_LEAST_LEVEL * energies.mean(axis=1, keepdims=True), _TINY)
        return Sections(self.names, signals / np.sqrt(np.maximum(energies, least)))


def sections(clean: Samples, degraded: Samples, outputs: Mapping[str, Samples], sample_rate_hz: int) -> Sections:
    """The sections of the clean speech, the input and the outputs, without outputs that are silent or not finite.

    There are none if the clip is too short.

    Raises:
        ValueError: if the signals differ in length.
    """
    if lengths := {len(signal) for signal in (degraded, *outputs.values())} - {len(clean)}:
        raise ValueError(f"outputs of {sorted(lengths)} samples are not aligned with {len(clean)} of speech")
    rate_hz = min(RATE_HZ, sample_rate_hz)
    length = int(min(SECTION_S, len(clean) / sample_rate_hz) * rate_hz) // _GRID * _GRID
    if length < 2 * _GRID:
        return Sections((), np.zeros((2, 0)))
    filter_ = _Filter.of(length, rate_hz, sample_rate_hz)
    reference = filter_.spectrum(degraded)
    margin = round(MAX_DELAY_S * rate_hz)
    names, signals = [], [filter_.signal(filter_.spectrum(clean)), filter_.signal(reference)]
    delays: dict[int, None] = {}
    for name, output in outputs.items():
        if not np.isfinite(output).all():
            continue
        spectrum = filter_.spectrum(output)
        signal = filter_.signal(spectrum)
        if signal.any():
            delay = _delay(spectrum, reference, length, margin)
            names.append(name)
            signals.append(np.roll(signal, -delay))
            delays |= {delay: None} if abs(delay) > REACH // 2 else {}
    signals += [np.roll(signals[1], -delay) for delay in delays]
    ramp = np.sin(np.pi / 2 * (np.arange(_RAMP // 2) + 0.5) / (_RAMP // 2)) ** 2
    fade = np.concatenate((np.zeros(margin), ramp, np.ones(length - 2 * (margin + len(ramp))), ramp[::-1]))
    return Sections(tuple(names), np.array(signals) * np.concatenate((fade, np.zeros(margin))))


@dataclass(frozen=True, eq=False)
class _Filter:
    """Takes the middle of a signal to the band that is compared, at the rate of the comparison."""

    length: int
    taken: int
    band: Floats

    @classmethod
    def of(cls, length: int, rate_hz: int, sample_rate_hz: int) -> _Filter:
        hz = np.arange(length // 2 + 1) * rate_hz / length
        scale = rate_hz / RATE_HZ
        edges = (*_BAND_HZ[:2], *(edge * scale for edge in _BAND_HZ[2:]))
        rising = np.clip((hz - edges[0]) / (edges[1] - edges[0]), 0, 1)
        falling = np.clip((edges[3] - hz) / (edges[3] - edges[2]), 0, 1)
        return cls(length, round(length * sample_rate_hz / rate_hz), np.sin(np.pi / 2 * rising * falling) ** 2)

    def spectrum(self, signal: Samples) -> NDArray[np.complex128]:
        from scipy import fft

        first = (len(signal) - self.taken) // 2
        middle = np.asarray(signal[first : first + self.taken], np.float64)
        return np.asarray(fft.rfft(middle)[: self.length // 2 + 1] * self.band)

    def signal(self, spectrum: NDArray[np.complex128]) -> Floats:
        from scipy import fft

        return np.asarray(fft.irfft(spectrum, self.length))


def _delay(spectrum: NDArray[np.complex128], reference: NDArray[np.complex128], length: int, max_delay: int) -> int:
    """The samples by which a signal is later than the reference."""
    from scipy import fft

    crossed = spectrum * np.conj(reference)
    level = np.abs(crossed)
    level = np.maximum(level, max(1e-6 * level.max(), _TINY)) ** _WHITENING
    likeness = np.abs(fft.irfft(crossed / level, length))
    likeness = np.concatenate((likeness[length - max_delay :], likeness[: max_delay + 1]))
    return int(likeness.argmax()) - max_delay


def correlations(signals: Floats) -> Correlations:
    """The correlations of signals `(n, samples)`, by Fourier transforms of short segments."""
    from scipy import fft

    count, length = signals.shape
    starts = range(0, length, _SEGMENT)
    size = _SEGMENT + 2 * _LAGS
    padded = np.pad(signals, ((0, 0), (_LAGS, _LAGS + len(starts) * _SEGMENT - length)))
    own = np.stack([padded[:, _LAGS + start : _LAGS + start + _SEGMENT] for start in starts])
    around = np.stack([padded[:, start : start + size] for start in starts])
    spectra = fft.rfft(own, size).conj().transpose(2, 1, 0)
    crossed = np.ascontiguousarray(spectra) @ np.ascontiguousarray(fft.rfft(around).transpose(2, 0, 1))
    lags = np.empty((count, count, 2 * _LAGS + 1))
    for first in range(count):
        lags[first, first:] = fft.irfft(crossed[:, first, first:].T, size)[:, : 2 * _LAGS + 1]
        lags[first:, first] = lags[first, first:, ::-1]
    return Correlations(lags)
