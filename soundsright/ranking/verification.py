"""Whether an answer is the committed model's own: equal samples, or errors that agree with the verifier's own run.

Signals are 16-bit integers of shape `(n,)`, levels and agreements in dB. All sums are of whole numbers, so every
machine gets the same bits. Samples of one answer and the clean speech alike are similar for any good model. Errors
against the clean speech are not: they tell one model from another.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundsright.core.profiles import Profile
from soundsright.core.tiers import AttemptResult
from soundsright.core.tiers_rules import TiersRules

Pcm = NDArray[np.int16]

PCM_SCHEMA = "soundsright.pcm/1"
MAX_AGREEMENT_DB = 120.0
"""The agreement of equal errors. Its negative is that of errors of which one is nothing at all."""
_MAX_SAMPLES = 2**28  # Sums of squared differences of 16-bit samples then fit into 64 bits.


def pcm_sha256(samples: Pcm, sample_rate_hz: int) -> str:
    """The digest of a recording: that of its rate and its samples, whatever file they came in.

    >>> pcm_sha256(np.array([0, 1, -1, 32767, -32768], np.int16), 16_000)[:8]
    'c8a5c83a'
    """
    h = hashlib.sha256(f"{PCM_SCHEMA}:{sample_rate_hz}:1:".encode())
    h.update(np.ascontiguousarray(samples, "<i2").data)
    return h.hexdigest()


def gain_db(own: Pcm, answer: Pcm) -> float:
    """The level of the answer above that of one's own: 0 if both are silent, infinite if one is.

    >>> round(gain_db(np.array([100, -100], np.int16), np.array([200, -200], np.int16)), 4)
    6.0206
    """
    own_energy, energy = _energy(own), _energy(answer)
    if own_energy == 0 or energy == 0:
        return 0.0 if own_energy == energy else math.copysign(math.inf, energy - own_energy)
    return 10 * (math.log10(energy) - math.log10(own_energy))


def output_cosine(own: Pcm, answer: Pcm) -> float:
    """The cosine of two outputs; 1 if both are silent, 0 if one is."""
    own_energy, energy = _energy(own), _energy(answer)
    if own_energy == 0 or energy == 0:
        return float(own_energy == energy)
    dot = int(np.dot(own.astype(np.int64), answer.astype(np.int64)))
    return min(max(dot / (math.sqrt(own_energy) * math.sqrt(energy)), -1.0), 1.0)


def error_agreement_db(clean: Pcm, own: Pcm, answer: Pcm) -> float:
    """The agreement of the errors of two outputs against the clean speech: 10 lg(|e1| |e2| / |e1 - e2|²).

    Two errors of one size whose correlation is r have 10 lg(1 / (2 - 2r)).

    Raises:
        ValueError: the signals have different lengths, or none.

    >>> clean, one, other = (np.array(x, np.int16) for x in ([0, 0], [100, 0], [100, 10]))
    >>> round(error_agreement_db(clean, one, other), 2)
    20.02
    """
    if not 0 < len(own) == len(answer) == len(clean):
        raise ValueError(f"{len(clean)}, {len(own)} and {len(answer)} samples have no common errors")
    difference = _energy(own, answer)
    if difference == 0:
        return MAX_AGREEMENT_DB
    first, second = _energy(own, clean), _energy(answer, clean)
    if first == 0 or second == 0:
        return -MAX_AGREEMENT_DB
    agreement = 5 * (math.log10(first) + math.log10(second)) - 10 * math.log10(difference)
    return min(max(agreement, -MAX_AGREEMENT_DB), MAX_AGREEMENT_DB)


def _energy(samples: Pcm, less: Pcm | None = None) -> int:
    if len(samples) > _MAX_SAMPLES:
        raise ValueError(f"{len(samples)} samples are more than {_MAX_SAMPLES}")
    difference = samples.astype(np.int64)
    if less is not None:
        difference -= less
    return int(np.dot(difference, difference))


def correlation_db(correlation: float) -> float:
    """The agreement of two errors of one size with this correlation.

    >>> [round(correlation_db(r), 2) for r in (0.95, 0.961, 0.9842)]
    [10.0, 11.08, 15.0]
    """
    return -10 * math.log10(2 * (1 - correlation))


def cosine_si_sdr_db(cosine: float) -> float:
    """The SI-SDR of an output whose cosine with the reference is this.

    >>> [round(cosine_si_sdr_db(c), 3) for c in (0.70, 0.95)]
    [-0.174, 9.664]
    """
    return 10 * math.log10(cosine**2 / (1 - cosine**2))


def least_repeat_db(agreements_db: Sequence[float]) -> float:
    """The agreement of a model with itself: the least over the clips that were run twice."""
    return min(agreements_db, default=MAX_AGREEMENT_DB)


def repeat_agreement_db(clips: Iterable[tuple[Pcm, Pcm, Pcm]]) -> float:
    """A model's agreement with itself on clips that were run twice: each the clean speech and both answers."""
    return least_repeat_db([error_agreement_db(*clip) for clip in clips])


def is_repeatable(rules: TiersRules, repeat_db: float) -> bool:
    """Whether a model agrees with itself well enough to be verified.

    >>> is_repeatable(TiersRules(), 33.0), is_repeatable(TiersRules(), 32.9)
    (True, False)
    """
    return repeat_db >= rules.min_repeat_db


def not_repeatable_sentence(rules: TiersRules, repeat_db: float) -> str:
    """Why a model that does not repeat itself is not asked."""
    return f"Two runs of the model agree by {repeat_db:.1f} dB, less than {rules.min_repeat_db:g} dB"


def similarity_threshold_db(rules: TiersRules, tier: str, repeat_db: float = MAX_AGREEMENT_DB) -> float:
    """The agreement of errors that a similar answer needs: the tier's, but no more than the model itself allows.

    >>> similarity_threshold_db(TiersRules(), "Gold"), similarity_threshold_db(TiersRules(), "Gold", 16.0)
    (33.0, 13.0)
    """
    return min(rules.tier(tier).agreement_db, repeat_db - rules.repeat_margin_db)


@dataclass(frozen=True, eq=False)
class OwnAnswer:
    """The verifier's own run of the committed model on a clip, and the clean speech of the clip.

    Raises:
        ValueError: the two have different lengths or are no 16-bit samples of one channel.
    """

    clean: Pcm
    samples: Pcm
    sample_rate_hz: int

    def __post_init__(self) -> None:
        if self.clean.shape != self.samples.shape or self.samples.ndim != 1 or not len(self.samples):
            raise ValueError(f"clean speech {self.clean.shape} and answer {self.samples.shape} differ in shape")
        if self.clean.dtype != np.int16 or self.samples.dtype != np.int16:
            raise ValueError(f"samples are {self.clean.dtype} and {self.samples.dtype}, not int16")

    @cached_property
    def sha256(self) -> str:
        """The digest of the answer."""
        return pcm_sha256(self.samples, self.sample_rate_hz)


@dataclass(frozen=True)
class Verification:
    """The result of comparing an answer with one's own, and the numbers behind it. None: not computed."""

    result: AttemptResult
    answer_sha256: str = ""
    gain_db: float | None = None
    agreement_db: float | None = None
    cosine: float | None = None


def verify_answer(
    rules: TiersRules,
    tier: str,
    own: OwnAnswer,
    samples: NDArray[Any],
    sample_rate_hz: int,
    *,
    repeat_db: float = MAX_AGREEMENT_DB,
) -> Verification:
    """Compare an answer with one's own. The first of these that holds decides.

    Another form, rate or number of samples: a failure. Equal samples: a success. Another level: a failure. Similar
    by the tier's threshold: a success. Anything else is a failure. `samples` has the shape `(n,)` or
    `(n, channels)` and the number type of its file; `repeat_db` is the model's agreement with itself.
    """
    if samples.ndim == 2 and samples.shape[1] == 1:
        samples = samples[:, 0]
    if samples.ndim != 1 or samples.dtype != np.int16 or sample_rate_hz != own.sample_rate_hz:
        return Verification(AttemptResult.FORMAT)
    digest = pcm_sha256(samples, sample_rate_hz)
    if len(samples) != len(own.samples):
        return Verification(AttemptResult.LENGTH, digest)
    if digest == own.sha256:
        return Verification(AttemptResult.HASH, digest, 0.0, MAX_AGREEMENT_DB, 1.0)
    gain = gain_db(own.samples, samples)
    agreement, cosine = error_agreement_db(own.clean, own.samples, samples), output_cosine(own.samples, samples)
    if abs(gain) > rules.max_gain_db:
        return Verification(AttemptResult.GAIN, digest, gain, agreement, cosine)
    if rules.profile is Profile.SOUNDSRIGHT:
        similar = agreement >= similarity_threshold_db(rules, tier, repeat_db)
    else:
        similar = cosine >= rules.tier(tier).cosine
    result = AttemptResult.SIMILAR if similar else AttemptResult.DIFFERENT
    return Verification(result, digest, gain, agreement, cosine)
