"""Compares what two models do: how much their outputs on probe clips agree.

Signals are float32 `(n,)`; agreements are in dB. All good enhancers come close to the clean speech, so their
outputs are similar even if no model is a copy. Therefore their errors are compared. A copy can be disguised by a
delay, a sign, a level, a filter, or some of the input. So outputs are aligned with the input, and each signal is
predicted from another one and the input, both filtered. Let |x|y| be the energy of the part of x that cannot be
predicted from y and the input, relative to the part of x that the input alone does not predict:

    agreement = 5 lg (|c|a| |c|b| / (|a|b| |b|a|))

c is the clean speech. The agreement is 0 dB if the outputs predict each other as badly as they predict the speech.
It grows without bound as one output becomes a filtered form of the other. For small errors of equal size and
correlation r it is -10 lg 2(1 - r): 7 dB at r = 0.9, 17 dB at r = 0.99. The same filters are fitted above and below
the fraction, so the fit alone gives independent outputs no agreement.

A copy whose level changes at random in every bin of its spectrum has another waveform. So the levels in bands over
time are compared too (`spectra`).

Two more disguises are looked for in the first clips. A copy can be the mean of two other outputs, so the agreement
is computed with each third output among the known signals too. And its level can change over time, so the agreement
is computed from signals whose level in 50 ms is constant.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from soundsright.copies.duplicates import DuplicateRule, Likeness
from soundsright.copies.prediction import (
    OTHER_REACH,
    RATE_HZ,
    Correlations,
    Floats,
    Sections,
    correlations,
    sections,
)
from soundsright.copies.spectra import spectral_agreements
from soundsright.core.audio import Samples

NEAR_COPY_DB = 8.0
"""Independently made models stay below this; `benchmarks/near_copies.py` prints their agreements."""

UNREAD_NEAR_COPY_DB = 6.0
"""The threshold if one of the two has a file of weights that could not be read."""

MAX_AGREEMENT_DB = 80.0

INPUT = "the input"
"""Stands for the degraded input, not late, in the mixture that a late copy can be."""

EXAMINED_CLIPS = 24
"""Mixtures and changes of level are looked for in this many clips, because it takes longer."""

_LEAST_OWN = 1e-5
"""A part of the energy. An output of which the input predicts all but this much has nothing to compare."""

_LEAST_ERROR = 1e-5
"""A part of the energy. No enhancer comes closer to the speech; two outputs that are the speech itself agree."""


@dataclass(frozen=True)
class Agreements:
    """The median agreements over the clips that all compared models answered.

    `pairs` are by two names, `mixtures` by three: that of the mixture, and those of its parts. The second part can
    be `INPUT`. Mixtures have only the agreements above the least one that was asked for. `spectra` are the
    agreements of levels in bands, by two names.
    """

    pairs: Mapping[tuple[str, str], float]
    mixtures: Mapping[tuple[str, str, str], float]
    spectra: Mapping[tuple[str, str], float] = field(default_factory=dict)


def agreement_db(
    clean: Samples, degraded: Samples, a: Samples, b: Samples, *, sample_rate_hz: int = 16_000
) -> float | None:
    """The agreement of two outputs on one clip, at most 80 dB; None if one is silent or only filters the input.

    Delays up to 50 ms are undone.

    Raises:
        ValueError: if the signals differ in length.

    >>> rng = np.random.default_rng(0)
    >>> clean, noise, one, two = rng.standard_normal((4, 16_000)).astype(np.float32)
    >>> agreement_db(clean, clean + noise, clean + 0.1 * one, np.roll(-2 * clean - 0.2 * one, 100)) > 40
    True
    >>> agreement_db(clean, clean + noise, clean + 0.1 * one, clean + 0.1 * two) < 0
    True
    """
    found = agreements([clean], [degraded], {"a": [a], "b": [b]}, sample_rate_hz=sample_rate_hz, examined_clips=0)
    return found.pairs.get(("a", "b"))


def agreements(
    clean: Sequence[Samples],
    degraded: Sequence[Samples],
    outputs: Mapping[str, Sequence[Samples | None]],
    *,
    sample_rate_hz: int = 16_000,
    least_mixture_db: float = UNREAD_NEAR_COPY_DB,
    examined_clips: int = EXAMINED_CLIPS,
) -> Agreements:
    """The agreements of all pairs of outputs, and of mixtures of two outputs.

    `outputs` has one signal per probe clip, or None if the clip failed. It begins with the entry that came first.
    The mixture of three outputs is the last of them. Mixtures and changes of level are looked for in the first
    `examined_clips` clips. Each signal is accessed once, clip by clip, so a sequence can read it from disk at that
    time. Only the signals of one clip are in memory at once.
    """
    plain, levelled, spectra, mixtures = _Pairs(), _Pairs(), _Pairs(), _Mixtures(least_mixture_db)
    rate_hz = min(RATE_HZ, sample_rate_hz)
    for index, (speech, noisy) in enumerate(zip(clean, degraded, strict=True)):
        answers = {name: answer for name, clips in outputs.items() if (answer := clips[index]) is not None}
        parts = sections(speech, noisy, answers, sample_rate_hz)
        names, correlated = _correlated(parts)
        plain.add(names, correlated)
        in_bands = spectral_agreements(parts.signals[: 2 + len(parts.names)], rate_hz)
        if in_bands is not None:
            spectra.add_values(parts.names, in_bands)
        if index < examined_clips:
            mixtures.add(names, correlated)
            levelled.add(*_correlated(parts.levelled()))
    pairs, other = plain.medians(), levelled.medians()
    ordered = [pair for pair in combinations(outputs, 2) if pair in pairs]
    highest = {pair: max(pairs[pair], other.get(pair, -np.inf)) for pair in ordered}
    return Agreements(highest, mixtures.medians(), spectra.medians())


def near_copies(
    clean: Sequence[Samples],
    degraded: Sequence[Samples],
    outputs: Mapping[str, Sequence[Samples | None]],
    *,
    threshold_db: float = NEAR_COPY_DB,
    unread: Collection[str] = (),
    unread_threshold_db: float = UNREAD_NEAR_COPY_DB,
    sample_rate_hz: int = 16_000,
) -> list[Likeness]:
    """The pairs of entries, by their ids, whose median agreement reaches the threshold.

    The arguments are those of `agreements`. Pairs with one of the `unread` entries need only the lower threshold.
    Levels in bands need the other one, because models that were trained alike come close to it there.
    An entry that mixes the outputs of two earlier entries is paired with the one that it has more of.
    """

    def needed_db(*names: str) -> float:
        return unread_threshold_db if any(name in unread for name in names) else threshold_db

    least_db = min(threshold_db, unread_threshold_db)
    found = agreements(clean, degraded, outputs, sample_rate_hz=sample_rate_hz, least_mixture_db=least_db)
    evidence = {
        pair: {"agreement_db": f"{value:.1f}", "threshold_db": f"{needed_db(*pair):g}"}
        for pair, value in found.pairs.items()
        if value >= needed_db(*pair)
    }
    for pair, value in found.spectra.items():
        if value >= threshold_db:
            facts = {
                "agreement_db": f"{value:.1f}",
                "threshold_db": f"{threshold_db:g}",
                "compared": "levels in bands",
            }
            evidence.setdefault(pair, facts)
    alike = set(evidence)
    for (mixture, *parts), value in found.mixtures.items():
        names = [mixture, *(part for part in parts if part != INPUT)]
        # Two outputs that are alike are also alike beside a third one, which has no part in it.
        if value < needed_db(*names) or any({*pair} <= {*names} for pair in alike):
            continue
        larger, other = sorted(parts, key=lambda part: -found.pairs.get((part, mixture), -np.inf))
        facts = {"agreement_db": f"{value:.1f}", "threshold_db": f"{needed_db(*names):g}"}
        evidence.setdefault((larger, mixture), {**facts, "mixed_with": other})
    return [Likeness(*pair, DuplicateRule.NEAR_COPY, facts) for pair, facts in evidence.items()]


@dataclass
class _Pairs:
    """The agreements of pairs, collected clip by clip."""

    found: defaultdict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, names: Sequence[str], correlated: Correlations) -> None:
        if len(names) < 2:
            return
        self.add_values(names, _agreements(correlated.remaining_of_pairs(2 + len(names)), correlated.remaining()))

    def add_values(self, names: Sequence[str], values: Floats) -> None:
        """Add the agreements of all pairs `(outputs, outputs)`, without those that are NaN."""
        for i, j in combinations(range(len(names)), 2):
            # Rounded, because the last bits of sums of products differ between processors.
            if not np.isnan(value := round(float(values[i, j]), 6)):
                self.found[names[i], names[j]].append(value)

    def medians(self) -> dict[tuple[str, str], float]:
        return {pair: statistics.median(values) for pair, values in self.found.items()}


@dataclass
class _Mixtures:
    """The agreements of mixtures, collected clip by clip. Those below `least_db` are counted and not kept."""

    least_db: float
    found: defaultdict[tuple[str, str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    answered: list[frozenset[str]] = field(default_factory=list)

    def add(self, names: Sequence[str], correlated: Correlations) -> None:
        if len(names) < 2:
            return
        self.answered.append(frozenset(names))
        for key, value in _mixtures_of_clip(names, correlated, self.least_db).items():
            self.found[key].append(value)

    def medians(self) -> dict[tuple[str, str, str], float]:
        medians = {}
        for mixture, values in self.found.items():
            clips = Counter(set(mixture) - {INPUT} <= answered for answered in self.answered)[True]
            ordered = [-np.inf] * (clips - len(values)) + sorted(values)
            if (median := float(ordered[(clips - 1) // 2])) >= self.least_db:
                medians[mixture] = median
        return medians


def _correlated(parts: Sections) -> tuple[Sequence[str], Correlations]:
    """The names of the outputs that can be compared on a clip, and the correlations of the signals."""
    if len(parts.names) < 2 or not parts.signals[0].any() or not parts.signals[1].any():
        return (), Correlations(np.zeros((0, 0, 0)))
    correlated = correlations(parts.signals)
    own = correlated.remaining() > _LEAST_OWN * correlated.energies
    heard = [number for number in range(len(parts.names)) if own[2 + number]]
    late = range(2 + len(parts.names), correlated.count)
    chosen = correlated.of([0, 1, *(2 + number for number in heard), *late])
    return [parts.names[number] for number in heard], chosen


def _agreements(remaining: Floats, known: Floats) -> Floats:
    """`(outputs, outputs)`: the agreement of each pair.

    `remaining` `(n, outputs)` are the energies of the signals that each output does not predict, and `known` `(n,)`
    those before these predictions.
    """
    parts = remaining / known[:, None]
    speech, apart = np.maximum(parts[0], _LEAST_ERROR), parts[2 : 2 + remaining.shape[1]]
    values = 5 * np.log10(speech * speech[:, None] / (apart * apart.T))
    return np.asarray(np.minimum(values, MAX_AGREEMENT_DB))


def _mixtures_of_clip(
    names: Sequence[str], correlated: Correlations, least_db: float
) -> dict[tuple[str, str, str], float]:
    """The agreements of a clip's mixtures, by the mixture, its earlier part and its other part."""
    count = len(names)
    remaining = np.stack([correlated.remaining_of_mixtures(2 + source) for source in range(count)], axis=2)
    found: dict[tuple[str, str, str], float] = {}
    for other in range(correlated.count - 2):
        values = _agreements(remaining[:, other], correlated.remaining(2 + other, reach=OTHER_REACH))
        for first, last in np.argwhere(np.triu(values, 1) >= least_db).tolist():
            if other in (first, last) or last < other < count or first >= last:
                continue
            parts = [names[part] if part < count else INPUT for part in sorted((first, other))]
            key = names[last], parts[0], parts[1]
            found[key] = max(round(float(values[first, last]), 6), found.get(key, -np.inf))
    return found
