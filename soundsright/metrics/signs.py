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
_MOST_AT_FULL_SCALE = 0.001
_LONGEST_S = 30.0  # enough to find a lag, and it bounds the memory for long recordings
_SAME = 1.5 / 32_768  # two files with 16 bits of one signal may round it differently
_FEWEST_CLIPS = 2


@dataclass(frozen=True)
class AnswerSigns:
    """The signs in one answer. `lag` is positive for a late answer, and None if a signal is silent.

    `at_full_scale` is a share of the samples, `input_at_full_scale` that of the noisy signal. Without a noisy
    signal, `input_at_full_scale` is 0 and `equals_noisy` is False.
    """

    lag: int | None
    sample_rate_hz: int
    at_full_scale: float
    equals_clean: bool
    equals_noisy: bool
    input_at_full_scale: float = 0.0


def answer_signs(clean: Audio, enhanced: Audio, noisy: Audio | None = None) -> AnswerSigns:
    """The signs of one answer. The signals have one rate and length.

    >>> voice = Audio((np.random.default_rng(1).standard_normal(8_000) / 9).astype(np.float32), 16_000)
    >>> answer_signs(voice, Audio(np.roll(voice.samples, 7), 16_000)).lag
    7
    """
    samples = enhanced.samples
    return AnswerSigns(
        _lag(clean, enhanced),
        clean.sample_rate_hz,
        _at_full_scale(samples),
        _equal(samples, clean.samples),
        noisy is not None and _equal(samples, noisy.samples),
        0.0 if noisy is None else _at_full_scale(noisy.samples),
    )


def answer_hints(signs: Sequence[AnswerSigns], *, copies: bool = True) -> list[str]:
    """The signs that all answers of a set share, in sentences. Empty if nothing looks wrong.

    With `copies` False, answers that equal the clean or the noisy signal are not mentioned.

    >>> answer_hints([AnswerSigns(8, 16_000, 0.0, False, False)] * 3)[0].partition(". ")[0]
    'All answers fit best at the same lag of 8 samples (0.5 ms)'
    >>> answer_hints([AnswerSigns(0, 16_000, 0.0, False, False)] * 3)
    []
    """
    hints = []
    lags = {each.lag for each in signs if each.lag is not None}
    counted = sum(each.lag is not None for each in signs)
    if counted >= _FEWEST_CLIPS and len(lags) == 1 and (lag := lags.pop()):
        lag_ms = 1_000 * lag / signs[0].sample_rate_hz
        hints.append(
            f"All answers fit best at the same lag of {lag} samples ({lag_ms:.1f} ms). No metric allows a delay: "
            "remove it in your model."
        )
    share = sum(each.at_full_scale for each in signs) / max(1, len(signs))
    of_input = sum(each.input_at_full_scale for each in signs) / max(1, len(signs))
    if share >= _MOST_AT_FULL_SCALE and share > of_input:
        hints.append(f"{share:.1%} of the samples are at full scale. Your model clips: scale its output down.")
    if not copies:
        return hints
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


def _at_full_scale(samples: Samples) -> float:
    return int(np.count_nonzero(np.abs(samples) >= _FULL_SCALE)) / max(1, len(samples))


def _equal(samples: Samples, others: Samples) -> bool:
    return (
        len(samples) == len(others) > 0 and bool((np.abs(samples - others) <= _SAME).all()) and bool(others.any())
    )
