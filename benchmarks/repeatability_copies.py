"""Near copies of a model's answers: other levels, noise, fewer bits, filters, delays and mixtures.

Signals are float32 arrays of shape `(n,)`, full scale ±1; levels in dB, parts as fractions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.signal import lfilter

from benchmarks.near_copies import later, with_noise
from soundsright.core.audio import Samples

Change = Callable[[Samples, Samples, Samples, int], Samples]
"""Makes a near copy of an answer, from the answer, the input, another model's answer and the rate in Hz."""


def gain(db: float) -> Change:
    return lambda own, _input, _other, _rate: own * np.float32(10 ** (db / 20))


def noise(db: float) -> Change:
    return lambda own, _input, _other, _rate: with_noise(own, db)


def bits(count: int) -> Change:
    steps = 2 ** (count - 1)
    return lambda own, _input, _other, _rate: np.asarray(np.rint(own * steps) / steps, np.float32)


def shelf(db: float) -> Change:
    """A filter of first order that raises what is above about 1 kHz by `db`."""

    def changed(own: Samples, _input: Samples, _other: Samples, rate_hz: int) -> Samples:
        tangent = math.tan(math.pi * 1_000 / rate_hz)
        factor = 10 ** (db / 20)
        above, below = [tangent + factor, tangent - factor], [tangent + 1, tangent - 1]
        return np.asarray(lfilter(above, below, own), np.float32)

    return changed


def delay(samples: int) -> Change:
    return lambda own, _input, _other, _rate: later(own, samples)


def with_input(part: float) -> Change:
    return lambda own, given, _other, _rate: np.asarray((1 - part) * own + part * given, np.float32)


def with_other(part: float) -> Change:
    return lambda own, _input, other, _rate: np.asarray((1 - part) * own + part * other, np.float32)


NEAR_COPIES: dict[str, Change] = {
    **{f"gain of {db:+g} dB": gain(db) for db in (0.3, -0.3, 1, -1)},
    **{f"noise at {db} dB": noise(db) for db in (-40, -30, -20)},
    **{f"rounded to {count} bits": bits(count) for count in (12, 8)},
    **{f"above 1 kHz {db:+d} dB": shelf(db) for db in (1, -1)},
    "1 sample later": delay(1),
    "8 samples later": delay(8),
    **{f"mixed with {part:.0%} of the input": with_input(part) for part in (0.05, 0.1, 0.2)},
    **{f"mixed with {part:.0%} of another model": with_other(part) for part in (0.05, 0.1, 0.2)},
    "mean with another model": with_other(0.5),
}
