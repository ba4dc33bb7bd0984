"""Compares the behaviour of models: how much their outputs on probe clips agree.

Signals are float32 `(n,)`, aligned with the clean speech; agreements are in dB. All good enhancers come close to
the clean speech, so their outputs are similar even if no model is a copy. Therefore the errors are compared. The
error e of an output is its difference from the clean speech, after its level is set to that of the clean speech:

    agreement = 10 lg (|e_a| |e_b| / |e_a - e_b|²)

The agreement is 0 dB if the difference is as large as the errors, and grows without bound as the difference
vanishes. For errors of equal size and correlation r it is -10 lg 2(1 - r): 7 dB at r = 0.9, 17 dB at r = 0.99.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from soundsright.copies.duplicates import DuplicateRule, Likeness
from soundsright.core.audio import Samples

NEAR_COPY_DB = 15.0
"""Independently trained models stay below this; `benchmarks/near_copies.py` prints their agreements."""

MAX_AGREEMENT_DB = 80.0

_BLOCK = 16_384  # samples of all outputs in memory as float64 at a time


def agreement_db(clean: Samples, a: Samples, b: Samples) -> float | None:
    """The agreement of two outputs on one clip, at most 80 dB; None if an output contains no speech.

    Raises:
        ValueError: if the signals differ in length.

    >>> rng = np.random.default_rng(0)
    >>> clean, one, two = rng.standard_normal((3, 8_000)).astype(np.float32)
    >>> round(agreement_db(clean, clean + 0.1 * one, 2 * clean + 0.2 * one), 1)
    80.0
    >>> agreement_db(clean, clean + 0.1 * one, clean + 0.1 * two) < -2.5
    True
    """
    return _agreements_db(clean, {"a": a, "b": b}).get(("a", "b"))


def median_agreement_db(
    clean: Sequence[Samples], a: Sequence[Samples | None], b: Sequence[Samples | None]
) -> float | None:
    """The median agreement over the clips that both models answered; None if there are none."""
    values = [
        value
        for reference, output_a, output_b in zip(clean, a, b, strict=True)
        if output_a is not None and output_b is not None
        if (value := agreement_db(reference, output_a, output_b)) is not None
    ]
    return statistics.median(values) if values else None


def near_copies(
    clean: Sequence[Samples],
    outputs: Mapping[str, Sequence[Samples | None]],
    *,
    threshold_db: float = NEAR_COPY_DB,
) -> list[Likeness]:
    """The pairs of entries, by their ids, whose median agreement reaches the threshold.

    `outputs` has one signal per probe clip, or None if the clip failed. Each signal is accessed once, clip by clip,
    so a sequence can read it from disk at that time. Only the signals of one clip are in memory at once.
    """
    agreements: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for index, reference in enumerate(clean):
        answers = {name: answer for name, clips in outputs.items() if (answer := clips[index]) is not None}
        for pair, value in _agreements_db(reference, answers).items():
            agreements[pair].append(value)
    likenesses = []
    for first, second in combinations(outputs, 2):
        values = agreements[first, second]
        if values and (value := statistics.median(values)) >= threshold_db:
            evidence = {"agreement_db": f"{value:.1f}", "threshold_db": f"{threshold_db:g}"}
            likenesses.append(Likeness(first, second, DuplicateRule.NEAR_COPY, evidence))
    return likenesses


def _agreements_db(clean: Samples, outputs: Mapping[str, Samples]) -> dict[tuple[str, str], float]:
    """The agreement of each pair of outputs on one clip, in their order, without outputs that contain no speech."""
    if lengths := {len(output) for output in outputs.values()} - {len(clean)}:
        raise ValueError(f"outputs of {sorted(lengths)} samples are not aligned with {len(clean)} of speech")
    levels = {name: level for name, output in outputs.items() if (level := _level(clean, output)) is not None}
    names = list(levels)
    if not names:
        return {}
    products = np.zeros((len(names), len(names)))  # inner products of the errors, each with each
    for start in range(0, len(clean), _BLOCK):
        part = slice(start, start + _BLOCK)
        reference = clean[part].astype(np.float64)
        errors = [outputs[name][part].astype(np.float64) / levels[name] - reference for name in names]
        products += np.array(errors) @ np.array(errors).T
    energies = np.diag(products)
    agreements = {}
    for i, j in combinations(range(len(names)), 2):
        shared = math.sqrt(energies[i] * energies[j])
        apart = energies[i] + energies[j] - 2 * products[i, j]
        value = MAX_AGREEMENT_DB
        if apart > shared * 10 ** (-MAX_AGREEMENT_DB / 10):
            value = 10 * math.log10(shared / apart) if shared > 0 else -MAX_AGREEMENT_DB
        # Round, because the last bits of sums of products differ between processors.
        agreements[names[i], names[j]] = round(value, 6)
    return agreements


def _level(clean: Samples, output: Samples) -> float | None:
    """The factor by which the output is louder than the clean speech in it; None if it contains no speech."""
    reference, signal = clean.astype(np.float64), output.astype(np.float64)
    energy = float(reference @ reference)
    level = float(signal @ reference) / energy if energy > 0 else 0.0
    return level if level != 0 and math.isfinite(level) else None
