"""The speakers, noises and rooms that paths name for certain, and those that only look like it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from soundsright.core.errors import UsageError
from soundsright.data.directories import Listing, noise_listing, rir_listing, speech_listing
from soundsright.data.splits import Split

from .conftest import write_speech


def written(root: Path, *files: str) -> Path:
    for number, name in enumerate(files):
        write_speech(root / name, seed=number, seconds=0.6)
    return root


@pytest.mark.parametrize(
    ("root", "files", "speakers"),
    [
        ("exp123", ["p001/emo_anger_sentences.wav", "p002/rainbow_01.wav"], {"p001", "p002"}),
        ("p999", ["p001/emo_anger_sentences.wav", "p002/rainbow_01.wav"], {"p001", "p002"}),
        ("dump1_16k", ["p225/p225_001.wav", "p226/p226_002.wav"], {"p225", "p226"}),
        ("clips2_0", ["p225/P225_001.WAV", "P225/p225_002.wav"], {"p225"}),
        ("id00009", ["id10001/a/00001.wav", "id10002/b/00001.wav"], {"id10001", "id10002"}),
        ("a_reader_7_b", ["book_1_reader_06709_0.wav", "book_2_reader_00012_3.wav"], {"06709", "00012"}),
        ("fabc1", ["TRAIN/DR1/FCJF0/SA1.WAV", "train/dr1/fcjf0/sa2.wav"], {"FCJF0"}),
        ("x", ["cmu_us_bdl_arctic-0.95/wav/arctic_a0001.wav", "cmu_us_bdl_arctic/wav/arctic_a0002.wav"],
         {"cmu_us_bdl_arctic"}),
        ("84", ["121123/84-121123-0001.flac", "121550/84-121550-0001.flac"], {"84"}),
        ("121123", ["84-121123-0001.flac"], {"84"}),
    ],
)  # fmt: skip
def test_the_folder_of_a_corpus_names_no_speaker(
    tmp_path: Path, root: str, files: list[str], speakers: set[str]
) -> None:
    listing = speech_listing(written(tmp_path / root, *files), 16_000)
    assert {recording.speaker for recording in listing.recordings} == speakers
    assert not listing.is_guessed


@pytest.mark.parametrize(
    "files",
    [
        [f"{year}-03-0900.wav" for year in range(2000, 2012)],
        ["2023/01/2023-01-1530.wav", "2024/11/2024-11-1530.wav"],
        ["2023/11/2023-11-1530.wav", "11/2022-11-1530.wav"],
        ["20230115_1_093000.wav", "20230116_1_093000.wav"],
        ["20230115/1/20230115_1_093000.wav", "20230116/1/20230116_1_093000.wav"],
        ["20230115_093000_123456_000001.wav", "20230116_093000_123456_000001.wav"],
        ["19-198-0001.flac", "26-495-0000.flac"],
        ["a/19-198-0001.flac", "b/26-495-0000.flac"],
        ["84_121123_000007_000001.wav", "174_50561_000000_000001.wav"],
        ["p1/p1_001.wav", "p2/p2_001.wav"],
        ["v1/wav/arctic_a0001.wav", "v2/wav/arctic_a0001.wav"],
        ["23-01-15-09-30-00-01.wav", "23-01-16-09-30-00-02.wav"],
        ["1999_JAN_FRI_AM.wav", "1998_FEB_MON_PM.wav"],
    ],
)
def test_names_that_can_be_dates_or_counts_are_guesses(tmp_path: Path, files: list[str]) -> None:
    root = written(tmp_path / "own", *files)
    assert all(recording.group_is_guessed for recording in speech_listing(root, 16_000).recordings)
    with pytest.raises(UsageError, match=r"The speakers in .*own are not known"):
        speech_listing(root, 16_000, split=Split.TRAIN)


@pytest.mark.parametrize(
    ("files", "corpus", "speakers"),
    [
        (["19-198-0001.flac", "26-495-0000.flac"], "librispeech", {"19", "26"}),
        (["84_121123_000007_000001.wav", "174_50561_000000_000001.wav"], "libritts", {"84", "174"}),
        (["10148_10119_000000.flac", "12_9_000000.flac"], "mls", {"10148", "12"}),
    ],
)
def test_the_refusal_of_a_flat_corpus_names_the_option_that_admits_it(
    tmp_path: Path, files: list[str], corpus: str, speakers: set[str]
) -> None:
    root = written(tmp_path / "flat", *files)
    with pytest.raises(UsageError, match=rf"Add --speaker-by {corpus} if the files are of that corpus"):
        speech_listing(root, 16_000, split=Split.TRAIN)
    listing = speech_listing(root, 16_000, by=corpus)
    assert {recording.speaker for recording in listing.recordings} == speakers
    assert not listing.is_guessed


def test_transcripts_beside_the_files_show_a_corpus(tmp_path: Path) -> None:
    root = written(tmp_path / "flat", "19-198-0001.flac", "26-495-0000.flac")
    (root / "19-198.trans.txt").write_text("19-198-0001 YES\n")
    listing = speech_listing(root, 16_000)
    assert [recording.group_is_guessed for recording in listing.recordings] == [False, True]


@pytest.mark.parametrize(
    ("listing", "root", "files", "groups"),
    [
        (noise_listing, "noise-run-1", ["noise/free-sound/noise-free-sound-0001.wav"],
         {"free-sound/noise-free-sound-0001.wav"}),
        (noise_listing, "TBUS", ["ch01.wav"], {"TBUS"}),
        (noise_listing, "a_Freesound_b_1", ["c_Freesound_validated_12_0.wav"], {"validated_12"}),
        (rir_listing, "VUT_all", ["VUT_L207/MicID01/SpkID01/RIR/a.wav", "VUT_L212/MicID01/SpkID01/RIR/a.wav"],
         {"VUT_L207", "VUT_L212"}),
        (rir_listing, "IR_numClosed_1_numComb_1_", ["IR_numClosed_12_numComb_7_mic_1_sweep_1.wav"],
         {"numClosed_12_numComb_7"}),
    ],
)  # fmt: skip
def test_the_folder_of_a_corpus_names_no_noise_and_no_room(
    tmp_path: Path, listing: Callable[[Path, int], Listing], root: str, files: list[str], groups: set[str]
) -> None:
    found = listing(written(tmp_path / root, *files), 16_000)
    assert {recording.group for recording in found.recordings} == groups
    assert not found.is_guessed
