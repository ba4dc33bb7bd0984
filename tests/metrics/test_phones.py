from __future__ import annotations

import itertools

import numpy as np
import pytest

from soundsright.core.audio import Clip
from soundsright.core.competition import PUBLISHED
from soundsright.data import Corpus, draw_clip
from soundsright.metrics import score_clip
from soundsright.metrics.phones import phone_posteriors, phone_similarity, phone_string_with_times

pytest.importorskip("pocketsphinx", reason="pocketsphinx, which hears the phones, is not installed")


@pytest.fixture(scope="module")
def clip() -> Clip:
    return draw_clip(PUBLISHED[0], 1, 3, corpus=Corpus.open())


def test_noise_hides_phones_and_the_clean_signal_has_all(clip: Clip) -> None:
    clean, noisy = clip.clean.samples, clip.degraded.samples
    assert phone_similarity(clean, clean) == 1.0
    noisy_similarity = score_clip(clip.clean, clip.degraded, names=["PHONE_SIM"])["PHONE_SIM"]
    assert 0.05 < noisy_similarity < 0.9
    assert phone_similarity(clean, noisy) == pytest.approx(noisy_similarity)


def test_what_is_heard_depends_neither_on_the_level_nor_on_what_was_heard_before(clip: Clip) -> None:
    heard = phone_string_with_times(clip.clean.samples)
    phone_string_with_times(clip.degraded.samples)
    assert phone_string_with_times(clip.clean.samples * np.float32(1e-20)) == heard
    assert len(heard) > 20
    assert all(0 <= phone.start_s < phone.end_s <= clip.clean.duration_s for phone in heard)
    assert all(one.end_s <= next_.start_s + 1e-9 for one, next_ in itertools.pairwise(heard))


def test_likely_phones_of_frames_are_those_that_the_recogniser_hears(clip: Clip) -> None:
    posteriors = phone_posteriors(clip.clean.samples)
    assert posteriors.probability.sum(axis=1) == pytest.approx(1.0)
    best = posteriors.probability.argmax(axis=1)
    agree = [
        posteriors.names[best[frame]] == phone.name
        for phone in phone_string_with_times(clip.clean.samples)
        for frame in range(round(phone.start_s / 0.01), round(phone.end_s / 0.01))
    ]
    assert np.mean(agree) > 0.4  # by chance 1 in 42; the recogniser also knows each phone's neighbours


def test_signals_without_speech_give_no_phones() -> None:
    silence = np.zeros(16_000, np.float32)
    assert phone_string_with_times(silence) == ()
    assert phone_similarity(silence, silence) is None
    assert phone_posteriors(silence[:100]).probability.shape == (0, 42)
    huge = np.where(np.arange(1000) == 500, 3e38, 1e-30).astype(np.float32)
    assert np.isfinite(phone_posteriors(huge).probability).all()
