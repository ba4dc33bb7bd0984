"""For which metrics a reference has no value, whatever the answer. Signals are float32, shape `(n,)`.

A metric has no value for a reference if it has none for the perfect answer, which is the reference itself. The
function that scores answers decides this, so both always agree. An answer can lack a value for reasons of its own:
it is blank, or its speech vanished.
"""

from __future__ import annotations

from collections.abc import Sequence

from soundsright.core.audio import Audio
from soundsright.metrics.facts import Metric
from soundsright.metrics.registry import METRICS, metric
from soundsright.metrics.shared_clip import NoValue
from soundsright.metrics.suite import is_blank, measured_clip

_RATES_ALL = ("DNSMOS_SIG", "DNSMOS_BAK", "DNSMOS_OVRL", "DNSMOS_P808", "DISTILLMOS")
"""Networks that rate every signal that is not blank, so there is no need to run them."""


def why_undefined(clean: Audio, names: Sequence[str], noisy: Audio | None = None) -> dict[str, NoValue]:
    """The reason for each of the named metrics that has no value for this reference. Empty if all have one.

    Args:
        clean: the reference of a clip.
        names: metrics of the registry.
        noisy: the clip's degraded signal. Without it, a metric that needs it is judged by the reference alone.

    Raises:
        UsageError: a metric is unknown, is not defined at the clip's rate, or needs a package that is missing.
        ValueError: the noisy signal has another rate or length.

    >>> import numpy as np
    >>> tone = np.sin(np.arange(4_000) / 3).astype(np.float32)
    >>> why_undefined(Audio(tone, 16_000), ["STOI", "SI_SDR"])
    {'STOI': <NoValue.LITTLE_SPEECH: 'little_speech'>}
    >>> why_undefined(Audio(0 * tone, 16_000), ["SI_SDR"])
    {'SI_SDR': <NoValue.CLEAN_BLANK: 'clean_blank'>}
    """
    metrics = {each.name: each for each in map(metric, names)}
    if is_blank(clean):
        return dict.fromkeys(metrics, NoValue.CLEAN_BLANK)
    measured = [name for name in metrics if name not in _RATES_ALL]
    reasons = _reasons(clean, clean, noisy, [metrics[name] for name in measured])
    # A plugged-in metric may be undefined for a perfect copy alone, such as a ratio with an error of 0.
    doubtful = [metrics[name] for name in reasons if name not in METRICS]
    if doubtful and noisy is not None and not is_blank(noisy):
        still = _reasons(clean, noisy, noisy, doubtful)
        reasons = {name: why for name, why in reasons.items() if name in METRICS or name in still}
    return reasons


def _reasons(clean: Audio, answer: Audio, noisy: Audio | None, metrics: Sequence[Metric]) -> dict[str, NoValue]:
    """Why these metrics have no value for an answer."""
    names = [each.name for each in metrics]
    measured = measured_clip(clean, answer, clean if noisy is None else noisy, names)
    reasons = {name: each.no_value for name, each in measured.items() if each.no_value is not None}
    if noisy is None:
        # The reference stands for the missing noisy signal, so its noise of 0 says nothing about the clip.
        reasons = {name: why for name, why in reasons.items() if why is not NoValue.NO_NOISE}
    return reasons
