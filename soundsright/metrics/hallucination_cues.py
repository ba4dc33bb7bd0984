"""Cues to a hallucination in each stretch of an enhanced clip. Signals float64 `(n,)` at 16 kHz; levels in dB.

Spectra of 32 ms every 8 ms are summed into 20 bands of equal width on the mel scale, from 100 Hz to 7.6 kHz, and
smoothed over about 55 ms. In each cell of band and time there are the powers of the clean, enhanced and noisy
signal, and their coherences. An honest enhancer scales what is in its input: its errors lie between the clean and
the noisy signal, and are coherent with them. A vocoder keeps no phase, but the level of each cell. A hallucination
has levels that are in neither signal and no coherence with either, or lacks speech that stands out of the noise.

Levels are relative to the loud frames of the clean speech, and the enhanced signal is first scaled to it, so no cue
depends on the gain of any signal. `CUES` names the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from soundsright.metrics.frames import hann_window

RATE_HZ = 16_000
HOP_S = 0.008
_FRAME = 512
_HOP = round(HOP_S * RATE_HZ)
_BANDS = 20
_BAND_EDGES_HZ = (100.0, 7_600.0)
_SMOOTHED_FRAMES = 13
_LONG_FRAMES = 31
_FLOOR_DB = -30.0  # relative to the loud frames: quieter cells count as silent
_LOWEST_DB = -40.0
_MOST_DB = 20.0
_LOUD = 0.05  # of the power of the loud frames: only louder frames show the gain
_KEPT = 0.75  # the quantile of the ratios that shows the gain of speech that was kept
_SPEECH_AMOUNT = 0.15  # of a frame whose speech gives the context of a clip

Float64 = NDArray[np.float64]
Value = TypeVar("Value", np.float64, np.complex128)

CUES = (
    "lost",
    "lost_long",
    "incoherent",
    "incoherent_long",
    "unexplained",
    "unexplained_long",
    "louder",
    "shape",
    "outside",
    "foreign",
    "amount",
    "clearness",
    "input_level",
    "output_level",
    "usual_lost",
    "usual_incoherent",
    "usual_unexplained",
    "usual_shape",
    "incoherent_and_different",
    "lost_and_incoherent",
    "unexplained_and_foreign",
)
"""The cues of a frame, in the order of the columns.

- `lost`: how many dB speech lost that stands out of the noise; `shape`: the deviation over bands of that loss.
- `incoherent`: the share of such speech that is not in the enhanced signal with its phase, 0 to 1.
- `unexplained`: the level above the clean speech of what no filter of the clean and the noisy signal explains.
- `louder`: the level above both signals; `outside`: the same plus the level below both.
- `foreign`: the share of the enhanced signal that is incoherent with the input.
- `amount`: how much speech there is; `clearness`: how much of it stands out of the noise.
- `…_long`: the mean over a quarter of a second. `usual_…`: a high quantile over the clip's speech.
- The last three are products: a vocoder is incoherent but not different.
"""


@dataclass(frozen=True, eq=False)
class Cells:
    """Powers, coherences and levels in each cell of time and band, each of shape `(frames, 20)`.

    The first frame is at `start_s` of the clip.
    """

    clean: Float64
    noise: Float64
    clean_db: Float64
    enhanced_db: Float64
    noisy_db: Float64
    unexplained_db: Float64
    with_clean: Float64
    with_noisy: Float64
    start_s: float = 0.0


def frame_times_s(frames: int) -> Float64:
    """The time of the middle of each frame: the first is at 0, the last not after the end of the clip."""
    times: Float64 = np.arange(frames, dtype=np.float64) * HOP_S
    return times


def cells_of(clean: Float64, enhanced: Float64, noisy: Float64) -> Cells | None:
    """The cells of a clip; None if its clean speech or its enhanced signal has no level."""
    s, e, y = (_spectra(each) for each in (clean, enhanced, noisy))
    ss, ee, yy, noise = (_cell_sums(np.abs(each) ** 2) for each in (s, e, y, y - s))
    es, ey, sy = (_cell_sums(a * b.conj()) for a, b in ((e, s), (e, y), (s, y)))
    total = ss.sum(axis=1)
    level = float(np.quantile(total, 0.95)) / _BANDS
    if level <= 0.0:
        return None
    loud = total > level * _BANDS * _LOUD
    # Not the mean: it depends on sound that the output adds. Not the median: some models drop half of the speech.
    gain = float(np.quantile(ee.sum(axis=1)[loud] / total[loud], _KEPT))
    if not gain > 0.0:
        return None
    ee, es, ey = ee / gain, es / np.sqrt(gain), ey / np.sqrt(gain)
    tiny = level * 1e-7
    a, b = ss + tiny, yy + tiny
    # Least squares of the enhanced cell on the clean and the noisy one; the ridge keeps equal signals apart.
    determinant = a * b * 1.001 - np.abs(sy) ** 2
    by_clean, by_noisy = (es * b - ey * sy.conj()) / determinant, (ey * a - es * sy) / determinant
    explained = np.maximum((by_clean.conj() * es + by_noisy.conj() * ey).real, 0.0)
    ss_db, ee_db, yy_db, rest_db = (
        np.maximum(10.0 * np.log10(np.maximum(power / level, 1e-12)), _LOWEST_DB)
        for power in (ss, ee, yy, ee - explained)
    )
    return Cells(
        ss,
        noise,
        ss_db,
        ee_db,
        yy_db,
        rest_db,
        np.minimum(np.abs(es) ** 2 / (a * (ee + tiny)), 1.0),
        np.minimum(np.abs(ey) ** 2 / (b * (ee + tiny)), 1.0),
    )


def cues_of(cells: Cells) -> Float64:
    """The cues of each frame, shape `(frames, len(CUES))`."""
    s, e, y = cells.clean_db, cells.enhanced_db, cells.noisy_db
    speech = np.clip(s - _FLOOR_DB, 0.0, -_FLOOR_DB)
    share = cells.clean / np.maximum(cells.clean + cells.noise, 1e-30)
    weight = speech * share
    clear = weight.sum(axis=1)
    # 30 more in the denominator: a frame with little speech counts little.
    per_speech = 1.0 / (clear + 30.0)
    loss = s - e
    lost = (weight * np.clip(loss, 0.0, _MOST_DB)).sum(axis=1) * per_speech
    incoherent = (weight * (1.0 - cells.with_clean)).sum(axis=1) * per_speech
    unexplained = np.clip(cells.unexplained_db - np.maximum(s, _FLOOR_DB), 0.0, None).mean(axis=1)
    above = np.clip(e - np.maximum(np.maximum(s, y), _FLOOR_DB), 0.0, None)
    below = np.clip(np.minimum(s, y) - e, 0.0, _MOST_DB) * share
    mean_loss = (weight * loss).sum(axis=1) * per_speech
    spread = np.clip(loss - mean_loss[:, None], -_MOST_DB, _MOST_DB) ** 2
    shape = np.sqrt((weight * spread).sum(axis=1) * per_speech)
    sound = np.clip(e - _FLOOR_DB, 0.0, None)
    foreign = (sound * (1.0 - cells.with_noisy)).sum(axis=1) / (sound.sum(axis=1) + 30.0)
    amount = clear / (-_FLOOR_DB * _BANDS)
    spoken = amount > _SPEECH_AMOUNT
    columns = {
        "lost": lost,
        "lost_long": _long(lost),
        "incoherent": incoherent,
        "incoherent_long": _long(incoherent),
        "unexplained": unexplained,
        "unexplained_long": _long(unexplained),
        "louder": above.mean(axis=1),
        "shape": shape,
        "outside": (above + below).mean(axis=1),
        "foreign": foreign,
        "amount": amount,
        "clearness": clear / (speech.sum(axis=1) + 30.0),
        "input_level": np.clip(y - _FLOOR_DB, 0.0, None).mean(axis=1) / -_FLOOR_DB,
        "output_level": sound.mean(axis=1) / -_FLOOR_DB,
        "usual_lost": _usual(lost, spoken, 0.75),
        "usual_incoherent": _usual(incoherent, spoken, 0.75),
        "usual_unexplained": _usual(unexplained, spoken, 0.9),
        "usual_shape": _usual(shape, spoken, 0.75),
        "incoherent_and_different": incoherent * np.minimum((shape + lost) / 10.0, 2.0),
        "lost_and_incoherent": incoherent * lost / 10.0,
        "unexplained_and_foreign": unexplained * foreign,
    }
    return np.stack([columns[name] for name in CUES], axis=1)


def _long(values: Float64) -> Float64:
    """The mean of `_LONG_FRAMES` frames around each."""
    summed = np.cumsum(np.concatenate([[0.0], np.pad(values, _LONG_FRAMES // 2, mode="edge")]))
    means: Float64 = (summed[_LONG_FRAMES:] - summed[:-_LONG_FRAMES]) / _LONG_FRAMES
    return means


def _usual(values: Float64, spoken: NDArray[np.bool_], quantile: float) -> Float64:
    """A quantile over the frames with speech, for every frame; 0 if they are fewer than ten."""
    value = float(np.quantile(values[spoken], quantile)) if spoken.sum() >= 10 else 0.0
    return np.full(len(values), value)


@cache
def _window() -> Float64:
    return hann_window(_FRAME)


@cache
def _smoother() -> Float64:
    window = hann_window(_SMOOTHED_FRAMES)
    normalised: Float64 = window / window.sum()
    return normalised


@cache
def _band_starts() -> NDArray[np.int64]:
    """The first bin of each band, and the first bin above the last."""
    low, high = (2_595.0 * np.log10(1.0 + edge / 700.0) for edge in _BAND_EDGES_HZ)
    edges_hz = 700.0 * (10.0 ** (np.linspace(low, high, _BANDS + 1) / 2_595.0) - 1.0)
    return np.round(edges_hz / RATE_HZ * _FRAME).astype(np.int64)


def _spectra(samples: Float64) -> NDArray[np.complex128]:
    from scipy import fft

    padded = np.pad(np.asarray(samples, dtype=np.float64), _FRAME // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP]
    spectra: NDArray[np.complex128] = fft.rfft(frames * _window(), axis=1)
    return spectra


def _cell_sums(products: NDArray[Value]) -> NDArray[Value]:
    """Sums over the bins of each band, smoothed over time."""
    from scipy.ndimage import convolve1d

    bands = np.add.reduceat(products, _band_starts(), axis=1)[:, :_BANDS]
    smoothed: NDArray[Value] = convolve1d(bands, _smoother(), axis=0, mode="constant")
    return smoothed
