from __future__ import annotations

import pickle
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from soundsright.core.audio import Audio
from soundsright.core.errors import UsageError
from soundsright.data import Corpus
from soundsright.metrics import score_clip
from soundsright.metrics.speaker import speaker_embedding, speaker_similarity, speech_mask, voice_windows
from soundsright.metrics.weights import WeightFile, _from_pickles

if find_spec("resemblyzer") is None:  # it cannot be imported without PyTorch
    pytest.skip("resemblyzer, which holds the weights, is not installed", allow_module_level=True)

# The largest five of 256 numbers, by `VoiceEncoder.embed_utterance` of resemblyzer 0.1.4 on PyTorch 2.13, for the
# sweep of `_sweep`.
OUTSIDE = {125: 0.213954, 159: 0.19775, 133: 0.197004, 58: 0.192205, 124: 0.19158}


def _sweep() -> np.ndarray:
    """2 s of a tone that rises from 100 to 2100 Hz, with an effective value of -30 dB."""
    t = np.arange(32_000) / 16_000
    tone = np.sin(2 * np.pi * (100 * t + 500 * t**2))
    return np.asarray(tone * 10**-1.5 / np.sqrt(np.mean(tone**2)), dtype=np.float32)


@pytest.fixture(scope="module")
def voices() -> tuple[Audio, Audio]:
    """2 s of each of the two speakers of the shipped recordings."""
    speech = Corpus.open().speech_for(16_000)
    first = {speech.speaker(i): i for i in reversed(range(len(speech)))}
    one, other = (Audio(speech.samples(first[name], 16_000)[:32_000], 16_000) for name in sorted(first))
    return one, other


def test_numpy_computes_what_the_package_does() -> None:
    embedding = speaker_embedding(_sweep())
    assert {i: float(embedding[i]) for i in OUTSIDE} == pytest.approx(OUTSIDE, abs=1e-5)
    assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-6)


def test_the_same_voice_in_noise_is_nearer_than_another_voice(voices: tuple[Audio, Audio]) -> None:
    (mine, other) = voices
    noise = np.random.default_rng(1).standard_normal(len(mine)).astype(np.float32)
    noisy = Audio(mine.samples + noise * (0.1 * np.std(mine.samples) / np.std(noise)), 16_000)
    in_noise = score_clip(mine, noisy, names=["SPEAKER_SIM"])["SPEAKER_SIM"]
    of_other = speaker_similarity(mine.samples, other.samples)
    assert of_other is not None
    assert of_other + 0.1 < in_noise < 0.97
    assert speaker_similarity(mine.samples, mine.samples * np.float32(1e-15)) == pytest.approx(1.0)


def test_only_what_the_output_has_where_the_clean_signal_speaks_counts() -> None:
    clean = np.concatenate([np.zeros(8_000, np.float32), _sweep(), np.zeros(8_000, np.float32)])
    mask = speech_mask(clean)
    assert not mask[:4_800].any()
    assert mask[8_000:40_000].all()
    assert not mask[-4_800:].any()
    elsewhere = np.where(mask, 0, 0.1).astype(np.float32)
    assert speaker_similarity(clean, elsewhere) is None
    assert speaker_similarity(clean, clean + elsewhere) == pytest.approx(1.0, abs=1e-6)


def test_windows_say_where_in_the_signal_the_voice_is() -> None:
    windows = voice_windows(np.tile(_sweep(), 3))
    assert windows.start_s == pytest.approx([0, 0.77, 1.54, 2.31, 3.08, 3.85, 4.62])
    assert windows.direction.shape == (7, 256)
    assert voice_windows(_sweep()[:100]).direction.shape == (1, 256)


@pytest.mark.parametrize("output", [np.full, np.zeros])
def test_hostile_outputs_score_inside_the_range(
    make_clip: Callable[..., tuple[Audio, Audio, Audio]], output: Callable[..., np.ndarray]
) -> None:
    clean, _, _ = make_clip(seconds=1.0)
    spoilt = np.asarray(output(16_000, 3e38) if output is np.full else output(16_000), dtype=np.float32)
    spoilt[100] = -3e38
    assert 0.0 <= score_clip(clean, Audio(spoilt, 16_000), names=["SPEAKER_SIM"])["SPEAKER_SIM"] <= 1.0


def test_weights_of_another_version_and_pickles_that_run_code_are_refused(tmp_path: Path) -> None:
    file = WeightFile("resemblyzer", "pretrained.pt", "0" * 64, "pip install it")
    with pytest.raises(UsageError, match=r"not those that were tested.*pip install it"):
        file.tensors("model_state")
    with pytest.raises(UsageError, match="not installed"):
        WeightFile("no_such_package", "x.pt", "", "").content()
    with pytest.raises(pickle.UnpicklingError, match="is no array"):
        _from_pickles(pickle.dumps(tmp_path.rmdir))


def test_numbers_of_another_type_are_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"torch\.HalfStorage; only FloatStorage and LongStorage"):
        _from_pickles(b"ctorch\nHalfStorage\n.")
