"""Measures that need an extra, `pip install 'soundsright[measures]'`, and the flag for hallucinations.

Each has its facts in `OPTIONAL_MEASURES` and its function in `MEASURES`, which imports heavy packages only when it
runs. The function gets a `SharedClip`, and returns its value or the `NoValue` that says why there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from soundsright.metrics.facts import WIDE_BAND_RATES_HZ, Direction, Metric

if TYPE_CHECKING:
    # The facts are read without NumPy.
    from soundsright.metrics.shared_clip import Measure, NoValue, SharedClip


OPTIONAL_MEASURES: tuple[Metric, ...] = (
    Metric(
        "PHONE_SIM",
        "Levenshtein phone similarity",
        "share",
        Direction.HIGHER_IS_BETTER,
        0.0,
        1.0,
        0.0,
        WIDE_BAND_RATES_HZ,
        False,
        "Pirklbauer et al., ITG Speech Communication 2023, with the recogniser of pocketsphinx 5.1; English only",
        licence="BSD-2-Clause: code and acoustic model of pocketsphinx",
        packages=("pocketsphinx",),
        extra="measures",
    ),
    Metric(
        "SPEAKER_SIM",
        "Speaker similarity",
        "cosine",
        Direction.HIGHER_IS_BETTER,
        0.0,
        1.0,
        0.0,
        WIDE_BAND_RATES_HZ,
        False,
        "Wan et al., ICASSP 2018: cosine of the voices that the network of resemblyzer 0.1.4 finds",
        licence="Apache-2.0: weights of resemblyzer",
        packages=("resemblyzer",),
        install="pip install --no-deps resemblyzer==0.1.4",
    ),
    Metric(
        "HALLUCINATION",
        "Suspicion of hallucinated speech",
        "index",
        Direction.LOWER_IS_BETTER,
        0.0,
        1.0,
        1.0,
        WIDE_BAND_RATES_HZ,
        True,
        "this project; levels and coherences in bands, weighted by a fit on planted faults; above 0.5 is a flag",
        good_for="clips in which a model swaps, replaces, deletes or invents speech",
        fooled_by="noise that masks the place, and a changed sound shorter than about 60 ms",
    ),
)


def _phone_similarity(clip: SharedClip) -> float | NoValue | None:
    from soundsright.metrics.phones import phone_similarity
    from soundsright.metrics.shared_clip import NoValue

    value = phone_similarity(*clip.at_16_khz)
    return NoValue.LITTLE_SPEECH if value is None else value


def _speaker_similarity(clip: SharedClip) -> float | NoValue | None:
    from soundsright.metrics.shared_clip import NoValue
    from soundsright.metrics.speaker import speaker_similarity

    value = speaker_similarity(*clip.at_16_khz)
    return NoValue.NO_ENERGY if value is None else value


def _hallucination(clip: SharedClip) -> float | NoValue | None:
    from soundsright.metrics.hallucination import clip_hallucination
    from soundsright.metrics.shared_clip import NoValue

    assert clip.noisy is not None  # The suite checks it, because the metric needs the noisy signal.
    found = clip_hallucination(clip.clean, clip.enhanced, clip.noisy)
    return NoValue.TOO_SHORT if found is None else found.score


MEASURES: Mapping[str, Measure] = {
    "PHONE_SIM": _phone_similarity,
    "SPEAKER_SIM": _speaker_similarity,
    "HALLUCINATION": _hallucination,
}
"""The function of each of these metrics, by name."""
