from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from soundsright.core.audio import Audio
from soundsright.data import Corpus
from soundsright.metrics import score_clip
from soundsright.metrics.phone_model import HOP_S
from soundsright.metrics.phones import Phone, phone_posteriors, phone_similarity, phone_string_with_times

pytest.importorskip("pocketsphinx", reason="pocketsphinx, which hears the phones, is not installed")


@dataclass(frozen=True)
class Recording:
    clean: Audio
    noisy: Audio


@pytest.fixture(scope="module")
def clip() -> Recording:
    """2 s of a shipped recording, and the same with white noise 15 dB below it."""
    clean = Corpus.open().speech_for(16_000).samples(1, 16_000)[:32_000]
    noise = np.random.default_rng(1).standard_normal(len(clean)).astype(np.float32)
    noisy = clean + noise * (10**-0.75 * np.std(clean) / np.std(noise))
    return Recording(Audio(clean, 16_000), Audio(noisy.astype(np.float32), 16_000))


@pytest.fixture(scope="module")
def heard(clip: Recording) -> tuple[Phone, ...]:
    return phone_string_with_times(clip.clean.samples)


def test_noise_hides_phones_and_the_clean_signal_has_all(clip: Recording) -> None:
    clean = clip.clean.samples
    assert phone_similarity(clean, clean) == 1.0
    assert 0.05 < score_clip(clip.clean, clip.noisy, names=["PHONE_SIM"])["PHONE_SIM"] < 0.9


def test_what_is_heard_depends_neither_on_the_level_nor_on_what_was_heard_before(
    clip: Recording, heard: tuple[Phone, ...]
) -> None:
    phone_string_with_times(clip.noisy.samples)
    assert phone_string_with_times(clip.clean.samples * np.float32(1e-20)) == heard
    assert len(heard) > 10
    assert all(one.end_s <= next_.start_s + 1e-9 for one, next_ in itertools.pairwise(heard))


@pytest.mark.parametrize("samples", [32_000, 31_600, 20_111])
def test_every_phone_is_heard_in_a_frame_of_the_posteriors(clip: Recording, samples: int) -> None:
    part = clip.clean.samples[:samples]
    frames = len(phone_posteriors(part).probability)
    assert all(0 <= phone.start_s < phone.end_s <= frames * HOP_S + 1e-9 for phone in phone_string_with_times(part))


def test_likely_phones_of_frames_are_those_that_the_recogniser_hears(
    clip: Recording, heard: tuple[Phone, ...]
) -> None:
    posteriors = phone_posteriors(clip.clean.samples)
    assert posteriors.probability.sum(axis=1) == pytest.approx(1.0)
    best = posteriors.probability.argmax(axis=1)
    agree = [
        posteriors.names[best[frame]] == phone.name
        for phone in heard
        for frame in range(round(phone.start_s / HOP_S), round(phone.end_s / HOP_S))
    ]
    assert np.mean(agree) > 0.4  # by chance 1 in 42; the recogniser also knows each phone's neighbours


def test_signals_without_speech_give_no_phones() -> None:
    silence = np.zeros(16_000, np.float32)
    assert phone_string_with_times(silence) == ()
    assert phone_similarity(silence, silence) is None
    assert phone_posteriors(silence[:100]).probability.shape == (0, 42)
    huge = np.where(np.arange(1000) == 500, 3e38, 1e-30).astype(np.float32)
    assert np.isfinite(phone_posteriors(huge).probability).all()
