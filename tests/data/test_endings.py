"""Recordings that were cut are refused. Those of a pipe or a killed recorder are read to their end."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundsright.core.errors import AudioFileError
from soundsright.data import audio_files
from soundsright.data.audio_files import facts_of, read_file, read_flac, read_through
from soundsright.data.directories import speech_listing
from soundsright.data.verify import verified

RATE = 16_000
FRAMES = 24_000
NOISE = (np.random.default_rng(0).standard_normal(FRAMES) * 0.1).astype(np.float32)
FORMAT = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
PCM = (NOISE * 32_767).astype("<i2").tobytes()
HEADER_BYTES = 36


def riff(riff_bytes: int, data_bytes: int, samples: bytes = PCM, before: bytes = b"") -> bytes:
    """A WAV file whose header states these sizes."""
    head = b"RIFF" + struct.pack("<I", riff_bytes) + b"WAVE" + FORMAT + before
    return head + b"data" + struct.pack("<I", data_bytes) + samples


def encoded(name: str, samples: np.ndarray = NOISE, rate: int = RATE) -> bytes:
    stream = io.BytesIO()
    kind, _, subtype = {"mp3": "MP3", "ogg": "OGG", "opus": "OGG/OPUS", "flac": "FLAC"}[name].partition("/")
    soundfile.write(stream, samples, rate, format=kind, subtype=subtype or None)
    return stream.getvalue()


def without_length(flac: bytes, frames: int = 0) -> bytes:
    """A FLAC file that states another number of samples; 0 is that of a file that was written into a pipe."""
    patched = bytearray(flac)
    patched[21:26] = ((patched[21] >> 4) << 36 | frames).to_bytes(5, "big")
    return bytes(patched)


NO_LENGTH = {
    "sox": riff(0x7FFF_F024, 0x7FFF_F000),
    "arecord": riff(0x8000_0024, 0x8000_0000),
    "ffmpeg": riff(0xFFFF_FFFF, 0xFFFF_FFFF),
    "ffmpeg-with-a-list": riff(0xFFFF_FFFF, 0xFFFF_FFFF, before=b"LIST" + struct.pack("<I", 4) + b"INFO"),
    "zeros": riff(0, 0),
    "python": riff(HEADER_BYTES, 0),
    "sizes-in-turn": riff(0, len(PCM)),
}


@pytest.mark.parametrize("name", NO_LENGTH)
def test_a_wav_file_without_a_length_is_read_to_its_end(tmp_path: Path, name: str) -> None:
    path = tmp_path / "u.wav"
    path.write_bytes(NO_LENGTH[name])
    assert facts_of(path).frames == FRAMES
    expected = np.frombuffer(PCM, "<i2") / np.float32(32_768)
    np.testing.assert_array_equal(read_file(path).samples, expected)
    np.testing.assert_array_equal(read_file(path, start_s=1.0, duration_s=0.25).samples, expected[RATE:20_000])
    assert sum(block.size for block in read_through(path, 0.3)) == FRAMES


def test_a_flac_file_without_a_length_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "u.flac"
    path.write_bytes(encoded("flac"))
    whole = read_file(path).samples
    path.write_bytes(without_length(encoded("flac")))
    assert facts_of(path).frames == FRAMES
    np.testing.assert_array_equal(read_file(path).samples, whole)
    np.testing.assert_array_equal(read_file(path, start_s=1.0, duration_s=0.25).samples, whole[RATE:20_000])


def test_the_flac_file_of_a_killed_recorder_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "u.flac"
    path.write_bytes(encoded("flac"))
    whole = read_file(path).samples
    content = without_length(encoded("flac"))
    path.write_bytes(content[: len(content) // 2])
    read = read_file(path).samples
    assert 0.3 * FRAMES < read.size < 0.5 * FRAMES
    np.testing.assert_array_equal(read, whole[: read.size])
    path.write_bytes(content[:100])
    with pytest.raises(AudioFileError):
        read_file(path)


CUT = {
    "wav": riff(HEADER_BYTES + len(PCM), len(PCM))[:30_000],
    "wav-without-riff-size": riff(0, len(PCM))[:30_000],
    **{f"half.{name}": (content := encoded(name))[: len(content) // 2] for name in ("mp3", "ogg", "opus")},
    "last-page.ogg": encoded("ogg")[:-1],
    "last-frame.mp3": encoded("mp3")[:-1],
}


def _whole_pages(ogg: bytes) -> bytes:
    """An Ogg file without its last page."""
    return ogg[: ogg.rindex(b"OggS")]


def _whole_frames(mp3: bytes) -> bytes:
    """An MP3 file cut at the beginning of a frame. All frames of the file have one header."""
    head = mp3[:2]
    return mp3[: mp3.rindex(head)]


CUT["page-border.ogg"] = _whole_pages(encoded("ogg"))
CUT["frame-border.mp3"] = _whole_frames(_whole_frames(encoded("mp3")))


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_was_cut_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"u.{name.rpartition('.')[2].partition('-')[0]}"
    path.write_bytes(CUT[name])
    with pytest.raises(AudioFileError, match="is truncated"):
        facts_of(path)
    (tmp_path / "whole.wav").write_bytes(riff(HEADER_BYTES + len(PCM), len(PCM)))
    listing = speech_listing(tmp_path, RATE)
    assert [r.id for r in listing.recordings] == ["whole.wav"]
    assert "is truncated" in listing.skipped[str(path)]
    assert list(verified(tmp_path).problems) == [str(path)]


@pytest.mark.parametrize("name", ["mp3", "ogg", "opus", "flac"])
@pytest.mark.parametrize("seconds", [0.2, 1.5])
def test_whole_files_are_not_called_truncated(tmp_path: Path, name: str, seconds: float) -> None:
    path = tmp_path / f"u.{name}"
    for rate, channels in ((8_000, 1), (16_000, 2), (48_000, 2)):
        samples = np.random.default_rng(1).standard_normal((round(seconds * rate), channels)) * 0.1
        path.write_bytes(encoded(name, samples, rate))
        assert read_file(path).duration_s == pytest.approx(seconds, abs=0.1)
    if name == "mp3":
        tags = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10), b"TAG" + bytes(125)
        path.write_bytes(tags[0] + path.read_bytes() + tags[1])
        assert facts_of(path).channels == 2


def test_hours_at_a_high_rate_are_refused_by_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "u.flac"
    path.write_bytes(without_length(encoded("flac", rate=192_000), frames=4 * 3_600 * 192_000))
    monkeypatch.setattr(audio_files, "_read_soundfile", lambda *_: pytest.fail("samples were decoded"))
    with pytest.raises(AudioFileError, match=r"has 2764800000 samples in 1 channels; the limit is 691200000"):
        read_file(path)
    with pytest.raises(AudioFileError, match="has more than 691200000 samples"):
        read_flac(path.read_bytes(), "u.flac", max_s=5 * 3_600.0)


def test_many_channels_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "u.wav"
    soundfile.write(path, np.zeros((1_000, 16)), RATE)
    monkeypatch.setattr(audio_files, "MAX_SAMPLES", 15_999)
    with pytest.raises(AudioFileError, match="has 16000 samples in 16 channels"):
        facts_of(path)


def test_a_piped_flac_of_hours_is_refused_before_it_is_all_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "u.flac"
    path.write_bytes(without_length(encoded("flac", np.zeros(400_000, np.float32))))
    monkeypatch.setattr(audio_files, "MAX_SAMPLES", 70_000)
    with pytest.raises(AudioFileError, match="has 131072 samples"):
        facts_of(path)
