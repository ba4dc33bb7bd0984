"""WAV files from untrusted models: they are decoded exactly, or refused."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.wav import WavRefused, decode_wav, encode_wav, mono_pcm16


def test_sixteen_bit_samples_survive_a_round_trip_exactly() -> None:
    samples = on_pcm16_grid(np.random.default_rng(0).uniform(-1, 1, 1_001))
    wav = decode_wav(encode_wav(Audio(samples, 48_000)))
    assert wav.sample_rate_hz == 48_000
    np.testing.assert_array_equal(wav.samples[:, 0] / np.float32(32_768), samples)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
@pytest.mark.parametrize("channels", [1, 2])
def test_files_of_libsndfile_are_decoded_as_libsndfile_does(subtype: str, container: str, channels: int) -> None:
    signal = np.random.default_rng(1).uniform(-0.9, 0.9, (333, channels))
    file = io.BytesIO()
    soundfile.write(file, signal, 16_000, subtype=subtype, format=container)
    theirs, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float64", always_2d=True)
    ours = decode_wav(file.getvalue())
    scale = 1.0 if ours.samples.dtype.kind == "f" else float(np.iinfo(ours.samples.dtype).max) + 1.0
    np.testing.assert_array_equal(ours.samples / scale, theirs)


def test_a_file_cut_at_any_byte_is_refused() -> None:
    whole = encode_wav(Audio(np.zeros(100, np.float32), 16_000))
    for size in range(len(whole)):
        with pytest.raises(WavRefused):
            decode_wav(whole[:size])


@pytest.mark.parametrize(
    ("offset", "form", "value", "reason"),
    [
        (40, "<I", 10_000, "claims 10000 bytes"),
        (20, "<H", 2, "coding"),
        (22, "<H", 0, "channels"),
        (32, "<H", 3, "blocks of 3"),
        (34, "<H", 8, "8 bits"),
        (16, "<I", 4, "format chunk of 4"),
    ],
)
def test_a_false_header_is_refused(offset: int, form: str, value: int, reason: str) -> None:
    data = bytearray(encode_wav(Audio(np.zeros(100, np.float32), 16_000)))
    struct.pack_into(form, data, offset, value)
    with pytest.raises(WavRefused, match=reason):
        decode_wav(bytes(data))


@settings(deadline=None, max_examples=300)
@given(
    st.binary(max_size=200),
    st.lists(st.tuples(st.integers(0, 43), st.integers(0, 255)), max_size=6),
)
def test_damaged_files_raise_nothing_but_a_refusal(tail: bytes, changes: list[tuple[int, int]]) -> None:
    data = bytearray(encode_wav(Audio(np.zeros(10, np.float32), 16_000)) + tail)
    for offset, value in changes:
        data[offset] = value
    try:
        wav = decode_wav(bytes(data))
    except WavRefused:
        return
    assert wav.samples.ndim == 2
    assert wav.samples.nbytes <= 2 * len(data)


@pytest.mark.parametrize(("subtype", "channels"), [("PCM_24", 1), ("PCM_16", 2), ("FLOAT", 1)])
def test_only_one_channel_of_sixteen_bits_is_mono_pcm16(subtype: str, channels: int) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((100, channels)), 16_000, subtype=subtype, format="WAV")
    with pytest.raises(WavRefused, match="one channel of 16 bits"):
        mono_pcm16(file.getvalue())
