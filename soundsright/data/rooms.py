"""Simulated rooms: lengths in metres, times in seconds, impulse responses float64 of shape `(taps,)`.

A shoebox room: image sources up to the mixing time, then decaying noise. After the mixing time, echoes are so dense
that computed images would sound like noise and take more time.

Sources: J. B. Allen, D. A. Berkley, "Image method for efficiently simulating small-room acoustics", JASA 65 (1979);
C. F. Eyring, "Reverberation time in dead rooms", JASA 1 (1930); J.-D. Polack, "Playing billiards in the concert
hall", Applied Acoustics 38 (1993) for the mixing time of sqrt(V) ms, doubled here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.data.reverb import Room, Signal, rt60_s
from soundsright.data.splits import Split, split_of

SPEED_OF_SOUND_M_S = 343.0

_DECAY_60_DB = 6.907755278982137  # ln(1000)
_LEAD = 32  # taps before the direct path: half an interpolation kernel
_KERNEL = np.arange(-_LEAD + 1, _LEAD + 1)
_WALL_CLEARANCE_M = 0.5


@dataclass(frozen=True)
class Shoebox:
    """A rectangular room with one source and one microphone, as vectors of shape `(3,)`.

    Raises:
        ValueError: the source or microphone is outside the room, or both are at one point.
    """

    size_m: tuple[float, float, float]
    source_m: tuple[float, float, float]
    microphone_m: tuple[float, float, float]
    rt60_s: float

    def __post_init__(self) -> None:
        for point in (self.source_m, self.microphone_m):
            if not all(0.0 < p < side for p, side in zip(point, self.size_m, strict=True)):
                raise ValueError(f"{point} is not in a room of {self.size_m} m")
        if self.distance_m < 1e-3:
            raise ValueError("source and microphone are at one point")
        if self.rt60_s <= 0.0:
            raise ValueError(f"reverberation time {self.rt60_s:g} s is not positive")

    @property
    def volume_m3(self) -> float:
        return float(np.prod(self.size_m))

    @property
    def surface_m2(self) -> float:
        x, y, z = self.size_m
        return 2.0 * (x * y + y * z + z * x)

    @property
    def distance_m(self) -> float:
        return float(np.linalg.norm(np.subtract(self.source_m, self.microphone_m)))

    @property
    def name(self) -> str:
        """The name of the room: its size in centimetres, without source and microphone."""
        x, y, z = self.size_m
        return f"shoebox-{x:.2f}x{y:.2f}x{z:.2f}m"

    @property
    def reflection(self) -> float:
        """Pressure reflection coefficient of the walls for `rt60_s`, by Eyring's formula."""
        return float(
            np.exp(-12.0 * np.log(10.0) * self.volume_m3 / (SPEED_OF_SOUND_M_S * self.surface_m2 * self.rt60_s))
        )


def random_shoebox(rng: np.random.Generator, *, rt60_s: tuple[float, float]) -> Shoebox:
    """A random room, 3 to 10 m by 3 to 8 m and 2.5 to 4.5 m high. `rt60_s` is the range of its reverberation time.

    Source and microphone are at least 0.5 m from the walls and 0.5 to 4 m apart. A room whose walls would have to
    absorb more than 95 % or less than 2 % of the energy is drawn again.
    """
    time_s = float(rng.uniform(*rt60_s))
    shoebox: Shoebox | None = None
    for _ in range(100):
        size = rng.uniform([3.0, 3.0, 2.5], [10.0, 8.0, 4.5])
        points = rng.uniform(_WALL_CLEARANCE_M, size - _WALL_CLEARANCE_M, size=(2, 3))
        if not 0.5 <= float(np.linalg.norm(points[0] - points[1])) <= 4.0:
            continue
        shoebox = Shoebox(_triple(size), _triple(points[0]), _triple(points[1]), time_s)
        if 0.02 <= 1.0 - shoebox.reflection**2 <= 0.95:
            break
    if shoebox is None:
        raise ValueError("100 random rooms had no suitable points for source and microphone")
    return shoebox


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def simulate(shoebox: Shoebox, sample_rate_hz: int, rng: np.random.Generator) -> Signal:
    """The impulse response of the room: direct path at tap 32 with amplitude 1, and T30 equal to the room's
    `rt60_s`.

    `rng` draws the noise of the tail. The decay is corrected once by the measured reverberation time, because
    Eyring's formula is off by up to a third in rooms that are not cubes.
    """
    mixing_s = min(0.002 * np.sqrt(shoebox.volume_m3), 0.25 * shoebox.rt60_s)
    taps = _LEAD + round(shoebox.rt60_s * 1.15 * sample_rate_hz)
    rir = np.zeros(taps)
    mixing = round(mixing_s * sample_rate_hz)
    early = _early_reflections(shoebox, mixing_s, sample_rate_hz)
    rir[: min(early.size, taps)] = early[:taps]

    # The tail fades in while the images fade out, and starts at the energy density at which they end.
    fade = max(2, mixing // 3)
    start = _LEAD + mixing - fade
    density = _energy_density(shoebox, mixing / sample_rate_hz) / sample_rate_hz
    times = np.arange(taps - start) / sample_rate_hz
    tail = rng.standard_normal(taps - start) * np.exp(-_DECAY_60_DB / shoebox.rt60_s * times)
    tail *= np.sqrt(density) * np.exp(_DECAY_60_DB / shoebox.rt60_s * fade / sample_rate_hz)
    ramp = np.sin(np.linspace(0.0, np.pi / 2.0, fade))
    tail[:fade] *= ramp
    rir[start : start + fade] *= ramp[::-1]
    rir[start + fade :] = 0.0
    rir[start:] += tail
    measured_s = rt60_s(rir, sample_rate_hz)
    if measured_s > 0.0:
        slope = _DECAY_60_DB * (1.0 / shoebox.rt60_s - 1.0 / measured_s)
        rir *= np.exp(-slope * (np.arange(taps) - _LEAD) / sample_rate_hz)
    return rir


def _energy_density(shoebox: Shoebox, time_s: float) -> float:
    """Energy of the images per second, `time_s` after the direct sound, which has energy 1.

    At distance `c t` there are `4 pi c^3 t^2 / V` images a second, each of energy `(d0 / (c t))^2 R^(2 n)`. The
    squared distances cancel, and the loss of the reflections is the room's decay.
    """
    lag_s = time_s + shoebox.distance_m / SPEED_OF_SOUND_M_S
    loss = float(np.exp(-2.0 * _DECAY_60_DB * lag_s / shoebox.rt60_s))
    return 4.0 * np.pi * SPEED_OF_SOUND_M_S * shoebox.distance_m**2 / shoebox.volume_m3 * loss


def _early_reflections(shoebox: Shoebox, until_s: float, sample_rate_hz: int) -> Signal:
    """Images up to `until_s` after the direct sound; each is a windowed sinc at its exact, fractional time."""
    size = np.asarray(shoebox.size_m)
    source, microphone = np.asarray(shoebox.source_m), np.asarray(shoebox.microphone_m)
    reach_m = shoebox.distance_m + until_s * SPEED_OF_SOUND_M_S
    offsets, bounces = [], []
    for axis in range(3):
        order = int(np.ceil(reach_m / (2.0 * size[axis]))) + 1
        cells = np.arange(-order, order + 1)
        # Allen and Berkley, eq. 8: images at 2 n L + s and 2 n L - s, after |2 n| and |2 n - 1| reflections.
        at = np.concatenate([2.0 * cells * size[axis] + source[axis], 2.0 * cells * size[axis] - source[axis]])
        offsets.append((at - microphone[axis]) ** 2)
        bounces.append(np.concatenate([np.abs(2 * cells), np.abs(2 * cells - 1)]))
    squared = offsets[0][:, None, None] + offsets[1][None, :, None] + offsets[2][None, None, :]
    near = squared <= reach_m**2
    distance = np.sqrt(squared[near])
    count = (bounces[0][:, None, None] + bounces[1][None, :, None] + bounces[2][None, None, :])[near]
    amplitude = shoebox.distance_m / distance * shoebox.reflection**count
    delay = (distance - shoebox.distance_m) / SPEED_OF_SOUND_M_S * sample_rate_hz
    whole = np.floor(delay).astype(np.intp)
    part = (delay - whole)[:, None]
    kernel = np.sinc(_KERNEL - part) * (0.5 + 0.5 * np.cos(np.pi * (_KERNEL - part) / _LEAD))
    kernel *= amplitude[:, None]
    index = whole[:, None] + (_LEAD + _KERNEL)
    length = int(np.ceil(until_s * sample_rate_hz)) + 2 * _LEAD + 2
    # NumPy's stub says integers, but with weights the sums are float64.
    return np.asarray(np.bincount(index.ravel(), weights=kernel.ravel(), minlength=length), dtype=np.float64)


def simulated_room(
    rng: np.random.Generator, sample_rate_hz: int, *, rt60_s: tuple[float, float], split: Split | None = None
) -> Room:
    """A random room with its response and measured reverberation time; with a split, only a room of that split."""
    shoebox = random_shoebox(rng, rt60_s=rt60_s)
    while split is not None and split_of(shoebox.name) is not split:
        shoebox = random_shoebox(rng, rt60_s=rt60_s)
    taps = simulate(shoebox, sample_rate_hz, rng)
    return Room.of(f"{shoebox.name}-{shoebox.distance_m:.2f}m", taps, sample_rate_hz, group=shoebox.name)
