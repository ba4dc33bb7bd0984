"""Signs that a whole set of answers is spoiled in one way: late, clipped, or a copy of another signal.

No score depends on them; they are hints for the author of a model. Signals are float32, shape `(n,)`, full scale
±1; lags in samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soundsright.core.audio import Audio, Samples
from soundsright.metrics.align import aligned

_FULL_SCALE = 32_767 / 32_768
_MOST_AT_FULL_SCALE = 0.01
_LONGEST_S = 30.0  # enough to find a lag, and it bounds the memory for long recordings
_SAME = 1.5 / 32_768  # two files with 16 bits of one signal may round it differently
_FEWEST_CLIPS = 2


@dataclass(frozen=True)
class AnswerSigns:
    """What one answer shows. `lag` is positive for a late answer, and None if a signal is silent.

    `at_full_scale` is a share of the samples. `equals_noisy` is False without a noisy signal.
    """

    lag: int | None
    at_full_scale: float
    equals_clean: bool
    equals_noisy: bool


def answer_signs(clean: Audio, enhanced: Audio, noisy: Audio | None = None) -> AnswerSigns:
    """The signs of one answer. The signals have one rate and length.

    >>> voice = Audio((np.random.default_rng(1).standard_normal(8_000) / 9).astype(np.float32), 16_000)
    >>> answer_signs(voice, Audio(np.roll(voice.samples, 7), 16_000)).lag
    7
    """
    samples = enhanced.samples
    with np.errstate(invalid="ignore"):
        loud = int(np.count_nonzero(np.abs(samples) >= _FULL_SCALE))
    return AnswerSigns(
        _lag(clean, enhanced),
        loud / max(1, len(samples)),
        _equal(samples, clean.samples),
        noisy is not None and _equal(samples, noisy.samples),
    )


def answer_hints(signs: Sequence[AnswerSigns]) -> list[str]:
    """What all answers of a set show together, in sentences. Empty if nothing looks wrong.

    >>> answer_hints([AnswerSigns(7, 0.0, False, False)] * 3)
    ['All 3 answers fit best at the same lag of 7 samples, so they are late. Remove this delay from the model.']
    >>> answer_hints([AnswerSigns(0, 0.0, False, False)] * 3)
    []
    """
    hints = []
    lags = {each.lag for each in signs if each.lag is not None}
    counted = sum(each.lag is not None for each in signs)
    if counted >= _FEWEST_CLIPS and len(lags) == 1 and (lag := lags.pop()):
        samples = f"{abs(lag)} sample{'' if abs(lag) == 1 else 's'}"
        late, cure = ("late", "Remove this delay from") if lag > 0 else ("early", "Add this delay to")
        hints.append(
            f"All {counted} answers fit best at the same lag of {samples}, so they are {late}. {cure} the model."
        )
    share = sum(each.at_full_scale for each in signs) / max(1, len(signs))
    if share >= _MOST_AT_FULL_SCALE:
        hints.append(
            f"{share:.0%} of the samples of the answers are at full scale. Full scale is ±1: lower the "
            "level, or write float samples."
        )
    for other, equal in (("clean", "equals_clean"), ("noisy", "equals_noisy")):
        if count := sum(getattr(each, equal) for each in signs):
            hints.append(f"The enhanced signal equals the {other} one in {count} of {len(signs)} clips.")
    return hints


def _lag(clean: Audio, enhanced: Audio) -> int | None:
    count = round(_LONGEST_S * clean.sample_rate_hz)
    signals = clean.samples[:count], enhanced.samples[:count]
    if not all(np.isfinite(each).all() and each.any() for each in signals):
        return None
    return aligned(signals[1], signals[0], clean.sample_rate_hz).delay


def _equal(samples: Samples, others: Samples) -> bool:
    return (
        len(samples) == len(others) > 0 and bool((np.abs(samples - others) <= _SAME).all()) and bool(others.any())
    )
