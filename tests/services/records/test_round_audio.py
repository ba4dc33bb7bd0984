"""Audio is stored as small as FLAC can make it, and comes back byte by byte."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
import soundfile

from soundsright.core.errors import BundleRefused
from soundsright.services.records.round_audio import stored_audio, wav_bytes, wav_of


def voiced(rate_hz: int = 16_000) -> bytes:
    """A WAV file of two seconds of tones in noise."""
    t = np.arange(2 * rate_hz) / rate_hz
    tones = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 9))
    samples = 3_000 * tones + np.random.default_rng(7).normal(scale=80.0, size=len(t))
    return wav_bytes(samples.astype(np.int16), rate_hz)


def test_it_comes_back_and_is_smaller_than_flac_by_default() -> None:
    wav = voiced()
    kind, stored = stored_audio(wav)
    assert kind == "flac"
    assert wav_of(stored, kind, hashlib.sha256(wav).hexdigest()) == wav
    samples, rate_hz = soundfile.read(io.BytesIO(wav), dtype="int16")
    default = io.BytesIO()
    soundfile.write(default, samples, rate_hz, format="FLAC", subtype="PCM_16")
    assert len(stored) < len(default.getvalue())


def test_a_wav_that_flac_cannot_give_back_is_stored_as_it_is() -> None:
    wav = voiced()
    odd = wav[:40] + b"\1" + wav[41:]
    assert stored_audio(odd) == ("wav", odd)


def test_other_audio_than_its_digest_is_refused() -> None:
    wav = voiced()
    kind, stored = stored_audio(wav)
    with pytest.raises(BundleRefused, match="other content than its name says"):
        wav_of(stored, kind, "0" * 64)
