"""Whether an enhanced clip has speech that the speaker did not say, or lacks speech that can be heard in the input.

Signals are float32, shape `(n,)`, full scale ±1; times in seconds. Each stretch of the clip has cues
(`hallucination_cues`). A logistic model combines them: log odds = bias + Σ weight x cue, averaged over 72 ms. The
clip's score comes from its most suspicious stretch. `benchmarks/hallucination.py --fit` fits the weights in
`hallucination.json` on outputs of honest models, with and without planted hallucinations, and sets the threshold
that 1 % of the honest outputs exceed.

The flag is evidence for people. It changes no score, and no model loses its place by it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Audio
from soundsright.metrics.hallucination_cues import CUES, HOP_S, RATE_HZ, Cells, Float64, cells_of, cues_of

FLAGGED_ABOVE = 0.5
"""A clip whose score is above this is flagged."""

_AVERAGED_FRAMES = 9
_JOINED_S = 0.080  # Places that are closer than this become one.
_LONGEST_DELAY_S = 0.100
_SHORTEST_S = 0.100
_SPEECH_DB = -25.0  # relative to the loud frames
_GONE_DB = 10.0  # quieter than the clean speech: the speech is missing
_STEEPEST = 700.0
_MUCH_MORE = 1.25


class Change(StrEnum):
    """The kind of difference between a place of an enhanced clip and the clean speech."""

    MISSING = "missing"
    INVENTED = "invented"
    CHANGED = "changed"

    @property
    def sentence(self) -> str:
        """The change in words.

        >>> Change.MISSING.sentence
        'speech is missing'
        """
        return _SENTENCES[self]


_SENTENCES = {
    Change.MISSING: "speech is missing",
    Change.INVENTED: "there is sound that is in neither signal",
    Change.CHANGED: "the speech is not what was said",
}


@dataclass(frozen=True)
class Place:
    """A stretch of a clip that was flagged, in seconds from its start."""

    start_s: float
    end_s: float
    change: Change

    def __str__(self) -> str:
        """
        >>> print(Place(1.2, 1.56, Change.MISSING))
        1.20 to 1.56 s: speech is missing
        """
        return f"{self.start_s:.2f} to {self.end_s:.2f} s: {self.change.sentence}"


@dataclass(frozen=True)
class Hallucination:
    """How suspicious a clip is, 0 to 1, and the places that exceed the threshold."""

    score: float
    places: tuple[Place, ...]

    @property
    def flagged(self) -> bool:
        return self.score > FLAGGED_ABOVE


@dataclass(frozen=True, eq=False)
class Model:
    """The weight of each cue, the bias, and the log odds above which a clip is flagged."""

    weights: Float64
    bias: float
    threshold: float

    def log_odds(self, cues: Float64) -> Float64:
        """The averaged log odds of each frame, for cues of shape `(frames, len(CUES))`."""
        odds = cues @ self.weights + self.bias
        half = _AVERAGED_FRAMES // 2
        summed = np.cumsum(np.concatenate([[0.0], np.pad(odds, half, mode="edge")]))
        means: Float64 = (summed[_AVERAGED_FRAMES:] - summed[:-_AVERAGED_FRAMES]) / _AVERAGED_FRAMES
        return means


@cache
def fitted_model() -> Model:
    """The model that ships with the package."""
    data = json.loads(files("soundsright.metrics").joinpath("hallucination.json").read_text(encoding="utf-8"))
    return Model(np.array([data["weights"][cue] for cue in CUES]), data["bias"], data["threshold"])


def clip_hallucination(clean: Audio, enhanced: Audio, noisy: Audio) -> Hallucination | None:
    """How likely a clip has a hallucination, and where. The signals have one rate and length.

    None if the clip is shorter than 0.1 s, a signal is not finite, or the clean or the enhanced signal is silent.

    Raises:
        ValueError: the signals differ in rate or length.

    >>> rng = np.random.default_rng(1)
    >>> clean = Audio((rng.standard_normal(16_000) * np.hanning(16_000) / 10).astype(np.float32), 16_000)
    >>> clip_hallucination(clean, clean, clean).places
    ()
    """
    if len({(len(each), each.sample_rate_hz) for each in (clean, enhanced, noisy)}) > 1:
        raise ValueError("the clean, enhanced and noisy signals differ in rate or length")
    cells = clip_cells(clean, enhanced, noisy)
    if cells is None:
        return None
    model = fitted_model()
    odds = model.log_odds(cues_of(cells)) - model.threshold
    score = 1.0 / (1.0 + math.exp(min(-float(odds.max()), _STEEPEST)))
    return Hallucination(score, _places(odds > 0.0, cells, clean.duration_s))


def clip_cells(clean: Audio, enhanced: Audio, noisy: Audio) -> Cells | None:
    """The cells of a clip at 16 kHz, without the delay of the enhanced signal; None as `clip_hallucination`."""
    from soundsright.metrics.resample import to_rate

    if clean.duration_s < _SHORTEST_S:
        return None
    # The clean and the noisy signal keep one scale, because their difference is the noise.
    common, own = max(_peak(clean), _peak(noisy)), _peak(enhanced)
    if not (0.0 < common < math.inf and 0.0 < own < math.inf):
        return None
    s, e, y = (
        np.asarray(
            to_rate((each.samples / np.float64(peak)).astype(np.float32), each.sample_rate_hz, RATE_HZ), "f8"
        )
        for each, peak in ((clean, common), (enhanced, own), (noisy, common))
    )
    delay = _delay(e, y + s)
    # Leave out the ends that the delay moved out of the clip: their speech is not missing.
    first, last = max(-delay, 0), len(s) - max(delay, 0)
    cells = cells_of(s[first:last], e[first + delay : last + delay], y[first:last])
    return cells and replace(cells, start_s=first / RATE_HZ)


def _peak(audio: Audio) -> float:
    """The largest magnitude, float64; NaN or infinite if a sample is."""
    return float(np.max(np.abs(audio.samples.astype(np.float64)), initial=0.0))


def _delay(enhanced: Float64, reference: Float64) -> int:
    """The delay in samples, up to 0.1 s; 0 if removing it does not make the signal much more like the reference."""
    from soundsright.metrics.align import aligned

    moved = aligned(enhanced.astype(np.float32), reference.astype(np.float32), RATE_HZ)
    if abs(moved.delay) > _LONGEST_DELAY_S * RATE_HZ:
        return 0
    before, after = (abs(float(np.dot(each, reference))) for each in (enhanced, moved.samples))
    return moved.delay if after > _MUCH_MORE * before else 0


def _places(flagged: NDArray[np.bool_], cells: Cells, duration_s: float) -> tuple[Place, ...]:
    """The runs of flagged frames, joined over short gaps."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flagged.astype(np.int8), [0]]))).reshape(-1, 2)
    runs: list[tuple[int, int]] = []
    for start, stop in edges.tolist():
        if runs and (start - runs[-1][1]) * HOP_S < _JOINED_S:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
    places = []
    for start, stop in runs:
        # A frame stands for one hop around its middle.
        begin, end = (min(max(cells.start_s + (t - 0.5) * HOP_S, 0.0), duration_s) for t in (start, stop))
        if end > begin:
            places.append(Place(begin, end, _change(cells, start, stop)))
    return tuple(places)


def _change(cells: Cells, start: int, stop: int) -> Change:
    """The kind of change in the frames, by the levels of the speech before and after."""
    s, e, u = (
        10.0 * np.log10((10.0 ** (each[start:stop] / 10.0)).mean())
        for each in (cells.clean_db, cells.enhanced_db, cells.unexplained_db)
    )
    if s < _SPEECH_DB and u > s:
        return Change.INVENTED
    return Change.MISSING if e < s - _GONE_DB else Change.CHANGED
