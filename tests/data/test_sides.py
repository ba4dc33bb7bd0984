"""Nothing that is degraded is drawn as clean speech."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundsright.core.errors import UsageError
from soundsright.data.directories import noise_listing, speech_listing
from soundsright.data.recipe import SetRecipe
from soundsright.library import generate

from .conftest import write_speech


def drawn(root: Path, *files: str) -> set[str]:
    for number, name in enumerate(files):
        write_speech(root / name, seed=number, seconds=1.0)
    return {recording.id for recording in speech_listing(root, 16_000).recordings}


@pytest.mark.parametrize(
    ("files", "clean"),
    [
        (["clean_testset_wav/p232_001.wav", "noisy_testset_wav/p232_001.wav"], ["clean_testset_wav/p232_001.wav"]),
        (["train/clean/a.wav", "train/noisy/a.wav", "test/clean/b.wav", "test/noisy/b.wav"],
         ["train/clean/a.wav", "test/clean/b.wav"]),
        (["EARS/clean/p001/a.wav", "EARS/reverberant/p001/a.wav"], ["EARS/clean/p001/a.wav"]),
        (["clean/a.wav", "degraded/a.wav", "enhanced/a.wav"], ["clean/a.wav"]),
        (["clean_fullband/a.wav", "noise_fullband/b.wav", "impulse_responses/c.wav"], ["clean_fullband/a.wav"]),
        (["speech/librivox/a.wav", "noise/free-sound/b.wav", "music/fma/c.wav"], ["speech/librivox/a.wav"]),
        (["train/s1/a.wav", "train/s2/a.wav", "train/mix_both/a.wav", "train/mix_clean/a.wav"],
         ["train/s1/a.wav", "train/s2/a.wav"]),
        (["NoisySpeech/a.wav", "CleanSpeech/a.wav"], ["CleanSpeech/a.wav"]),
        (["clean_fileid_1.wav", "noisy_fileid_1.wav", "noise_fileid_1.wav"], ["clean_fileid_1.wav"]),
        (["a_clean.wav", "a_noisy.wav"], ["a_clean.wav"]),
        (["clean_trainset_28spk_wav/a.wav", "noisyreverb_trainset_28spk_wav/a.wav"],
         ["clean_trainset_28spk_wav/a.wav"]),
        (["clean_trainset_wav_16k/a.wav", "device-recorded_trainset_wav_16k/a.wav"],
         ["clean_trainset_wav_16k/a.wav"]),
        (["cleanspeech/a.wav", "noisyspeech/a.wav"], ["cleanspeech/a.wav"]),
        (["clean/a.wav", "snr_0/a.wav", "0dB/a.wav"], ["clean/a.wav"]),
        (["u0.wav", "u0_noisy.wav", "u1.wav", "u1_5dB.wav", "noisy_u1.wav"], ["u0.wav", "u1.wav"]),
        (["a.wav", "a-reverb.wav", "a-b.wav"], ["a.wav", "a-b.wav"]),
        # Not a pair: LibriSpeech's parts are all clean speech, and so is what lies beside the word alone.
        (["train-clean-100/1-1-0001.flac", "train-other-500/2-1-0001.flac"],
         ["train-clean-100/1-1-0001.flac", "train-other-500/2-1-0001.flac"]),
        (["anna/a.wav", "mix/b.wav"], ["anna/a.wav", "mix/b.wav"]),
        (["anna/a.wav", "noisy/b.wav"], ["anna/a.wav"]),
    ],
)  # fmt: skip
def test_only_the_clean_side_is_drawn(tmp_path: Path, files: list[str], clean: list[str]) -> None:
    assert drawn(tmp_path / "data", *files) == set(clean)


def test_what_was_left_out_is_told(tmp_path: Path) -> None:
    drawn(tmp_path, "clean/a.wav", "noisy/a.wav", "noisy/b.wav")
    reason = "is not clean speech by its name: only clean beside it is"
    assert speech_listing(tmp_path, 16_000).skipped == {str(tmp_path / "noisy"): reason}


def test_a_degraded_side_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    drawn(data, "clean_wav/a.wav", "noisy_wav/a.wav")
    with pytest.raises(UsageError, match=r"noisy_wav is the degraded side of .*clean_wav by its name"):
        speech_listing(data / "noisy_wav", 16_000)
    assert len(speech_listing(data / "clean_wav", 16_000).recordings) == 1
    write_speech(data / "other" / "noisy" / "a.wav")
    with pytest.raises(UsageError, match=r"other has no clean speech: .*noisy is degraded speech by its name"):
        speech_listing(data / "other", 16_000)
    with pytest.raises(UsageError, match=r"other/noisy has degraded speech by its name"):
        speech_listing(data / "other" / "noisy", 16_000)


@pytest.mark.parametrize("sides", [("target", "input"), ("gt", "lq"), ("snr_0", "snr_5")])
def test_two_versions_without_a_clean_name_are_refused(tmp_path: Path, sides: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=f"{min(sides)} and .*{max(sides)} have versions of the same recordings"):
        drawn(tmp_path / "data", *(f"{side}/a.wav" for side in sides))


def versions(root: Path, first: str, second: str, *, rng_seed: int, noise: float) -> None:
    path = write_speech(root / first, seed=1, seconds=1.0)
    samples, rate = soundfile.read(path)
    (root / second).parent.mkdir(parents=True, exist_ok=True)
    hiss = noise * np.random.default_rng(rng_seed).standard_normal(samples.size)
    soundfile.write(root / second, samples + hiss, rate)


def test_folders_whose_files_agree_in_time_are_versions(tmp_path: Path) -> None:
    versions(tmp_path / "data", "raw/a.wav", "street/a.wav", rng_seed=2, noise=0.05)
    with pytest.raises(UsageError, match=r"raw and .*street have versions of the same recordings"):
        speech_listing(tmp_path / "data", 16_000)
    versions(tmp_path / "named", "clean/p1/a.wav", "street/p1/a.wav", rng_seed=2, noise=0.05)
    assert [r.id for r in speech_listing(tmp_path / "named", 16_000).recordings] == ["clean/p1/a.wav"]
    # Two microphones of the same speech are both clean.
    versions(tmp_path / "mics", "mic1/a.wav", "mic2/a.wav", rng_seed=2, noise=0.05)
    assert len(speech_listing(tmp_path / "mics", 16_000).recordings) == 2


@pytest.mark.parametrize(
    "files",
    [
        ["TRAIN/DR1/FCJF0/SA1.WAV", "TRAIN/DR1/FDAW0/SA1.WAV", "TEST/DR1/MABW0/SA1.WAV"],
        ["bdl/wav/arctic_a0001.wav", "slt/wav/arctic_a0001.wav"],
        ["yes/0a7c_nohash_0.wav", "no/0a7c_nohash_0.wav"],
        ["wav48/p225/p225_001_mic1.flac", "wav48/p226/p226_001_mic1.flac"],
        ["clean/f10_script1_clean.wav", "clean/m1_script1_clean.wav"],
    ],
)
def test_equal_names_and_lengths_alone_are_no_versions(tmp_path: Path, files: list[str]) -> None:
    assert drawn(tmp_path / "data", *files) == set(files)


@pytest.fixture
def own_set(tmp_path: Path) -> Path:
    for number, name in enumerate(("p226_001", "p226_002", "p287_001")):
        write_speech(tmp_path / "data" / f"{name}.wav", seed=number)
    generate(tmp_path / "set", count=4, speech=tmp_path / "data", noise="pink")
    return tmp_path / "set"


def test_a_set_gives_its_clean_files_and_their_speakers(own_set: Path) -> None:
    lines = [json.loads(line) for line in (own_set / "manifest.jsonl").read_text().splitlines()]
    for folder in (own_set, own_set / "clean"):
        listing = speech_listing(folder, 16_000)
        assert (listing.layout, listing.is_guessed) == ("set", False)
        assert [(r.path, r.speaker) for r in listing.recordings] == [
            (own_set / line["files"]["clean"], line["speaker"]) for line in lines
        ]
    assert "only clean is drawn from" in speech_listing(own_set, 16_000).skipped[str(own_set / "noisy")]


def test_the_degraded_files_of_a_set_are_no_source(own_set: Path) -> None:
    for listing in (speech_listing, noise_listing):
        with pytest.raises(UsageError, match=r"noisy is the degraded side of the set|noisy belongs to the set"):
            listing(own_set / "noisy", 16_000)
    with pytest.raises(UsageError, match=r"set belongs to the set .* Give a folder of noise"):
        noise_listing(own_set, 16_000)


def test_a_set_among_recordings_is_left_out(own_set: Path, tmp_path: Path) -> None:
    own_set.rename(tmp_path / "data" / "set1")
    listing = speech_listing(tmp_path / "data", 16_000)
    assert [r.id for r in listing.recordings] == ["p226_001.wav", "p226_002.wav", "p287_001.wav"]
    assert "is a generated set" in listing.skipped[str(tmp_path / "data" / "set1")]
    assert len(noise_listing(tmp_path / "data", 16_000).recordings) == 3


def test_a_set_inside_its_own_source_is_refused(own_set: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with pytest.raises(UsageError, match=r"--out .*data/set1 lies inside --speech .*data, so later sets would"):
        generate(data / "set1", count=2, speech=data, noise="pink")
    with pytest.raises(UsageError, match=r"--out .* lies inside --noise .*data"):
        generate(data / "deep" / "set1", count=2, noise=f"pink,{data}")
    assert not (data / "set1").exists()
    assert next(generate(count=1, speech=data, noise="pink")).id == "000000"


def test_targets_with_reflections_are_not_clean(tmp_path: Path, own_set: Path) -> None:
    recipe = SetRecipe(early_reflections_s=0.05)
    generate(tmp_path / "wet", count=2, task="dereverberation", recipe=recipe)
    for folder in (tmp_path / "wet", tmp_path / "wet" / "clean"):
        with pytest.raises(UsageError, match="has no clean speech: its targets keep early reflections"):
            speech_listing(folder, 16_000)
    (own_set / "manifest.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match=r"manifest.jsonl, line 1, does not name a clean file"):
        speech_listing(own_set, 16_000)
    (own_set / "set.json").rename(own_set / ".journal.jsonl")
    with pytest.raises(UsageError, match="is not complete"):
        speech_listing(own_set, 16_000)
