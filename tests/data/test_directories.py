import csv
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundsright.core.errors import AudioFileError, UsageError
from soundsright.data.audio_files import facts_of
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
        (["p226_001.wav", "p226_002.wav", "p287_001.wav"], "voicebank", {"p226", "p287"}),
        (["p225_001_mic1.flac", "p225_001_mic2.flac", "s5_002_mic1.flac"], "voicebank", {"p225", "s5"}),
        (["dev/84/121123/84_121123_000007_000001.wav", "dev/84/121550/84_121550_000218_000000.wav",
          "dev/174/50561/174_50561_000000_000001.wav"], "libritts", {"84", "174"}),
        (["audio/10148/10119/10148_10119_000000.flac", "audio/10148/9000/10148_9000_000001.flac"],
         "mls", {"10148"}),
        (["TRAIN/DR1/FCJF0/SA1.WAV", "TRAIN/DR1/FCJF0/SX37.WAV", "TEST/DR2/MABW0/SI1230.WAV"],
         "timit", {"FCJF0", "MABW0"}),
        (["timit/dr1/fcjf0/sa1.wav", "timit/dr2/mabw0/si1230.wav"], "timit", {"FCJF0", "MABW0"}),
        (["si_tr_s/01t/01to030a.wav", "si_tr_s/011/011c0201.wav", "si_dt_05/050/050a0501.wav"],
         "wsj", {"01t", "011", "050"}),
        (["wav/id10001/1zcIwhmdeo4/00001.wav", "wav/id10001/7w0IBEWc9Qw/00001.wav", "wav/id10002/x/00002.wav"],
         "voxceleb", {"id10001", "id10002"}),
        (["S0002/BAC009S0002W0122.wav", "BAC009S0003W0001.wav"], "aishell", {"S0002", "S0003"}),
        (["SSB0005/SSB00050001.wav", "SSB0009/SSB00090001.wav"], "aishell", {"SSB0005", "SSB0009"}),
        (["cmu_us_bdl_arctic/wav/arctic_a0001.wav", "ABA/wav/arctic_b0001.wav"],
         "arctic", {"cmu_us_bdl_arctic", "ABA"}),
        (["wavs/LJ001-0001.wav", "wavs/LJ050-0002.wav"], "ljspeech", {"LJ"}),
        (["AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1001_IEO_HAP_LO.wav", "AudioWAV/1091_TAI_SAD_X.wav"],
         "crema-d", {"1001", "1091"}),
        (["Actor_12/03-01-06-01-02-01-12.wav", "03-01-01-01-01-01-01.wav"], "ravdess", {"12", "01"}),
        (["clean/f10_script1_clean.wav", "clean/f10_script2_clean.wav", "clean/m1_script1_clean.wav"],
         "daps", {"f10", "m1"}),
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
    assert not listing.is_guessed


def test_the_tables_of_common_voice_name_its_speakers(tmp_path: Path) -> None:
    for number in range(3):
        write_speech(tmp_path / f"cv-corpus/en/clips/common_voice_en_{number}.wav", seed=number)
    rows = ["client_id\tpath\tsentence", "ada\tcommon_voice_en_0.wav\tYes", 'ben\tcommon_voice_en_1.wav\t"No']
    (tmp_path / "cv-corpus/en/validated.tsv").write_text("\n".join(rows))
    for root in (tmp_path / "cv-corpus", tmp_path / "cv-corpus/en/clips"):
        listing = speech_listing(root, 16_000)
        assert listing.layout == "common-voice"
        assert [r.speaker for r in listing.recordings][:2] == ["ada", "ben"]
        # The table lacks the third.
        assert [r.group_is_guessed for r in listing.recordings] == [False, False, True]


def test_damaged_tables_of_common_voice_name_the_others_and_change_no_settings_of_python(tmp_path: Path) -> None:
    write_speech(tmp_path / "en/clips/common_voice_en_0.wav")
    limit = csv.field_size_limit()
    rows = [b"client_id\tpath\tsentence", b"short", b"ada\tcommon_voice_en_0.wav\t" + b"x" * 2_000_000]
    (tmp_path / "en/a.tsv").write_bytes(b"\n".join(rows) + b"\n\xff\tother.wav\t")
    (tmp_path / "en/folder.tsv").mkdir()
    assert [r.speaker for r in speech_listing(tmp_path, 16_000).recordings] == ["ada"]
    assert csv.field_size_limit() == limit
    (tmp_path / "en/validated.tsv").symlink_to("gone.tsv")
    with pytest.raises(UsageError, match=r"validated\.tsv cannot be read \(No such file or directory\)"):
        speech_listing(tmp_path, 16_000)


def test_texts_that_are_too_large_end_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_speech(tmp_path / "84/121123/84-121123-0001.flac")
    (tmp_path / "84/121123/84-121123.trans.txt").write_text("84-121123-0001 GO DO YOU HEAR\n")
    monkeypatch.setattr("soundsright.data.layouts._MAX_TEXT_BYTES", 10)
    with pytest.raises(UsageError, match=r"84-121123\.trans\.txt is larger than 10 bytes"):
        speech_listing(tmp_path, 16_000)


def test_files_of_other_names_are_guesses(speech_dir: Path) -> None:
    assert speech_listing(speech_dir, 16_000).is_guessed
    write_speech(speech_dir.parent / "noise" / "rain.wav")
    assert noise_listing(speech_dir.parent / "noise", 16_000).is_guessed


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
        (["noise-free-sound-0001_1.wav", "noise-sound-bible-0002.wav", "music-fma-0001.wav"], "musan", 2),
        (["1-100032-A-0.wav", "5-100032-B-0.wav"], "esc-50", 2),
        (["fold1/7061-6-0-0.wav", "fold5/100032-3-0-0.wav"], "urbansound8k", 2),
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


def test_links_are_followed_and_each_file_counts_once(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for speaker in ("a", "b"):
        write_speech(store / speaker / "u.wav", seed=ord(speaker))
        (tmp_path / "linked").mkdir(exist_ok=True)
        (tmp_path / "linked" / speaker).symlink_to(store / speaker)
    (tmp_path / "linked/newest").symlink_to(store / "b")
    listing = speech_listing(tmp_path / "linked", 16_000)
    assert [r.id for r in listing.recordings] == ["a/u.wav", "b/u.wav"]
    assert {r.speaker for r in listing.recordings} == {"a", "b"}
    again = tmp_path / "linked/newest/u.wav"
    assert listing.skipped == {str(again): f"is the same file as {tmp_path / 'linked/b/u.wav'}"}


def test_a_file_keeps_its_own_name_beside_links_to_it(tmp_path: Path) -> None:
    own = write_speech(tmp_path / "z/own.wav")
    link = tmp_path / "a/link.wav"
    link.parent.mkdir()
    link.symlink_to(own)
    listing = speech_listing(tmp_path, 16_000)
    assert [r.id for r in listing.recordings] == ["z/own.wav"]
    assert listing.skipped == {str(link): f"is the same file as {own}"}


def test_a_link_to_nothing_and_hidden_files_are_skipped_with_the_reason(speech_dir: Path) -> None:
    (speech_dir / "speaker0/gone.wav").symlink_to("nowhere.wav")
    write_speech(speech_dir / ".Trash-1000/files/deleted.wav")
    write_speech(speech_dir / "speaker0/._0.wav")
    listing = speech_listing(speech_dir, 16_000)
    assert {r.speaker for r in listing.recordings} == {"speaker0", "speaker1"}
    assert {Path(path).name: reason.partition(" (")[0] for path, reason in listing.skipped.items()} == {
        ".Trash-1000": "is hidden",
        "._0.wav": "is hidden",
        "gone.wav": "is a link that leads nowhere",
    }


def test_a_named_pipe_is_no_recording(speech_dir: Path) -> None:
    os.mkfifo(speech_dir / "speaker0/pipe.wav")
    listing = speech_listing(speech_dir, 16_000)
    assert listing.skipped == {str(speech_dir / "speaker0/pipe.wav"): "is not a regular file"}


def test_a_folder_with_only_hidden_audio_says_so(tmp_path: Path) -> None:
    write_speech(tmp_path / "clean/._u.wav")
    with pytest.raises(UsageError, match=r"has no audio files\. 1 entry of .* left out, such as clean/\._u\.wav"):
        speech_listing(tmp_path, 16_000)


def test_a_file_name_that_is_not_utf8_is_skipped_in_printable_form(speech_dir: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    write_speech(speech_dir / "speaker0/renamed.wav")
    (speech_dir / "speaker0/renamed.wav").rename(speech_dir / "speaker0" / name)
    listing = speech_listing(speech_dir, 16_000)
    assert listing.skipped == {rf"{speech_dir}/speaker0/caf\xe9.wav": "has a name that is not UTF-8"}


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9.wav"), "\ud800.wav", "a\0b.wav"])
def test_a_name_that_no_file_can_have_is_a_problem_of_the_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(AudioFileError, match=r"(name|characters)") as told:
        facts_of(tmp_path / name)
    str(told.value).encode()
