"""Made-up provers: what each kind of them answers, verified once on real signals, and when it answers.

Signals are 16-bit integers of shape `(n,)`, times in seconds. The kinds differ in the model that they serve and in
their times; the verification of their answers is the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import pcm16
from soundsright.core.tiers import AttemptResult
from soundsright.core.tiers_rules import TIER_NAMES, TiersRules
from soundsright.ranking import OwnAnswer, verify_answer

Signal = NDArray[np.float64]
Pcm = NDArray[np.int16]

PROVER_CLIPS = 4
"""The number of clips on which each kind's answers are verified."""
_RATE = 16_000
_SAMPLES = 8_000
_FRAME = 400


@dataclass(frozen=True)
class ProverKind:
    """A kind of prover. `is_own` says whether it serves the model that it committed.

    Its times are log-normal around `typical_s`. The part `loses` of its answers never comes, and in the part
    `away` of the intervals none does.
    """

    name: str
    is_own: bool
    typical_s: float = 2.0
    spread: float = 0.3
    loses: float = 0.0
    away: float = 0.0

    @property
    def is_steady(self) -> bool:
        """Whether it serves its own model, always and in time."""
        return self.is_own and self.typical_s < 3 and not self.loses and not self.away


PROVER_KINDS = (
    ProverKind("honest", True),
    ProverKind("other thread count", True, 2.5),
    ProverKind("power cuts", True, away=0.004),
    ProverKind("flaky", True, loses=0.05),
    ProverKind("slow", True, typical_s=8.5, spread=0.25),
    ProverKind("input returned", False, typical_s=0.05),
    ProverKind("louder copy", False),
    ProverKind("better model", False),
    ProverKind("proxy", False, typical_s=4.0),
)
"""The kinds. A proxy passes requests on to the prover of another model."""


@lru_cache(maxsize=8)
def results_of_kinds(rules: TiersRules) -> Mapping[tuple[str, str], tuple[AttemptResult, ...]]:
    """The results of each kind's answers in each tier, over the clips. Keys are the kind's and the tier's name."""
    results: dict[tuple[str, str], list[AttemptResult]] = {}
    for number in range(PROVER_CLIPS):
        clean, degraded, rng = _clip(number)
        own = OwnAnswer(_pcm(clean), _gated(degraded, 1.5), _RATE)
        for kind in PROVER_KINDS:
            answer = _ANSWERS[kind.name](degraded, own.samples, clean, rng)
            for tier in TIER_NAMES:
                verified = verify_answer(rules, tier, own, answer, _RATE)
                results.setdefault((kind.name, tier), []).append(verified.result)
    return {key: tuple(found) for key, found in results.items()}


def _clip(number: int) -> tuple[Signal, Signal, np.random.Generator]:
    """A clip of harmonics that come and go, in noise of 10 dB SNR."""
    rng = np.random.default_rng([21, number])
    time = np.arange(_SAMPLES) / _RATE
    pitch = rng.uniform(90, 220)
    voice = sum(np.sin(2 * np.pi * pitch * k * time + rng.uniform(0, 6)) / k for k in range(1, 12))
    clean = 3_000 * np.asarray(voice) * np.maximum(np.sin(2 * np.pi * rng.uniform(2, 5) * time), 0)
    noise = rng.normal(0, 1, _SAMPLES)
    noise *= np.sqrt(np.mean(clean**2) / np.mean(noise**2)) * 10**-0.5
    return clean, clean + noise, rng


def _gated(degraded: Signal, over: float) -> Pcm:
    """A small model: frames whose bands are damped where they hold little more than the noise."""
    spectra = np.fft.rfft(degraded.reshape(-1, _FRAME), axis=1)
    noise = float(np.median(np.abs(spectra)))  # Most bands hold noise alone.
    gains = np.maximum(1 - over * noise / np.maximum(np.abs(spectra), 1e-9), 0.1)
    return _pcm(np.fft.irfft(gains * spectra, _FRAME, axis=1).reshape(-1))


def _at_level_of(own: Pcm, answer: Pcm) -> Pcm:
    """The answer at the level of the committed model's own, as a cheat that knows the rules would send it."""
    level = np.sqrt(np.mean(own.astype(np.float64) ** 2) / np.mean(answer.astype(np.float64) ** 2))
    return _pcm(level * answer)


def _pcm(signal: NDArray[np.floating]) -> Pcm:
    return pcm16(signal / 32_768.0)


def _in_another_order(own: Pcm, rng: np.random.Generator) -> Pcm:
    """The model's answer by another order of its sums: now and then the last bit differs."""
    return _pcm(own.astype(np.float64) + (rng.random(len(own)) < 0.02) * rng.choice((-1, 1), len(own)))


_Answer = Callable[[Signal, Pcm, Signal, np.random.Generator], Pcm]


def _own(_degraded: Signal, own: Pcm, _clean: Signal, _rng: np.random.Generator) -> Pcm:
    return own


_ANSWERS: Mapping[str, _Answer] = {
    "honest": _own,
    "other thread count": lambda _degraded, own, _clean, rng: _in_another_order(own, rng),
    "power cuts": _own,
    "flaky": _own,
    "slow": _own,
    "input returned": lambda degraded, own, _clean, _rng: _at_level_of(own, _pcm(degraded)),
    "louder copy": lambda _degraded, own, _clean, _rng: _pcm(1.1 * own),
    # It leaves a third of the noise and no gaps in the speech: better, and with errors of its own.
    "better model": lambda degraded, own, clean, _rng: _at_level_of(own, _pcm(clean + 0.35 * (degraded - clean))),
    "proxy": lambda degraded, own, _clean, _rng: _at_level_of(own, _gated(degraded, 1.2)),
}
