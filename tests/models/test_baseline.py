"""The baselines do what their cards state, on recordings that were not used for training."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from soundsright.core.audio import Audio, Clip
from soundsright.core.competition import competition_by_id
from soundsright.data.clips import SetRecipe, corpus_sources
from soundsright.data.corpora import Corpus
from soundsright.data.recipe import SetTask
from soundsright.data.render import render
from soundsright.data.splits import Split
from soundsright.metrics.suite import score_clip
from tests.models.conftest import ImportModel, Serve

MODELS = Path(__file__).parents[2] / "models"
LEAST_GAINS = {
    "baseline-denoising-16k": {"PESQ_WB": 0.1, "ESTOI": 0.05, "SI_SDR": 4.0},
    "baseline-dereverberation-16k": {"PESQ_WB": 0.02, "ESTOI": 0.06, "SI_SDR": 1.0},
    "baseline-denoising-48k": {"ESTOI": 0.02, "SI_SDR": 3.0},
    "baseline-dereverberation-48k": {"ESTOI": 0.05, "SI_SDR": 1.0},
}
"""What each baseline must add to the scores of held-out clips: well below what it does add."""

every_baseline = pytest.mark.parametrize("name", LEAST_GAINS)


def rate_of(name: str) -> int:
    return int(name.rpartition("-")[2].removesuffix("k")) * 1000


@cache
def held_out_clips(name: str) -> tuple[Clip, ...]:
    task, rate = name.split("-")[1], rate_of(name)
    competition = competition_by_id(f"{task.upper()}_{rate}HZ")
    recipe = SetRecipe(snr_db=(0.0, 5.0), rt60_s=(0.4, 0.8), duration_s=(2.5, 3.5))
    sources = corpus_sources(Corpus.open(), rate, recipe, split=Split.TEST)
    return tuple(
        render(SetTask.of(competition.task), rate, 4, index, sources=sources, recipe=recipe, skipped={}).as_clip()
        for index in range(4)
    )


@every_baseline
def test_held_out_clips_score_better_than_their_input(import_model: ImportModel, name: str) -> None:
    gains: dict[str, list[float]] = {metric: [] for metric in LEAST_GAINS[name]}
    for clip in held_out_clips(name):
        rate = clip.clean.sample_rate_hz
        enhanced = Audio(import_model(name).enhance(clip.degraded.samples, rate), rate)
        before, after = (score_clip(clip.clean, audio, names=list(gains)) for audio in (clip.degraded, enhanced))
        for metric in gains:
            gains[metric].append(after[metric] - before[metric])
    for metric, least in LEAST_GAINS[name].items():
        assert np.mean(gains[metric]) > least, metric


@every_baseline
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_length_and_type_are_kept_and_silence_stays_silent(import_model: ImportModel, name: str, rate: int) -> None:
    enhance = import_model(name).enhance
    for length in (1, 333, 16_001):
        enhanced = enhance(np.zeros(length, np.float32), rate)
        assert enhanced.shape == (length,)
        assert enhanced.dtype == np.float32
        assert np.abs(enhanced).max() < 1e-4


@every_baseline
def test_a_clip_gives_the_same_samples_again_and_at_another_level(import_model: ImportModel, name: str) -> None:
    enhance = import_model(name).enhance
    first, second = (clip.degraded.samples for clip in held_out_clips(name)[:2])
    rate = rate_of(name)
    before = enhance(first, rate)
    enhance(second, rate)
    np.testing.assert_array_equal(enhance(first, rate), before)
    np.testing.assert_allclose(enhance(0.1 * first, rate), 0.1 * before, atol=1e-4)


@every_baseline
def test_speech_is_not_delayed(import_model: ImportModel, name: str) -> None:
    clean = held_out_clips(name)[0].clean
    enhanced = import_model(name).enhance(clean.samples, clean.sample_rate_hz)
    lags = range(-8, 9)
    match = [float(np.dot(np.roll(enhanced, -lag), clean.samples)) for lag in lags]
    assert lags[int(np.argmax(match))] == 0


@every_baseline
def test_shipped_files_are_those_that_the_card_names(name: str) -> None:
    folder = MODELS / name
    card = dict(re.findall(r"\| `([^`]+)` \| `([0-9a-f]{64})` \|", (folder / "README.md").read_text()))
    files = {
        f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in ("network.onnx", "weights.safetensors")
    }
    assert card == files


@every_baseline
def test_the_network_that_is_served_is_the_one_to_fine_tune_from(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="needs torch: pip install -e .[train]")
    pytest.importorskip("safetensors", reason="needs safetensors: pip install -e .[train]")
    monkeypatch.syspath_prepend(str(MODELS.parent))
    from examples.finetune.checkpoints import load_network
    from examples.finetune.export import TOLERANCE, distance_to_torch

    folder = MODELS / name
    network = load_network(folder / "weights.safetensors")
    assert distance_to_torch((folder / "network.onnx").read_bytes(), network, frames=60) < TOLERANCE


def test_the_template_serves_a_baseline(import_model: ImportModel, serve: Serve) -> None:
    import soundfile

    name = "baseline-denoising-16k"
    degraded = held_out_clips(name)[0].degraded
    file = io.BytesIO()
    soundfile.write(file, degraded.samples, 16_000, format="WAV", subtype="PCM_16")
    with serve(name) as client:
        assert client.post("/prepare/").json() == {"preparations": True}
        client.post("/upload-audio/", files=[("files", ("000001.wav", file.getvalue()))]).raise_for_status()
        assert client.post("/enhance/").json() == {"status": True}
        archive = zipfile.ZipFile(io.BytesIO(client.get("/download-enhanced/").content))
    samples, rate = soundfile.read(io.BytesIO(archive.read("000001.wav")), dtype="float32")
    assert rate == 16_000
    np.testing.assert_allclose(samples, import_model(name).enhance(degraded.samples, 16_000), atol=2e-4)
