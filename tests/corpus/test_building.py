from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import soundfile

from soundsright.core.audio import Audio
from soundsright.core.errors import UsageError
from soundsright.corpus import Known, NewRecording, Plan, PrivateCorpus, add_to_corpus, build_corpus
from soundsright.corpus.encoding import samples_digest
from soundsright.data import Corpus, Recording
from tests.corpus.conftest import hiss, some

PLAN = Plan(uses=2, fresh=2)


def test_the_samples_of_a_recording_stay_as_they_are(corpus: PrivateCorpus) -> None:
    originals = {samples_digest(hiss(number)) for number in range(24)}
    stored = {samples_digest(r.audio()) for number in (0, 5) for r in corpus.at(number).speech}
    assert stored <= originals
    assert len(stored) == 18


def test_adding_recordings_changes_no_round_that_had_them_already(copied: tuple[Path, Path]) -> None:
    before = PrivateCorpus.open(*copied)
    pools = {number: before.at(number) for number in range(before.last_round + 1)}
    report = add_to_corpus(before, [*some("speech", range(6), seed=1), *some("noise", range(2), seed=1)])
    after = PrivateCorpus.open(*copied)
    assert report.corpus.root == after.root != before.root
    assert after.statement.earlier_roots == (before.root,)
    assert after.last_round == before.last_round + 2
    for number, pool in pools.items():
        assert [r.id for r in after.at(number).speech] == [r.id for r in pool.speech]
        assert after.at(number).fresh == pool.fresh
    new = {entry.leaf.id for entry in after.entries if entry.batch == 1}
    assert after.at(after.last_round).fresh <= new


def test_a_recording_that_is_in_the_corpus_already_is_refused_or_left_out(copied: tuple[Path, Path]) -> None:
    corpus = PrivateCorpus.open(*copied)
    again = [*some("speech", range(3, 4)), *some("speech", range(5), seed=1), *some("noise", range(2), seed=1)]
    with pytest.raises(UsageError, match=r"speech-file-3\.wav is already in .*copy as speech-.* --skip-known"):
        add_to_corpus(corpus, again)
    assert PrivateCorpus.open(*copied).root == corpus.root
    assert not (copied[0] / "batches" / "0001.part").exists()
    report = add_to_corpus(corpus, again, skip_known=True)
    assert report.added == 7
    assert "speech-file-3.wav" in report.skipped


def test_a_recording_given_twice_is_refused(tmp_path: Path) -> None:
    twice = [*some("speech", range(4)), *some("speech", range(1)), *some("noise", range(2))]
    with pytest.raises(UsageError, match=r"speech-file-0\.wav is already in the new recordings as speech-"):
        build_corpus(tmp_path / "new", tmp_path / "key", twice, plan=PLAN)
    assert not (tmp_path / "new").exists()


def test_a_public_recording_is_refused_also_in_another_file_format(tmp_path: Path) -> None:
    shipped = Corpus.open()
    public = shipped.speech[0]
    recoded = replace(some("speech", range(1))[0], read=public.audio)
    recordings = [*some("speech", range(1, 5)), recoded, *some("noise", range(2))]
    known = Known(public={"the shipped recordings": shipped})
    with pytest.raises(UsageError, match=f"is already in the shipped recordings as {public.id}"):
        build_corpus(tmp_path / "new", tmp_path / "key", recordings, plan=PLAN, known=known)


def test_a_long_public_recording_is_recognised_before_it_is_cut(tmp_path: Path) -> None:
    long = replace(some("noise", range(1))[0], name="long", read=partial(hiss, 3, 61.0))
    soundfile.write(tmp_path / "long.flac", hiss(3, 61.0).samples, 16_000, subtype="PCM_16")
    public = Corpus(tmp_path, (), (Recording("rain", tmp_path / "long.flac", 16_000, 61.0),), ())
    recordings = [*some("speech", range(4)), *some("noise", range(1, 3)), long]
    known = Known(public={"a public corpus": public})
    with pytest.raises(UsageError, match=r"long \(1 of 3\) is already in a public corpus as rain"):
        build_corpus(tmp_path / "new", tmp_path / "key", recordings, plan=PLAN, known=known)


def test_an_interrupted_build_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def interrupted() -> Audio:
        raise KeyboardInterrupt

    recordings = [*some("speech", range(4)), *some("noise", range(2))]
    stopping = [*recordings[:3], replace(recordings[3], read=interrupted)]
    with pytest.raises(KeyboardInterrupt):
        build_corpus(tmp_path / "new", tmp_path / "key", stopping, plan=PLAN)
    assert not (tmp_path / "new").exists()
    # A process that is killed cannot clean up.
    left = tmp_path / "new" / "batches" / "0000.part"
    left.mkdir(parents=True)
    (left / f"{'0' * 32}.bin").write_bytes(b"half")
    report = build_corpus(tmp_path / "new", tmp_path / "key", recordings, plan=PLAN)
    assert report.added == 6
    assert not left.exists()


def test_a_batch_of_an_interrupted_add_does_not_count(copied: tuple[Path, Path]) -> None:
    corpus = PrivateCorpus.open(*copied)
    left = copied[0] / "batches" / "0001"
    left.mkdir()
    (left / "manifest.bin").write_bytes(b"never listed")
    assert PrivateCorpus.open(*copied).entries == corpus.entries
    more = [*some("speech", range(3), seed=1), *some("noise", range(1), seed=1)]
    with pytest.raises(UsageError, match=r"0001 has recordings that corpus\.json does not list\. Remove it if"):
        add_to_corpus(corpus, more)
    assert (left / "manifest.bin").read_bytes() == b"never listed"
    shutil.rmtree(left)
    add_to_corpus(corpus, more)
    assert len(PrivateCorpus.open(*copied).entries) == len(corpus.entries) + 4


def test_a_build_never_removes_a_corpus_whose_description_was_lost(copied: tuple[Path, Path]) -> None:
    (copied[0] / "corpus.json").unlink()
    files = sorted(copied[0].rglob("*.bin"))
    with pytest.raises(UsageError, match=r"has recordings that corpus\.json does not list"):
        build_corpus(*copied, [*some("speech", range(4)), *some("noise", range(2))], plan=PLAN)
    assert sorted(copied[0].rglob("*.bin")) == files


def test_a_folder_with_something_else_is_refused(built: tuple[Path, Path], tmp_path: Path) -> None:
    recordings = [*some("speech", range(4)), *some("noise", range(2))]
    with pytest.raises(UsageError, match="is a private corpus already"):
        build_corpus(*built, recordings)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        build_corpus(tmp_path, tmp_path.parent / "key", recordings)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("speech", "noise", "plan", "message"),
    [
        (3, 5, Plan(uses=5), "3 recordings of speech are too few for 5 rounds"),
        (9, 0, Plan(uses=5), "0 recordings of noise are too few for 5 rounds.*--make-noise"),
        (9, 9, Plan(uses=5, fresh=4), "9 recordings of speech do not give 4 fresh ones for 5 rounds. .* 20"),
    ],
)
def test_too_few_recordings_are_refused_with_the_number(
    tmp_path: Path, speech: int, noise: int, plan: Plan, message: str
) -> None:
    recordings = [*some("speech", range(speech)), *some("noise", range(noise))]
    with pytest.raises(UsageError, match=message):
        build_corpus(tmp_path / "new", tmp_path / "key", recordings, plan=plan)


def test_a_long_recording_is_cut_and_a_silent_or_narrow_one_left_out(tmp_path: Path) -> None:
    def named(name: str, audio: Audio) -> NewRecording:
        return replace(some("speech", range(1))[0], name=name, read=lambda: audio)

    silent = Audio(hiss(1).samples * 0.0, 16_000)
    narrow = Audio(hiss(2).samples, 8_000)
    long = replace(some("speech", range(1))[0], name="long", read=partial(hiss, 3, 61.0))
    recordings = [*some("noise", range(2)), long, named("silent", silent), named("narrow", narrow)]
    report = build_corpus(tmp_path / "new", tmp_path / "key", recordings, plan=Plan(uses=1))
    assert report.skipped == {
        "silent": "is silent",
        "narrow": "is sampled at 8000 Hz; 16000 Hz are needed",
    }
    pieces = sorted((e.leaf.name, e.leaf.text) for e in report.corpus.entries if e.leaf.kind == "speech")
    assert pieces == [(f"long ({number} of 3)", None) for number in (1, 2, 3)]


def test_each_round_has_speech_and_noise_of_both_bands(tmp_path: Path) -> None:
    def wide(recording: NewRecording, seed: int) -> NewRecording:
        return replace(recording, read=lambda: Audio(hiss(seed, 2.0).samples, 48_000), bandwidth_hz=24_000.0)

    recordings = [*some("speech", range(12)), *some("noise", range(6))]
    recordings += [wide(r, 900 + n) for n, r in enumerate(some("speech", range(12, 24)))]
    recordings += [wide(r, 950 + n) for n, r in enumerate(some("noise", range(6, 12)))]
    corpus = build_corpus(tmp_path / "new", tmp_path / "key", recordings, plan=Plan(uses=2, fresh=2)).corpus
    for number in range(corpus.last_round + 1):
        pool = corpus.at(number)
        for rate in (16_000, 48_000):
            assert len(pool.speech_for(rate)) == 4
            assert pool.speech_for(rate).fresh
            assert len(pool.noise_for(rate)) >= 2
