from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import AudioFileError, UsageError
from soundsright.corpus import CorpusKey, Plan, PrivateCorpus, build_corpus, is_private_corpus
from soundsright.corpus.records import Leaf
from soundsright.data import Corpus, SourceChoice, draw_clip, verified
from tests.corpus.conftest import ChangeByte, some


def test_the_same_round_has_the_same_recordings_wherever_it_is_opened(built: tuple[Path, Path]) -> None:
    first, second = PrivateCorpus.open(*built), PrivateCorpus.open(*built)
    for number in (4, 0, 5, 2):  # A validator may miss rounds, or run them again.
        assert first.at(number) == second.at(number)
    assert [r.id for r in first.at(0).speech] != [r.id for r in first.at(1).speech]


def test_a_round_has_fresh_speech_that_no_earlier_round_had(corpus: PrivateCorpus) -> None:
    seen: set[str] = set()
    for number in range(corpus.last_round + 1):
        pool = corpus.at(number)
        ids = {recording.id for recording in pool.speech}
        assert pool.fresh == ids - seen
        assert len(ids) == 9
        assert pool.noise
        seen |= ids
    assert corpus.rounds_left(0) == 6


def test_a_recording_lives_until_the_last_round_that_may_use_it(corpus: PrivateCorpus) -> None:
    for number in range(corpus.last_round + 1):
        pool = corpus.at(number)
        used = {r.id for r in (*pool.speech, *pool.noise, *pool.rirs)}
        assert used <= corpus.living(number)
        for recording_id in used - corpus.living(number + 1):
            assert corpus.retired_round_of(recording_id) == number + 1


def test_a_recording_that_is_retired_or_not_yet_in_use_is_refused_with_its_round(corpus: PrivateCorpus) -> None:
    first = next(iter(corpus.at(0).fresh - {r.id for r in corpus.at(1).speech}))
    last = next(iter(corpus.at(5).fresh))
    assert corpus.recording_in(0, first).id == first
    with pytest.raises(UsageError, match=f"{first} retired after round 0; this is round 2"):
        corpus.recording_in(2, first)
    with pytest.raises(UsageError, match=f"{last} is first used in round 5; this is round 2"):
        corpus.recording_in(2, last)
    with pytest.raises(UsageError, match="rounds up to 5, and this is round 6"):
        corpus.recording_in(6, last)
    with pytest.raises(UsageError, match="has no recording 'nothing'"):
        corpus.retired_round_of("nothing")


def test_a_pool_draws_clips_like_any_corpus_also_in_another_process(corpus: PrivateCorpus) -> None:
    here = corpus.at(1)
    there: Corpus = pickle.loads(pickle.dumps(here))
    competition = next(c for c in PUBLISHED if c.sample_rate_hz == 16_000)
    clip = draw_clip(competition, 7, 3, corpus=here)
    assert draw_clip(competition, 7, 3, corpus=there).digest == clip.digest
    assert (here.digest, here.is_public) == (corpus.root, False)
    long = here.noise_for(16_000)
    assert np.array_equal(long.part(0, 16_000, start=100, count=50), long.samples(0, 16_000)[100:150])


def test_no_file_of_the_corpus_shows_a_name_a_text_a_speaker_or_audio(built: tuple[Path, Path]) -> None:
    folder, key = built
    assert is_private_corpus(folder)
    secrets = [
        b"Secret sentence",
        b"Speaker",
        b"speech-file",
        b"fLaC",
        b"a studio of our own",
        key.read_bytes().strip(),
    ]
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret in content], path
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_key_is_never_shown(corpus: PrivateCorpus) -> None:
    shown = repr(corpus) + repr(corpus.at(0)) + repr(corpus.entries[0]) + str(corpus.key)
    assert corpus.key.secret.hex() not in shown
    assert repr(corpus.key.secret) not in shown


def test_a_key_is_complete_or_absent_if_its_writing_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_descriptor: int) -> None:
        raise SystemExit(137)

    key = CorpusKey.new()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(SystemExit):
            key.write(tmp_path / "corpus.key")
    assert not (tmp_path / "corpus.key").exists()
    key.write(tmp_path / "corpus.key")
    assert CorpusKey.read(tmp_path / "corpus.key") == key
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.key"]
    with pytest.raises(UsageError, match="exists"):
        CorpusKey.new().write(tmp_path / "corpus.key")
    assert CorpusKey.read(tmp_path / "corpus.key") == key


def test_a_key_that_is_lost_wrong_or_readable_by_others_is_named(copied: tuple[Path, Path], tmp_path: Path) -> None:
    folder, key = copied
    with pytest.raises(UsageError, match=r"lost\.key: the corpus key cannot be read .*Restore it"):
        PrivateCorpus.open(folder, tmp_path / "lost.key")
    CorpusKey.new().write(tmp_path / "other.key")
    with pytest.raises(UsageError, match=r"other\.key \(fingerprint .* is not the key of"):
        PrivateCorpus.open(folder, tmp_path / "other.key")
    key.chmod(0o640)
    with pytest.raises(UsageError, match=r"can be read or changed by others \(mode 0640\)\. Run `chmod 600"):
        PrivateCorpus.open(folder, key)
    key.chmod(0o600)
    key.write_text("something else")
    with pytest.raises(UsageError, match="has no corpus key"):
        PrivateCorpus.open(folder, key)


def test_a_recording_changed_by_one_byte_is_named(copied: tuple[Path, Path], change_byte: ChangeByte) -> None:
    corpus = PrivateCorpus.open(*copied)
    recording = corpus.at(0).speech[0]
    change_byte(recording.path)
    with pytest.raises(AudioFileError, match=f"{recording.path.name}: was changed since it was encrypted"):
        recording.audio()


def test_a_recording_in_the_place_of_another_is_noticed(copied: tuple[Path, Path]) -> None:
    first, second = PrivateCorpus.open(*copied).at(0).speech[:2]
    first.path.write_bytes(second.path.read_bytes())
    with pytest.raises(AudioFileError, match="was changed since it was encrypted"):
        first.audio()


def test_two_recordings_of_one_id_are_refused_because_one_would_retire_with_the_other(tmp_path: Path) -> None:
    # Salts and names of files take turns: all salts are the same.
    drawn = (text for number in range(100) for text in ("0" * 32, f"{number:032x}"))
    plan = Plan(uses=2, fresh=2, token=lambda _bytes: next(drawn))
    material = [*some("speech", range(4)), *some("noise", range(2))]
    with pytest.raises(UsageError, match="two recordings with one id"):
        build_corpus(tmp_path / "new", tmp_path / "new.key", material, plan=plan)


def test_a_changed_description_is_noticed(copied: tuple[Path, Path], change_byte: ChangeByte) -> None:
    folder, key = copied
    facts = json.loads((folder / "corpus.json").read_text())
    (folder / "corpus.json").write_text(json.dumps(facts | {"uses": 2}))
    with pytest.raises(UsageError, match="a root belongs to one corpus only"):
        PrivateCorpus.open(folder, key)
    (folder / "corpus.json").write_text(json.dumps(facts))
    change_byte(folder / "batches" / "0000" / "manifest.bin")
    with pytest.raises(UsageError, match=r"manifest\.bin was changed, or belongs to another corpus"):
        PrivateCorpus.open(folder, key)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', "[" * 100_000, '{"format": 1, "batches": 5}'])
def test_a_damaged_description_is_one_clear_error(copied: tuple[Path, Path], text: str) -> None:
    (copied[0] / "corpus.json").write_text(text)
    with pytest.raises(UsageError, match=r"corpus\.json is not the description of a corpus"):
        PrivateCorpus.open(*copied)


@pytest.mark.parametrize("read", [Corpus.open, verified, lambda folder: SourceChoice(16_000).speech(str(folder))])
def test_a_private_corpus_is_not_read_as_a_plain_folder(
    built: tuple[Path, Path], read: Callable[[Path], object]
) -> None:
    with pytest.raises(UsageError, match="is a private corpus, which cannot be read without its key"):
        read(built[0])


def test_a_recording_longer_than_its_description_is_not_decoded(corpus: PrivateCorpus) -> None:
    recording = replace(corpus.at(0).speech[0], duration_s=-0.9)
    with pytest.raises(AudioFileError, match="is longer than"):
        recording.audio()


@pytest.mark.parametrize(
    "change",
    [
        {"duration_s": 1e9},
        {"duration_s": float("nan")},
        {"sample_rate_hz": 0},
        {"cohort": -1},
        {"kind": "music"},
        {"text": "x" * 5_000},
        {"id": "../x"},
        {"salt": "00"},
    ],
)
def test_a_description_with_values_out_of_bounds_is_refused(
    corpus: PrivateCorpus, change: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=r"out of range|not allowed|not one of|not hex"):
        Leaf.of(asdict(corpus.entries[0].leaf) | change)
