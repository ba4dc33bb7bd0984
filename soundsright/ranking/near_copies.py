"""Whether two models behave as one: their outputs on probe clips, compared by what they get wrong.

Signals are float32 `(n,)`, aligned with the clean speech; agreements are in dB. Good enhancers all come close to
the clean speech, so that outputs are alike without being copies. What is compared is the rest: the error of each
output after its level is set to the clean speech's,

    agreement = 10 lg (|e_a| |e_b| / |e_a - e_b|²),

which is 0 dB where the difference is as large as the errors themselves, and without bound where it vanishes. With
errors of equal size and correlation r it is -10 lg 2(1 - r): 7 dB at r = 0.9, 17 dB at r = 0.99.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples
from soundsright.ranking.duplicates import DuplicateRule, Likeness

NEAR_COPY_DB = 15.0
"""Above what independently trained models reach: `benchmarks/near_copies.py` prints their agreements."""

MAX_AGREEMENT_DB = 80.0


def agreement_db(clean: Samples, a: Samples, b: Samples) -> float | None:
    """The agreement of two outputs on one clip, at most 80 dB; None where an output holds no speech.

    Raises:
        ValueError: if the signals differ in length.

    >>> rng = np.random.default_rng(0)
    >>> clean, one, two = rng.standard_normal((3, 8_000)).astype(np.float32)
    >>> round(agreement_db(clean, clean + 0.1 * one, 2 * clean + 0.2 * one), 1)
    80.0
    >>> agreement_db(clean, clean + 0.1 * one, clean + 0.1 * two) < -2.5
    True
    """
    if not len(clean) == len(a) == len(b):
        raise ValueError(f"signals of {len(clean)}, {len(a)} and {len(b)} samples are not aligned")
    errors = [_error(clean, output) for output in (a, b)]
    if errors[0] is None or errors[1] is None:
        return None
    shared = math.sqrt(float(errors[0] @ errors[0]) * float(errors[1] @ errors[1]))
    difference = errors[0] - errors[1]
    apart = float(difference @ difference)
    if apart <= shared * 10 ** (-MAX_AGREEMENT_DB / 10):
        return MAX_AGREEMENT_DB
    return 10 * math.log10(shared / apart) if shared > 0 else -MAX_AGREEMENT_DB


def median_agreement_db(
    clean: Sequence[Samples], a: Sequence[Samples | None], b: Sequence[Samples | None]
) -> float | None:
    """The median over the clips that both models answered; None where there are none."""
    values = [
        value
        for reference, one, other in zip(clean, a, b, strict=True)
        if one is not None and other is not None
        if (value := agreement_db(reference, one, other)) is not None
    ]
    return statistics.median(values) if values else None


def near_copies(
    clean: Sequence[Samples],
    outputs: Mapping[str, Sequence[Samples | None]],
    *,
    threshold_db: float = NEAR_COPY_DB,
) -> list[Likeness]:
    """The pairs of entries, by their ids, whose median agreement reaches the threshold.

    `outputs` hold one signal per probe clip, None where the clip failed.
    """
    names = list(outputs)
    found = []
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            value = median_agreement_db(clean, outputs[first], outputs[second])
            if value is not None and value >= threshold_db:
                evidence = {"agreement_db": f"{value:.1f}", "threshold_db": f"{threshold_db:g}"}
                found.append(Likeness(first, second, DuplicateRule.NEAR_COPY, evidence))
    return found


def _error(clean: Samples, output: Samples) -> NDArray[np.float64] | None:
    reference, signal = clean.astype(np.float64), output.astype(np.float64)
    energy = float(reference @ reference)
    level = float(signal @ reference) / energy if energy > 0 else 0.0
    if level == 0 or not math.isfinite(level):
        return None
    error: NDArray[np.float64] = signal / level - reference
    return error
