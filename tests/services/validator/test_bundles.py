"""A validator signs each round once and commits to it, beside what its hotkey has on the chain already."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.corpus_commitment import CorpusCommitment, corpus_commitment_in
from soundsright.core.errors import BundleRefused
from soundsright.core.round_commitment import (
    MAX_ROUND_CHARS,
    MAX_ROUND_CHARS_WITH_CORPUS,
    RoundCommitment,
    keeps,
    reason_to_leave,
    round_commitment_in,
)
from soundsright.core.system_commitments import is_entry_commitment
from soundsright.services.http import Health
from soundsright.services.records import check_bundle, commitment_block, committed_block, open_bundle
from soundsright.services.rounds import RoundOutcome, steps
from soundsright.services.validator.bundles import TRY_EVERY_S, BundleKeeper
from soundsright.testing.fakes import VirtualClock
from tests.services.rounds.subnet import ROUND_ID, Subnet

VERA = Hotkey.of_seed("vera")
CORPUS = CorpusCommitment("ab" * 32, "c" * 16)


class Bench:
    """A round that has ended, and the keeper of the validator that ran it."""

    def __init__(self, folder: Path) -> None:
        self.subnet = Subnet(folder)
        self.subnet.chain.register(VERA.address, permit=True)
        self.outcome: RoundOutcome = self.subnet.run()
        self.clock = VirtualClock(1e9)
        self.health = Health(self.clock)
        self.keeper = self.new_keeper()

    def new_keeper(self) -> BundleKeeper:
        return BundleKeeper(
            self.subnet.chain,  # type: ignore[arg-type]
            VERA,
            self.subnet.state,
            lambda _round: self.subnet.folder / "run",
            self.clock,
            self.health,
        )

    def on_chain(self) -> str:
        return next((c.digest for c in self.subnet.chain.commitments() if c.hotkey == VERA.address), "")

    def sha256(self) -> str:
        record = steps.read(self.subnet.state, ROUND_ID, steps.BUNDLE)
        assert record is not None
        return record.sha256

    def problem(self) -> str:
        return str(self.health.problems().get("bundle", ""))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_record_is_signed_and_committed_once(bench: Bench) -> None:
    bench.keeper.record(bench.outcome)
    bench.keeper.tend()
    assert bench.on_chain() == f"soundsright:round:{ROUND_ID}:{bench.sha256()}"
    with open_bundle(bench.subnet.folder / "run/bundle", valid_signature=valid_signature) as bundle:
        check_bundle(bundle)
        assert (bundle.opened.signer, bundle.opened.sha256) == (VERA.address, bench.sha256())
        hint = committed_block(bundle.store)
        block = commitment_block(bench.subnet.chain, VERA.address, ROUND_ID, bench.sha256(), hint)
    assert block == hint
    before = bench.subnet.chain.head()
    bench.clock.sleep(1e6)
    bench.keeper.tend()
    bench.new_keeper().tend()
    assert bench.subnet.chain.head() == before, "nothing more is written"


def test_a_restart_keeps_the_document_that_was_signed_first(bench: Bench) -> None:
    bench.keeper.record(bench.outcome)
    first = bench.sha256()
    text = (bench.subnet.folder / "run/bundle/round.json").read_text()
    # Another process computes the round again, with other times.
    bench.outcome = bench.subnet.run()
    bench.new_keeper().record(bench.outcome)
    assert (bench.subnet.folder / "run/bundle/round.json").read_text() == text
    assert bench.sha256() == first


def test_a_document_that_was_written_before_the_process_ended_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "a")
    bench.keeper.record(bench.outcome)
    text = (bench.subnet.folder / "run/bundle/round.json").read_text()
    again = Bench(tmp_path / "b")
    (again.subnet.folder / "run/bundle").symlink_to(bench.subnet.folder / "run/bundle")
    again.keeper.record(again.outcome)
    assert (again.subnet.folder / "run/bundle/round.json").read_text() == text
    assert again.sha256() == bench.sha256()


@pytest.mark.parametrize("harm", ["damaged", "directory", "unreadable"])
def test_a_document_that_cannot_be_read_is_not_signed_a_second_time(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """Two signed documents of one round would convict this validator, and nobody knows what the first one says."""
    bench.keeper.record(bench.outcome)
    again = Bench(tmp_path / "again")
    document = again.subnet.folder / "run/bundle/round.json"
    shutil.copytree(bench.subnet.folder / "run/bundle", document.parent)
    if harm == "damaged":
        document.write_text(document.read_text()[:-40])
    elif harm == "directory":
        document.unlink()
        document.mkdir()
    else:
        stat = os.stat

        def fails(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
            if str(path).endswith("round.json"):
                raise OSError(errno.EIO, "Input/output error")
            return stat(path, *args, **kwargs)

        monkeypatch.setattr(os, "stat", fails)
    before = document.read_bytes() if harm == "damaged" else b""
    again.keeper.record(again.outcome)
    assert steps.read(again.subnet.state, ROUND_ID, steps.BUNDLE) is None
    assert f"Round {ROUND_ID} is not signed again" in again.problem()
    assert "round.json" in again.problem()
    if harm == "damaged":
        assert document.read_bytes() == before


@pytest.mark.parametrize("restarts", [False, True])
def test_a_document_that_can_be_read_again_is_committed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarts: bool
) -> None:
    bench.keeper.record(bench.outcome)
    again = Bench(tmp_path / "again")
    shutil.copytree(bench.subnet.folder / "run/bundle", again.subnet.folder / "run/bundle")
    stat = os.stat

    def fails(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        if str(path).endswith("round.json"):
            raise OSError(errno.EIO, "Input/output error")
        return stat(path, *args, **kwargs)

    with monkeypatch.context() as fault:
        fault.setattr(os, "stat", fails)
        again.keeper.record(again.outcome)
        again.keeper.tend()
    assert again.on_chain() == ""
    keeper = again.new_keeper() if restarts else again.keeper
    again.clock.sleep(TRY_EVERY_S)
    keeper.tend()
    assert (again.sha256(), again.problem()) == (bench.sha256(), "")
    assert again.on_chain() == f"soundsright:round:{ROUND_ID}:{bench.sha256()}"


def test_a_round_whose_audio_is_back_gets_its_bundle(bench: Bench) -> None:
    path = next((bench.subnet.folder / "run" / "enhanced").rglob("*.wav"))
    away = path.rename(path.with_suffix(".away"))
    bench.keeper.record(bench.outcome)
    bench.keeper.tend()
    assert "has no bundle" in bench.problem()
    away.rename(path)
    bench.clock.sleep(TRY_EVERY_S)
    bench.keeper.tend()
    assert bench.problem() == ""
    assert bench.sha256() in bench.on_chain()


def test_a_commitment_that_was_written_before_the_process_ended_is_found(bench: Bench) -> None:
    bench.keeper.record(bench.outcome)
    bench.subnet.chain.publish(VERA.address, RoundCommitment(ROUND_ID, bench.sha256()).text)
    before = bench.subnet.chain.head()
    bench.keeper.tend()
    assert bench.subnet.chain.head() == before
    assert steps.read(bench.subnet.state, ROUND_ID, steps.COMMITTED) is not None


def test_the_commitment_to_a_corpus_stays(bench: Bench) -> None:
    bench.subnet.chain.publish(VERA.address, CORPUS.text)
    bench.keeper.record(bench.outcome)
    bench.keeper.tend()
    text = bench.on_chain()
    assert corpus_commitment_in(text) == CORPUS
    assert round_commitment_in(text) == RoundCommitment(ROUND_ID, bench.sha256(), CORPUS)
    assert not is_entry_commitment(text)
    grown = CorpusCommitment("ef" * 32, "c" * 16)
    assert round_commitment_in(keeps(text, grown)) == RoundCommitment(ROUND_ID, bench.sha256(), grown)


@pytest.mark.parametrize("present", ["5" * 64, "leoma:gate", "soundsright:rules"])
def test_an_entry_and_the_text_of_another_system_stay(bench: Bench, present: str) -> None:
    bench.subnet.chain.publish(VERA.address, present)
    bench.keeper.record(bench.outcome)
    bench.keeper.tend()
    assert bench.on_chain() == present
    assert "is not on the chain" in bench.problem()


def test_both_in_one_text_fit_into_bittensors_field() -> None:
    text = RoundCommitment("2" * 18, "d" * 64, CORPUS).text
    assert len(text.encode()) == 127
    assert round_commitment_in(text) == RoundCommitment("2" * 18, "d" * 64, CORPUS)
    # One digest has one text.
    assert corpus_commitment_in(text[:-1] + "B") is None


@pytest.mark.parametrize(("corpus", "most"), [(None, MAX_ROUND_CHARS), (CORPUS, MAX_ROUND_CHARS_WITH_CORPUS)])
def test_only_a_round_whose_commitment_can_be_read_is_published(corpus: CorpusCommitment | None, most: int) -> None:
    present = "" if corpus is None else corpus.text
    for length in (most, most + 1):
        name = "r" * length
        can_be_read = round_commitment_in(RoundCommitment(name, "d" * 64, corpus).text) is not None
        problem = reason_to_leave(present, round_id=name)
        assert can_be_read == (not problem) == (length == most)
    assert f"at most {most} characters" in problem
    assert len(RoundCommitment("r" * most, "d" * 64, corpus).text.encode()) <= 128


def test_another_document_on_the_chain_is_evidence(bench: Bench) -> None:
    bench.subnet.chain.publish(VERA.address, RoundCommitment(ROUND_ID, "0" * 64).text)
    with pytest.raises(BundleRefused, match="committed to another document"):
        commitment_block(bench.subnet.chain, VERA.address, ROUND_ID, "1" * 64)
    with pytest.raises(BundleRefused, match="no commitment"):
        commitment_block(bench.subnet.chain, VERA.address, "round-9", "1" * 64)


def test_missing_audio_does_not_stop_the_validator(bench: Bench) -> None:
    next((bench.subnet.folder / "run" / "enhanced").rglob("*.wav")).unlink()
    bench.keeper.record(bench.outcome)
    assert steps.read(bench.subnet.state, ROUND_ID, steps.BUNDLE) is None
    assert "has no bundle" in bench.problem()
