"""Compares what two models do: how much their outputs on probe clips agree.

Signals are float32 `(n,)`; agreements are in dB. All good enhancers come close to the clean speech, so their
outputs are similar even if no model is a copy. Therefore their errors are compared. A copy can be disguised by a
delay, a sign, a level or a short filter. So both outputs are aligned with the clean speech, and each is predicted
from the other by the best filter of `TAPS` taps. Let |x|y| be the level of the part of x that cannot be predicted
from y:

    agreement = 10 lg (|c|a| |c|b| / (|a|b| |b|a|))

c is the clean speech, and each level is relative to that of x. The agreement is 0 dB if the outputs predict each
other as badly as they predict the speech. It grows without bound as one output becomes a filtered form of the
other. For small errors of equal size and correlation r it is -10 lg 2(1 - r): 7 dB at r = 0.9, 17 dB at r = 0.99.
The same number of taps is fitted above and below the fraction, so the fit alone gives independent outputs no
agreement.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from soundsright.copies.duplicates import DuplicateRule, Likeness
from soundsright.core.audio import Samples

NEAR_COPY_DB = 18.0
"""Independently trained models stay below this; `benchmarks/near_copies.py` prints their agreements."""

MAX_AGREEMENT_DB = 80.0

MAX_DELAY_S = 0.05
TAPS = 17
"""The length of the filter. Its middle tap is the delay that was found."""

_REACH = TAPS // 2
_BLOCK = 16_384  # samples of all outputs in memory as float64 at a time
_MAX_BLOCKS = 3  # compared in a clip, spread evenly over it, so that long clips take no longer
_ALIGNED = 131_072  # samples in the middle of a clip by which the delay is found
_RIDGE = 1e-12  # of the energy, so that the filter of a band-limited signal is defined
_EXACT = 1e-9  # of the energy: less than this remains only by rounding


def agreement_db(clean: Samples, a: Samples, b: Samples, *, sample_rate_hz: int = 16_000) -> float | None:
    """The agreement of two outputs on one clip, at most 80 dB; None if an output contains no speech.

    Delays up to 50 ms are undone.

    Raises:
        ValueError: if the signals differ in length.

    >>> rng = np.random.default_rng(0)
    >>> clean, one, two = rng.standard_normal((3, 8_000)).astype(np.float32)
    >>> round(agreement_db(clean, clean + 0.1 * one, np.roll(-2 * clean - 0.2 * one, 100)), 1)
    80.0
    >>> agreement_db(clean, clean + 0.1 * one, clean + 0.1 * two) < -2.5
    True
    """
    return _agreements_db(clean, {"a": a, "b": b}, round(MAX_DELAY_S * sample_rate_hz)).get(("a", "b"))


def median_agreement_db(
    clean: Sequence[Samples],
    a: Sequence[Samples | None],
    b: Sequence[Samples | None],
    *,
    sample_rate_hz: int = 16_000,
) -> float | None:
    """The median agreement over the clips that both models answered; None if there are none."""
    values = [
        value
        for reference, one, other in zip(clean, a, b, strict=True)
        if one is not None and other is not None
        if (value := agreement_db(reference, one, other, sample_rate_hz=sample_rate_hz)) is not None
    ]
    return statistics.median(values) if values else None


def near_copies(
    clean: Sequence[Samples],
    outputs: Mapping[str, Sequence[Samples | None]],
    *,
    threshold_db: float = NEAR_COPY_DB,
    sample_rate_hz: int = 16_000,
) -> list[Likeness]:
    """The pairs of entries, by their ids, whose median agreement reaches the threshold.

    `outputs` has one signal per probe clip, or None if the clip failed. Each signal is accessed once, clip by clip,
    so a sequence can read it from disk at that time. Only the signals of one clip are in memory at once.
    """
    agreements: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for index, reference in enumerate(clean):
        answers = {name: answer for name, clips in outputs.items() if (answer := clips[index]) is not None}
        for pair, value in _agreements_db(reference, answers, round(MAX_DELAY_S * sample_rate_hz)).items():
            agreements[pair].append(value)
    likenesses = []
    for first, second in combinations(outputs, 2):
        values = agreements[first, second]
        if values and (value := statistics.median(values)) >= threshold_db:
            evidence = {"agreement_db": f"{value:.1f}", "threshold_db": f"{threshold_db:g}"}
            likenesses.append(Likeness(first, second, DuplicateRule.NEAR_COPY, evidence))
    return likenesses


@dataclass(frozen=True, eq=False)
class _Products:
    """Inner products of aligned signals.

    `own` `(n, TAPS, TAPS)` are those of the shifts of each signal; `cross` `(TAPS, n, n)` are those of each signal,
    not shifted, with the shifts of each.
    """

    own: NDArray[np.float64]
    cross: NDArray[np.float64]

    def remaining(self) -> NDArray[np.float64]:
        """`(n, n)`: the energy of signal i that remains if it is predicted from j, as a part of the energy of i."""
        energies = self.own[:, _REACH, _REACH]
        targets = self.cross.transpose(2, 0, 1)  # by source: (taps, targets)
        ridge = _RIDGE * energies[:, None, None] * np.eye(TAPS)
        filters = np.linalg.solve(self.own + ridge, targets)
        fitted = (filters * (self.own @ filters)).sum(axis=1) - 2 * (filters * targets).sum(axis=1)
        remaining = 1 + fitted.T / energies[:, None]
        return np.asarray(np.where(remaining < _EXACT, 0.0, remaining))


def _agreements_db(clean: Samples, outputs: Mapping[str, Samples], max_delay: int) -> dict[tuple[str, str], float]:
    """The agreement of each pair of outputs on one clip, in their order, without outputs that contain no speech."""
    if lengths := {len(output) for output in outputs.values()} - {len(clean)}:
        raise ValueError(f"outputs of {sorted(lengths)} samples are not aligned with {len(clean)} of speech")
    max_delay = min(max_delay, len(clean) // 8)
    delays = _delays(clean, outputs, max_delay)
    names = list(delays)
    if len(names) < 2 or len(clean) < 16 * TAPS:
        return {}
    signals = [(clean, 0), *((outputs[name], delay) for name, delay in delays.items())]
    remaining = _products(signals, max_delay + _REACH).remaining()
    agreements = {}
    for i, j in combinations(range(1, len(signals)), 2):
        errors = math.sqrt(max(remaining[0, i], _EXACT) * max(remaining[0, j], _EXACT))
        apart = math.sqrt(remaining[i, j] * remaining[j, i])
        value = MAX_AGREEMENT_DB
        if apart > errors * 10 ** (-MAX_AGREEMENT_DB / 10):
            value = 10 * math.log10(errors / apart)
        # Rounded, because the last bits of sums of products differ between processors.
        agreements[names[i - 1], names[j - 1]] = round(value, 6)
    return agreements


def _products(signals: Sequence[tuple[Samples, int]], margin: int) -> _Products:
    """The products over blocks that are at least `margin` from both ends. Each signal comes with its delay."""
    count, end = len(signals), len(signals[0][0]) - margin
    own, cross = np.zeros((count, TAPS, TAPS)), np.zeros((TAPS, count, count))
    starts = range(margin, end, _BLOCK)
    if len(starts) > _MAX_BLOCKS:
        starts = range(margin, end, -(-(end - margin) // _MAX_BLOCKS))
    for start in starts:
        length = min(_BLOCK, end - start)
        first, last = start - _REACH, start + length + _REACH
        parts = np.array([signal[first + delay : last + delay] for signal, delay in signals], np.float64)
        middle = parts[:, _REACH : _REACH + length]
        for tap in range(TAPS):
            cross[tap] += middle @ parts[:, tap : tap + length].T
        for index, part in enumerate(parts):
            shifts = np.lib.stride_tricks.sliding_window_view(part, length)
            own[index] += shifts @ shifts.T
    return _Products(own, cross)


def _delays(clean: Samples, outputs: Mapping[str, Samples], max_delay: int) -> dict[str, int]:
    """By name, the samples by which each output is later than the clean speech, without outputs without speech."""
    from scipy import fft

    first = max(0, (len(clean) - _ALIGNED) // 2)
    middle = slice(first, first + _ALIGNED)
    size = fft.next_fast_len(len(clean[middle]) + max_delay, real=True)
    spectrum = np.conj(fft.rfft(clean[middle], size))
    delays = {}
    for name, output in outputs.items():
        if not np.isfinite(output).all() or not output.any():
            continue
        likeness = np.abs(fft.irfft(fft.rfft(output[middle], size) * spectrum, size))
        likeness = np.concatenate((likeness[size - max_delay :], likeness[: max_delay + 1]))
        if likeness.any():
            delays[name] = int(likeness.argmax()) - max_delay
    return delays
