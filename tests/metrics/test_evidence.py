from __future__ import annotations

import numpy as np
import pytest

from soundsright.core.audio import Audio
from soundsright.metrics.evidence import ClipEvidence, clip_evidence

RNG = np.random.default_rng(0)
SPEECH = np.tile(np.repeat([1.0, 0.0], 1_600), 10) * RNG.standard_normal(32_000) * 0.1
NOISE = 0.01 * RNG.standard_normal(32_000)


def audio(samples: np.ndarray) -> Audio:
    return Audio(samples.astype(np.float32), 16_000)


def evidence(enhanced: np.ndarray, clean: np.ndarray = SPEECH) -> ClipEvidence:
    return clip_evidence(audio(clean), audio(enhanced), audio(clean + NOISE))


@pytest.mark.parametrize("gain", [1.0, 1e-3, -20.0])
def test_honest_output_deletes_and_invents_nothing_at_any_level(gain: float) -> None:
    facts = evidence(gain * (SPEECH + 0.3 * NOISE))
    assert facts.deleted == 0.0
    assert facts.hallucinated == 0.0


def test_syllables_that_are_gone_are_counted() -> None:
    output = SPEECH.copy()
    output[:9_600] = 0
    assert evidence(output).deleted == pytest.approx(0.3, abs=0.05)


def test_speech_in_pauses_is_counted() -> None:
    output = SPEECH + np.where(np.arange(32_000) < 16_000, np.roll(SPEECH, 1_600), 0.0)
    assert evidence(output).hallucinated == pytest.approx(0.5, abs=0.05)


def test_noise_that_was_in_the_input_is_not_called_invented() -> None:
    loud = SPEECH + 0.2 * RNG.standard_normal(32_000)
    facts = clip_evidence(audio(SPEECH), audio(loud), audio(loud))
    assert facts.hallucinated == 0.0


def test_the_unchanged_input_is_alike_at_any_level() -> None:
    assert evidence(0.5 * (SPEECH + NOISE)).likeness_to_input_db > 60
    assert evidence(SPEECH).likeness_to_input_db < 30


@pytest.mark.parametrize("enhanced", [np.zeros(32_000), np.full(32_000, 1e30), np.full(32_000, 1e-40)])
def test_absurd_output_gives_finite_evidence(enhanced: np.ndarray) -> None:
    facts = evidence(enhanced)
    assert np.isfinite([facts.deleted, facts.hallucinated, facts.likeness_to_input_db]).all()
    assert np.isfinite(evidence(enhanced, clean=0 * SPEECH).likeness_to_input_db)
