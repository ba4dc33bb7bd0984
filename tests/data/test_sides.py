"""Nothing that is degraded is drawn as clean speech."""

import json
from pathlib import Path

import pytest

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
    drawn(tmp_path, "clean_wav/a.wav", "noisy_wav/a.wav")
    with pytest.raises(UsageError, match=r"noisy_wav is the degraded side of .*clean_wav by its name"):
        speech_listing(tmp_path / "noisy_wav", 16_000)
    assert len(speech_listing(tmp_path / "clean_wav", 16_000).recordings) == 1
    write_speech(tmp_path / "other" / "noisy" / "a.wav")
    with pytest.raises(UsageError, match=r"other has no clean speech: .*noisy is degraded speech by its name"):
        speech_listing(tmp_path / "other", 16_000)
    # Without a clean side, the user's own word counts.
    assert len(speech_listing(tmp_path / "other" / "noisy", 16_000).recordings) == 1


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
