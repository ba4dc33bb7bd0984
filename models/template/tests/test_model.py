"""Tests of what validators rely on. Run `pip install pytest httpx`, then `python -m pytest` in this folder."""

import io
import zipfile

import numpy as np
import pytest
import soundfile
from app.server import create_app
from fastapi.testclient import TestClient


@pytest.fixture
def client():
    with TestClient(create_app()) as client:
        assert client.get("/status/").json()["container_running"] is True
        assert client.post("/prepare/").json() == {"preparations": True}
        yield client


def wav_of(samples: np.ndarray, sample_rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def enhanced(client: TestClient, clips: dict[str, bytes]) -> dict[str, bytes]:
    files = [("files", (name, data, "audio/wav")) for name, data in clips.items()]
    answer = client.post("/upload-audio/", files=files).json()
    assert answer["status"] is True
    assert sorted(answer["uploaded_files"]) == sorted(clips)
    assert client.post("/enhance/").json() == {"status": True}
    with zipfile.ZipFile(io.BytesIO(client.get("/download-enhanced/").content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("sample_rate", [16_000, 48_000])
@pytest.mark.parametrize("seconds", [0.05, 1.0, 3.3])
def test_an_enhanced_clip_has_the_rate_the_length_and_one_channel(client, sample_rate, seconds):
    samples = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * sample_rate))
    (data,) = enhanced(client, {"000001.wav": wav_of(samples, sample_rate)}).values()
    audio, rate = soundfile.read(io.BytesIO(data), always_2d=True)
    assert rate == sample_rate
    assert audio.shape == (len(samples), 1)
    assert np.isfinite(audio).all()


def test_silence_and_full_scale_stay_finite(client):
    signals = {"silence.wav": np.zeros(8_000), "loud.wav": np.sign(np.sin(np.arange(8_000)))}
    answers = enhanced(client, {name: wav_of(samples, 16_000) for name, samples in signals.items()})
    assert sorted(answers) == sorted(signals)
    assert all(np.isfinite(soundfile.read(io.BytesIO(data))[0]).all() for data in answers.values())


def test_a_reset_forgets_what_was_uploaded(client):
    clip = wav_of(0.1 * np.ones(4_000), 16_000)
    assert list(enhanced(client, {"first.wav": clip})) == ["first.wav"]
    assert client.post("/reset/").json() == {"status": True}
    assert list(enhanced(client, {"second.wav": clip})) == ["second.wav"]


def test_a_model_that_streams_says_so_once_it_is_loaded(client):
    from app import enhance

    status = client.get("/status/").json()
    assert status.get("streaming", False) == hasattr(enhance, "Stream")
    if hasattr(enhance, "Stream"):
        assert status["lookahead_ms"] == enhance.LOOKAHEAD_MS
        frame = np.zeros(320, np.float32)
        assert np.asarray(enhance.Stream(16_000).process(frame)).shape == frame.shape
