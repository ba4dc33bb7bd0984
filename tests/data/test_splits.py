import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from soundsright.core.errors import UsageError
from soundsright.data import SetJob, generate_set
from soundsright.data.choice import SourceChoice
from soundsright.data.clips import corpus_sources
from soundsright.data.corpora import Corpus
from soundsright.data.directories import Listing, noise_listing, rir_listing, speech_listing
from soundsright.data.origins import compared
from soundsright.data.recipe import SetRecipe, SetTask
from soundsright.data.rooms import simulated_room
from soundsright.data.splits import Split, in_split, split_of
from soundsright.library import generate

from .conftest import lines_of, write_speech

RECIPE = SetRecipe(measured_rirs=0.5)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.open()


@pytest.fixture(scope="module")
def sets(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One set of each split, from the same seed."""
    root = tmp_path_factory.mktemp("splits")
    for split in Split:
        sources = corpus_sources(corpus, 16_000, RECIPE, split=split)
        job = SetJob(root / split, SetTask.BOTH, 16_000, 40, 1, sources, RECIPE)
        generate_set(job)
    return root


@pytest.mark.parametrize(("one", "other"), list(combinations(Split, 2)))
def test_sets_of_two_splits_share_no_speaker_no_noise_and_no_room(sets: Path, one: Split, other: Split) -> None:
    both = compared(sets / one, sets / other)
    assert not both.shared
    for side in (both.first, both.second):
        assert side.speakers
        assert side.noises
        assert len(side.rooms) > 10


def test_a_set_shares_all_its_origins_with_itself(sets: Path) -> None:
    both = compared(sets / "train", sets / "train" / "manifest.jsonl")
    lines = lines_of(sets / "train")
    # Babble adds the voices of other speakers.
    assert {line["speaker"] for line in lines} <= both.shared.speakers
    assert {name for line in lines for name in line["drawn_from"]["speakers"]} == both.shared.speakers
    assert {name for line in lines for name in line["drawn_from"]["noises"]} == both.shared.noises
    assert {line["split"] for line in lines} == {"train"}
    assert json.loads((sets / "train" / "set.json").read_text())["split"] == "train"
    microphones = {line["rir"] for line in lines if line["rir"].startswith("rir-")}
    assert {name.removesuffix("-a").removesuffix("-b") for name in microphones} == {"rir-bathroom"}
    assert "bathroom" in both.shared.rooms


def test_the_shipped_material_is_in_one_split_each_and_all_of_it_in_some(corpus: Corpus) -> None:
    for rate in (16_000, 48_000):
        for kind, all_of_it in (
            ("speech_for", [r for r in corpus.speech if rate == 16_000 or r.sample_rate_hz > 24_000]),
            ("noise_for", corpus.noise_for(rate).recordings),
            ("rirs_for", corpus.rirs_for(rate).recordings),
        ):
            parts = [{r.id for r in getattr(corpus, kind)(rate, split).recordings} for split in Split]
            assert set.union(*parts) == {r.id for r in all_of_it}
            assert sum(map(len, parts)) == len(all_of_it)


def test_the_test_split_has_a_language_that_is_not_in_training(corpus: Corpus) -> None:
    languages = {split: {r.language for r in corpus.speech_for(16_000, split).recordings} for split in Split}
    assert "fr" in languages[Split.TEST] - languages[Split.TRAIN]


def test_most_groups_are_for_training_and_each_keeps_its_split() -> None:
    counts = {split: sum(split_of(f"speaker-{n}") is split for n in range(2_000)) for split in Split}
    assert 1_500 < counts[Split.TRAIN] < 1_700
    assert 150 < counts[Split.VALID] < 250
    assert 150 < counts[Split.TEST] < 250
    assert [split_of(f"p{n}") for n in (225, 228, 239)] == [Split.TRAIN, Split.TEST, Split.VALID]


def test_simulated_rooms_keep_to_their_split_and_their_range_of_times() -> None:
    for split in Split:
        rng = np.random.default_rng(3)
        rooms = [simulated_room(rng, 16_000, rt60_s=(0.2, 2.0), split=split) for _ in range(30)]
        assert {split_of(room.group) for room in rooms} == {split}
        times = [room.rt60_s for room in rooms]
        assert min(times) < 0.6
        assert max(times) > 1.6


def test_a_directory_is_split_by_speaker_not_by_file(tmp_path: Path) -> None:
    for number in range(36):
        write_speech(tmp_path / f"p{225 + number // 2}" / f"{number}.wav", seed=number)
    parts = {split: speech_listing(tmp_path, 16_000, split=split, by="folder").recordings for split in Split}
    assert sum(map(len, parts.values())) == 36
    assert {r.speaker for r in parts[Split.TEST]} == {"p228", "p241"}
    (tmp_path / "p500").mkdir()
    write_speech(tmp_path / "p500" / "new.wav")
    later = speech_listing(tmp_path, 16_000, split=Split.TEST, by="folder").recordings
    assert {r.speaker for r in later} >= {"p228", "p241"}


@pytest.mark.parametrize(
    ("listing", "files", "groups"),
    [
        (rir_listing, ["simulated_rirs/smallroom/Room001/Room001-00001.wav",
                       "simulated_rirs/smallroom/Room001/Room001-00002.wav",
                       "real_rirs_isotropic_noises/air_type1_air_binaural_lecture_0_1.wav",
                       "real_rirs_isotropic_noises/air_type1_air_phone_lecture_hfrp.wav",
                       "real_rirs_isotropic_noises/RVB2014_type2_rir_largeroom1_near_angla.wav",
                       "real_rirs_isotropic_noises/RWCP_type1_rir_cirline_jr1_imp_rev_rir000.wav"],
         {"smallroom/Room001", "lecture", "RVB2014_type2_rir_largeroom1", "RWCP"}),
        (rir_listing, ["VUT_FIT_L207/MicID01/SpkID01_1/01/RIR/IR_sweep.wav",
                       "VUT_FIT_L207/MicID01/SpkID01_1/02/RIR/IR_sweep.wav",
                       "Hotel_SkalskyDvur_Room112/MicID01/SpkID02_1/01/RIR/IR_sweep.wav"],
         {"VUT_FIT_L207", "Hotel_SkalskyDvur_Room112"}),
        (rir_listing, ["IR_numClosed_12_numComb_7_mic_1_sweep_1.wav",
                       "IR_numClosed_12_numComb_7_mic_2_sweep_1.wav"], {"numClosed_12_numComb_7"}),
        (noise_listing, ["TBUS/ch01.wav", "TCAR/ch01.wav"], {"TBUS", "TCAR"}),
        # The parts of a recording belong together, and to the split of the whole.
        (noise_listing, ["noise/free-sound/noise-free-sound-0001.wav"], {"free-sound/noise-free-sound-0001.wav"}),
        (noise_listing, ["musan_split/noise/free-sound/noise-free-sound-0001/00000.wav",
                         "musan_split/noise/free-sound/noise-free-sound-0001/00003.wav"],
         {"free-sound/noise-free-sound-0001.wav"}),
        (noise_listing, ["noise-sound-bible-0002-1.wav", "noise-sound-bible-0002-2.wav"],
         {"sound-bible/noise-sound-bible-0002.wav"}),
        (noise_listing, ["1-100032-A-0.wav", "1-100032-B-0.wav", "2-7-A-3.wav"], {"100032", "7"}),
        (noise_listing, ["7061-6-0-0.wav", "7061-6-0-1.wav"], {"7061"}),
        (noise_listing, ["door_Freesound_validated_12_0.wav", "door_Freesound_validated_12_1.wav",
                         "aFe3.wav"], {"validated_12", "aFe3"}),
    ],
)  # fmt: skip
def test_files_of_one_room_or_recording_are_one_group(
    tmp_path: Path, listing: Callable[[Path, int], Listing], files: list[str], groups: set[str]
) -> None:
    for number, name in enumerate(files):
        write_speech(tmp_path / name, seed=number)
    assert {r.group for r in listing(tmp_path, 16_000).recordings} == groups


def test_part_of_a_corpus_is_split_like_the_whole(tmp_path: Path) -> None:
    for number, name in enumerate(("wham/tr/a.wav", "wham/tt/b.wav", "rain/c.wav", "rain/d.wav", "rain/e.wav")):
        write_speech(tmp_path / name, seed=number)
    whole = {r.path: (r.group, r.split) for r in noise_listing(tmp_path / "wham", 16_000).recordings}
    for part in ("tr", "tt"):
        for recording in noise_listing(tmp_path / "wham" / part, 16_000).recordings:
            assert (recording.group, recording.split) == whole[recording.path]
    groups = {r.path: r.group for r in noise_listing(tmp_path, 16_000).recordings}
    for recording in noise_listing(tmp_path / "rain", 16_000).recordings:
        assert recording.group == groups[recording.path]


def test_a_split_that_the_corpus_states_overrides_the_hash(tmp_path: Path) -> None:
    for number, name in enumerate(("tr/a.wav", "cv/b.wav", "tt/c.wav", "tt/d.wav")):
        write_speech(tmp_path / name, seed=number)
    listed = noise_listing(tmp_path, 16_000).recordings
    assert {r.id for r in in_split(listed, Split.TEST)} == {"tt/c.wav", "tt/d.wav"}


def test_a_directory_of_one_speaker_cannot_serve_every_split(tmp_path: Path) -> None:
    write_speech(tmp_path / "anna" / "1.wav")
    (split, *_) = [s for s in Split if s is not split_of("anna")]
    with pytest.raises(UsageError, match=f"The split {split} has none of the 1 speakers in "):
        SourceChoice(16_000, split, groups_by={"speech": "folder"}).speech(str(tmp_path))


def test_a_manifest_without_origins_proves_nothing(sets: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text('{"id": "000000"}\n')
    with pytest.raises(UsageError, match=r"line 1, does not name the speakers, noises and rooms of its item"):
        compared(sets / "train", tmp_path)
    with pytest.raises(UsageError, match="There is no manifest"):
        compared(sets / "train", tmp_path / "missing")


def guessing_set(out: Path, *, speech: Path, seed: int) -> Path:
    """A set of four items whose speakers nothing but the names of files can tell."""
    generate(out, count=4, speech=speech, noise="pink", seed=seed)
    return out


def test_a_split_of_guessed_speakers_is_refused_and_a_rule_is_the_remedy(tmp_path: Path) -> None:
    for number in range(24):
        write_speech(tmp_path / f"voice{number // 2}-{number % 2}.wav", seed=number)
    with pytest.raises(UsageError, match=r"The speakers in .* not known.*voice0-0\.wav.*Add --speaker-by REGEX"):
        speech_listing(tmp_path, 16_000, split=Split.TRAIN)
    by = r"(?P<other>voice)(?P<name>\d+)-"
    parts = {split: speech_listing(tmp_path, 16_000, split=split, by=by).recordings for split in (Split.TRAIN,)}
    assert {r.speaker for r in parts[Split.TRAIN]} == {str(n) for n in range(12) if split_of(str(n)) is Split.TRAIN}
    assert not speech_listing(tmp_path, 16_000, by=by).is_guessed


@pytest.mark.parametrize(
    ("listing", "option"), [(noise_listing, "--noise-by file"), (rir_listing, "--room-by folder")]
)
def test_a_split_of_guessed_noises_or_rooms_is_refused(
    tmp_path: Path, listing: Callable[..., Listing], option: str
) -> None:
    for number in range(30):
        write_speech(tmp_path / f"room{number}" / "a.wav", seed=number, seconds=0.3)
    with pytest.raises(UsageError, match=f"are not known.*{option} if "):
        listing(tmp_path, 16_000, split=Split.TRAIN)
    assert len(listing(tmp_path, 16_000, split=Split.TRAIN, by=option.split()[1]).recordings) > 10


def test_a_few_files_without_a_speaker_belong_to_no_split(tmp_path: Path) -> None:
    for name in ("p226_001", "p226_002", "p227_001", "intro"):
        write_speech(tmp_path / f"{name}.wav")
    split = split_of("p226")
    listing = speech_listing(tmp_path, 16_000, split=split)
    assert "intro.wav" not in {r.id for r in listing.recordings}
    assert "has no speaker in its path" in listing.skipped[str(tmp_path / "intro.wav")]
    assert "intro.wav" in {r.id for r in speech_listing(tmp_path, 16_000).recordings}


def test_a_corpus_that_does_not_name_its_speakers_has_no_splits(tmp_path: Path) -> None:
    lines = []
    for number in range(3):
        write_speech(tmp_path / f"{number}.wav", seed=number)
        lines.append({"kind": "speech", "id": f"s{number}", "file": f"{number}.wav"})
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    corpus = Corpus.open(tmp_path)
    assert len(corpus.speech_for(16_000)) == 3
    with pytest.raises(UsageError, match=r"does not name the speaker of s0.*Add `speaker`, `group` or `split`"):
        corpus.speech_for(16_000, Split.TRAIN)


def test_sets_with_guessed_speakers_are_not_proved_disjoint(tmp_path: Path) -> None:
    for number in range(8):
        write_speech(tmp_path / f"speech{number % 2}" / f"{number}.wav", seed=number)
    one, other = (guessing_set(tmp_path / f"set{n}", speech=tmp_path / f"speech{n}", seed=n) for n in range(2))
    summary = json.loads((one / "set.json").read_text())
    assert summary["guessed_groups"] == {"speakers": [str(tmp_path / "speech0")]}
    both = compared(one, other)
    assert not both.shared
    assert list(both.unknown) == ["speakers"]
    assert "guessed from the paths in" in both.unknown["speakers"]
    # What is shared by name is known to be shared.
    assert not compared(one, one).unknown


def test_a_set_of_an_older_version_is_not_proved_disjoint_either(tmp_path: Path) -> None:
    for number in range(4):
        write_speech(tmp_path / "speech" / f"{number}.wav", seed=number)
    older = guessing_set(tmp_path / "older", speech=tmp_path / "speech", seed=0)
    newer = tmp_path / "newer"
    generate(newer, count=4, noise="pink")
    summary = json.loads((older / "set.json").read_text())
    del summary["guessed_groups"]
    (older / "set.json").write_text(json.dumps(summary))
    assert list(compared(older, newer).unknown) == ["speakers"]
    (older / "set.json").unlink()
    assert list(compared(newer, older).unknown) == ["speakers"]
    (older / "set.json").write_text("[" * 100_000)
    with pytest.raises(UsageError, match=r"set\.json is nested too deep"):
        compared(newer, older)


def test_known_speakers_are_proved_disjoint(tmp_path: Path) -> None:
    for number, name in enumerate(("a/p226_001", "a/p226_002", "b/p287_001", "b/p287_002")):
        write_speech(tmp_path / f"{name}.wav", seed=number)
    one, other = (guessing_set(tmp_path / f"set-{n}", speech=tmp_path / n, seed=0) for n in "ab")
    both = compared(one, other)
    assert [sorted(side.speakers) for side in (both.first, both.second)] == [["p226"], ["p287"]]
    assert not both.unknown
