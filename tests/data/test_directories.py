from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundsright.core.errors import UsageError
from soundsright.data.directories import noise_listing, rir_listing, speech_listing
from soundsright.data.recordings import RecordingSet

from .conftest import write_speech


def test_a_plain_directory_has_its_folders_for_speakers(speech_dir: Path) -> None:
    listing = speech_listing(speech_dir, 16_000)
    assert listing.layout == "files"
    assert {r.speaker for r in listing.recordings} == {"speaker0", "speaker1"}
    assert [r.id for r in listing.recordings] == sorted(r.id for r in listing.recordings)


@pytest.mark.parametrize(
    ("files", "layout", "speakers"),
    [
        (["LibriSpeech/dev/84/121123/84-121123-0001.flac", "LibriSpeech/dev/174/50561/174-50561-0002.flac"],
         "librispeech", {"84", "174"}),
        (["wav48/p225/p225_001_mic1.flac", "wav48/p225/p225_001_mic2.flac", "wav48/s5/s5_002_mic1.flac"],
         "vctk", {"p225", "s5"}),
        (["p001/emo_anger_sentences.wav", "p002/rainbow_01_fast.wav", "p002/vegetative_eating.wav"],
         "ears", {"p001", "p002"}),
        (["clean/book_00000_chp_0009_reader_06709_0.wav", "clean/book_00001_chp_0001_reader_00012_3.wav"],
         "dns", {"06709", "00012"}),
    ],
)  # fmt: skip
def test_known_layouts_are_found_with_their_speakers(
    tmp_path: Path, files: list[str], layout: str, speakers: set[str]
) -> None:
    for number, name in enumerate(files):
        write_speech(tmp_path / name, seed=number)
    listing = speech_listing(tmp_path, 16_000)
    assert listing.layout == layout
    assert {r.speaker for r in listing.recordings} == speakers
    assert not any("mic2" in r.id or "vegetative" in r.id for r in listing.recordings)


def test_texts_are_read_if_the_corpus_has_them(tmp_path: Path) -> None:
    write_speech(tmp_path / "libri/84/121123/84-121123-0001.flac")
    (tmp_path / "libri/84/121123/84-121123.trans.txt").write_text("84-121123-0001 GO DO YOU HEAR\n")
    write_speech(tmp_path / "vctk/wav48_silence_trimmed/p225/p225_001_mic1.flac")
    (tmp_path / "vctk/txt/p225").mkdir(parents=True)
    (tmp_path / "vctk/txt/p225/p225_001.txt").write_text("Please call Stella.\n")
    assert speech_listing(tmp_path / "libri", 16_000).recordings[0].text == "GO DO YOU HEAR"
    assert speech_listing(tmp_path / "vctk", 16_000).recordings[0].text == "Please call Stella."


@pytest.mark.parametrize(
    ("files", "layout", "kept"),
    [
        (["TBUS/ch01.wav", "TBUS/ch02.wav", "PCAFETER/ch01.wav"], "demand", 2),
        (["noise/free-sound/noise-free-sound-0001.wav", "speech/librivox/speech-librivox-0001.wav"], "musan", 1),
        (["tr/40na010x_1.9857.wav", "cv/01xo031a.wav"], "wham", 2),
    ],
)
def test_noise_layouts_keep_only_noise(tmp_path: Path, files: list[str], layout: str, kept: int) -> None:
    for number, name in enumerate(files):
        write_speech(tmp_path / name, seed=number)
    listing = noise_listing(tmp_path, 16_000)
    assert (listing.layout, len(listing.recordings)) == (layout, kept)


@pytest.mark.parametrize(
    ("files", "layout", "kept"),
    [
        (["real_rirs_isotropic_noises/RVB2014_type1_rir_largeroom1.wav",
          "real_rirs_isotropic_noises/RVB2014_type1_noise_largeroom1_1.wav",
          "simulated_rirs/smallroom/Room001/Room001-00001.wav"], "openslr28", 2),
        (["VUT_L207/MicID01/SpkID01/RIR/IR_sweep_15s.v00.wav", "VUT_L207/MicID01/SpkID01/silence/fine.wav"],
         "but", 1),
        (["IR_numClosed_0_numComb_1_mic_1_sweep_1.wav"], "arni", 1),
    ],
)  # fmt: skip
def test_layouts_of_impulse_responses_leave_out_the_noises(
    tmp_path: Path, files: list[str], layout: str, kept: int
) -> None:
    for number, name in enumerate(files):
        write_speech(tmp_path / name, seed=number, seconds=0.3)
    listing = rir_listing(tmp_path, 16_000)
    assert (listing.layout, len(listing.recordings)) == (layout, kept)


def test_unusable_files_are_skipped_and_named_with_the_reason(speech_dir: Path) -> None:
    (speech_dir / "empty.wav").write_bytes(b"")
    (speech_dir / "text.wav").write_bytes(b"this is no audio at all, whatever its name says")
    whole = (speech_dir / "speaker0" / "0.wav").read_bytes()
    (speech_dir / "cut.wav").write_bytes(whole[: len(whole) // 3])
    write_speech(speech_dir / "short.wav", seconds=0.1)
    write_speech(speech_dir / "low.wav", rate=8_000)
    listing = speech_listing(speech_dir, 16_000)
    reasons = {path.rpartition("/")[2]: reason for path, reason in listing.skipped.items()}
    assert set(reasons) == {"empty.wav", "text.wav", "cut.wav", "short.wav", "low.wav"}
    assert "0 bytes" in reasons["empty.wav"]
    assert "truncated" in reasons["cut.wav"]
    assert "8000 Hz" in reasons["low.wav"]
    assert len(listing.recordings) == 4


def test_a_directory_without_audio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none here")
    with pytest.raises(UsageError, match="has no audio files"):
        speech_listing(tmp_path, 16_000)
    with pytest.raises(UsageError, match="There is no folder"):
        speech_listing(tmp_path / "missing", 16_000)


def test_8_khz_files_are_refused_for_a_48_khz_set_unless_allowed(tmp_path: Path) -> None:
    write_speech(tmp_path / "a.wav", rate=8_000)
    with pytest.raises(UsageError, match=r"8000 Hz.*--allow-upsampled"):
        speech_listing(tmp_path, 48_000)
    assert len(speech_listing(tmp_path, 48_000, allow_upsampled=True).recordings) == 1


def test_upsampled_files_that_pose_as_full_band_are_refused(tmp_path: Path) -> None:
    import soxr

    low = np.random.default_rng(0).standard_normal(8_000 * 3) * 0.1
    soundfile.write(tmp_path / "posing.wav", soxr.resample(low, 8_000, 48_000), 48_000)
    with pytest.raises(UsageError, match=r"has nothing above 4\d\d\d Hz"):
        speech_listing(tmp_path, 48_000)


def test_a_stereo_file_gives_its_first_channel(tmp_path: Path) -> None:
    left = 0.1 * np.random.default_rng(1).standard_normal(16_000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, -left], axis=1), 16_000, subtype="FLOAT")
    listing = speech_listing(tmp_path, 16_000)
    assert np.allclose(RecordingSet(listing.recordings).samples(0, 16_000), left, atol=1e-6)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3", ".m4a", ".g722"])
def test_every_common_format_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix in (".m4a", ".g722"):
        encode_with_pyav(path, "aac" if suffix == ".m4a" else "adpcm_g722", "mp4" if suffix == ".m4a" else "g722")
    else:
        write_speech(path)
    recording = speech_listing(tmp_path, 16_000).recordings[0]
    assert recording.duration_s == pytest.approx(3.5, abs=0.2)
    assert RecordingSet([recording]).samples(0, 16_000).shape[0] == pytest.approx(56_000, abs=3_000)


def encode_with_pyav(path: Path, codec: str, container: str) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed")
    pcm = (3_000 * np.random.default_rng(2).standard_normal(56_000)).clip(-32_000, 32_000).astype(np.int16)
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=16_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
        frame.sample_rate = 16_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)


def test_a_part_of_a_long_file_is_the_same_as_that_part_of_the_whole(tmp_path: Path) -> None:
    path = write_speech(tmp_path / "long.wav", seconds=70.0, rate=44_100)
    listing = noise_listing(tmp_path, 16_000)
    source = RecordingSet(listing.recordings)
    whole = source.samples(0, 16_000)
    part = source.part(0, 16_000, start=500_123, count=16_000)
    assert np.abs(part - whole[500_123:516_123]).max() < 1e-3
    assert path.exists()
