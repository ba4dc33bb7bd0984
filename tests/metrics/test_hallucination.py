"""Honest outputs pass and planted faults are found, on fixed clips of recorded speech."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import istft, stft

from soundsright.core.audio import Audio, Clip, ClipRecipe, on_pcm16_grid
from soundsright.data.corpora import Corpus
from soundsright.data.mixing import looped, mix_at_snr
from soundsright.metrics import Change, Hallucination, clip_hallucination, measured_clip, metric

RATE_HZ = 16_000
Signal = NDArray[np.float64]


@cache
def clip(index: int) -> Clip:
    """Four seconds of a recorded sentence with recorded noise at 2 to 12 dB; it depends on no recipe of sets."""
    corpus = Corpus.open()
    speech = corpus.speech_for(RATE_HZ)
    long_enough = [i for i in range(len(speech)) if speech.duration_s(i) >= 4.0]
    clean = speech.samples(long_enough[3 * index], RATE_HZ)[: 4 * RATE_HZ]
    noises = corpus.noise_for(RATE_HZ)
    noise = looped(noises.samples(3 * index, RATE_HZ), len(clean), RATE_HZ)
    mixture = mix_at_snr(clean, noise, snr_db=2.0 + 2.0 * index, sample_rate_hz=RATE_HZ)
    recipe = ClipRecipe(speech.utterance_id(long_enough[3 * index]), "", 0.0)
    spoken, heard = (Audio(on_pcm16_grid(each), RATE_HZ) for each in (mixture.clean, mixture.noisy))
    return Clip(str(index), spoken, heard, recipe)


def gained(speech: Signal, noise: Signal) -> Signal:
    """An honest enhancer: a Wiener gain with a floor, from the powers of speech and noise."""
    s, n = (stft(each, RATE_HZ, nperseg=512)[2] for each in (speech, noise))
    gain = np.maximum(np.abs(s) ** 2 / (np.abs(s) ** 2 + np.abs(n) ** 2 + 1e-12), 0.05)
    return np.asarray(istft(gain * (s + n), RATE_HZ, nperseg=512)[1][: len(speech)])


def judged(index: int, plant: Callable[[Signal], Signal] = lambda speech: speech) -> Hallucination:
    """The verdict on the output of the enhancer for a clip whose clean speech `plant` changed."""
    clean, noisy = clip(index).clean, clip(index).degraded
    noise = noisy.samples.astype(np.float64) - clean.samples
    output = gained(plant(clean.samples.astype(np.float64)), noise)
    found = clip_hallucination(clean, Audio(output.astype(np.float32), RATE_HZ), noisy)
    assert found is not None
    return found


def loudest(index: int, seconds: float) -> tuple[int, int]:
    """The loudest stretch of that length in the middle of a clip, in samples."""
    x = clip(index).clean.samples.astype(np.float64)
    count = round(seconds * RATE_HZ)
    power = np.convolve(x**2, np.ones(count), mode="valid")
    start = int(np.argmax(power[count:-count])) + count
    return start, start + count


def only_place(found: Hallucination, start: int, stop: int) -> Change:
    """The change that was found in that stretch; there is no place elsewhere."""
    assert found.flagged
    assert all(p.start_s < stop / RATE_HZ + 0.06 and p.end_s > start / RATE_HZ - 0.06 for p in found.places)
    return max(found.places, key=lambda p: p.end_s - p.start_s).change


@pytest.mark.parametrize("index", [0, 1, 2, 4, 5])
def test_honest_outputs_are_not_flagged(index: int) -> None:
    assert not judged(index).flagged
    assert judged(index).places == ()


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_unprocessed_input_and_the_clean_speech_are_not_flagged(index: int) -> None:
    each = clip(index)
    for output in (each.degraded, each.clean):
        found = clip_hallucination(each.clean, output, each.degraded)
        assert found
        assert not found.flagged


@pytest.mark.parametrize("index", [1, 4, 5])
def test_a_deleted_word_is_missing_at_its_place(index: int) -> None:
    start, stop = loudest(index, 0.35)

    def without(speech: Signal) -> Signal:
        return np.where((np.arange(len(speech)) >= start) & (np.arange(len(speech)) < stop), 0.0, speech)

    assert only_place(judged(index, without), start, stop) is Change.MISSING


# A third of the swapped phones pass; see docs/explanation/hallucination.md.
@pytest.mark.parametrize("index", [4, 5])
def test_other_speech_of_the_speaker_is_changed_speech(index: int) -> None:
    start, stop = loudest(index, 0.12)

    def swapped(speech: Signal) -> Signal:
        out = speech.copy()
        other = clip(0 if index != 5 else 2).clean.samples[slice(*loudest(0 if index != 5 else 2, 0.12))]
        out[start:stop] = other * np.sqrt(np.mean(speech[start:stop] ** 2) / np.mean(other**2))
        return out

    assert only_place(judged(index, swapped), start, stop) is Change.CHANGED


def test_a_word_in_a_pause_is_invented() -> None:
    each = clip(1)
    start, stop = loudest(1, 0.3)
    word = each.clean.samples[start:stop].astype(np.float64)
    # A longer clip with a pause of one second at its end.
    clean = np.concatenate([each.clean.samples, np.zeros(RATE_HZ)])
    noise = np.resize(each.degraded.samples - each.clean.samples, len(clean)).astype(np.float64)
    at = len(each.clean) + RATE_HZ // 2
    said = clean.astype(np.float64)
    said[at : at + len(word)] += word
    found = clip_hallucination(
        Audio(clean.astype(np.float32), RATE_HZ),
        Audio(gained(said, noise).astype(np.float32), RATE_HZ),
        Audio((clean + noise).astype(np.float32), RATE_HZ),
    )
    assert found
    assert only_place(found, at, at + len(word)) is Change.INVENTED


def test_gain_sign_and_a_short_delay_change_nothing() -> None:
    each = clip(4)
    noise = each.degraded.samples.astype(np.float64) - each.clean.samples
    output = gained(each.clean.samples.astype(np.float64), noise)
    for other in (1e-4 * output, -3.0 * output, np.concatenate([np.zeros(400), output[:-400]])):
        found = clip_hallucination(each.clean, Audio(other.astype(np.float32), RATE_HZ), each.degraded)
        assert found
        assert not found.flagged


@pytest.mark.parametrize("delay", [-1500, 1500])
def test_places_are_in_the_clip_where_the_output_is_early_or_late(delay: int) -> None:
    each = clip(4)
    noise = each.degraded.samples.astype(np.float64) - each.clean.samples
    said = each.clean.samples.astype(np.float64)
    start, stop = loudest(4, 0.3)
    said[start:stop] = 0.0
    moved = np.roll(gained(said, noise), delay)
    moved[slice(0, delay) if delay > 0 else slice(delay, None)] = 0.0
    found = clip_hallucination(each.clean, Audio(moved.astype(np.float32), RATE_HZ), each.degraded)
    assert found
    place = max(found.places, key=lambda p: p.end_s - p.start_s)
    assert abs(place.start_s - start / RATE_HZ) < 0.05


def test_a_clip_without_sound_or_time_has_no_verdict() -> None:
    each = clip(1)
    silence = Audio(np.zeros_like(each.clean.samples), RATE_HZ)
    broken = Audio(np.full_like(each.clean.samples, np.nan), RATE_HZ)
    short = Audio(each.clean.samples[:800], RATE_HZ)
    assert clip_hallucination(each.clean, silence, each.degraded) is None
    assert clip_hallucination(each.clean, broken, each.degraded) is None
    assert clip_hallucination(silence, each.clean, silence) is None
    assert clip_hallucination(short, short, short) is None
    with pytest.raises(ValueError, match="differ"):
        clip_hallucination(each.clean, short, each.degraded)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_levels_give_a_score(scale: float) -> None:
    each = clip(1)
    output = Audio((each.degraded.samples * np.float64(scale)).astype(np.float32), RATE_HZ)
    found = clip_hallucination(each.clean, output, each.degraded)
    assert found
    assert 0.0 <= found.score <= 1.0


def test_noise_in_place_of_speech_is_flagged() -> None:
    each = clip(1)
    hiss = (np.random.default_rng(1).standard_normal(len(each.clean)) / 10).astype(np.float32)
    found = clip_hallucination(each.clean, Audio(hiss, RATE_HZ), each.degraded)
    assert found
    assert found.flagged


def test_the_score_is_a_metric_that_needs_the_input() -> None:
    each = clip(1)
    assert metric("hallucination").needs_noisy
    measured = measured_clip(each.clean, each.degraded, each.degraded, ["HALLUCINATION"])["HALLUCINATION"]
    found = clip_hallucination(each.clean, each.degraded, each.degraded)
    assert found
    assert measured.score == pytest.approx(found.score, abs=1e-9)
    assert measured.no_value is None
    short = Audio(each.clean.samples[:800], RATE_HZ)
    assert measured_clip(short, short, short, ["HALLUCINATION"])["HALLUCINATION"].score == 1.0
