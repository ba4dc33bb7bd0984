"""Commands that read a federation: whose turn it is, what counts, who leads, and whether a file is valid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundsright.adapters.buckets import FolderBucket, new_bucket_folder
from soundsright.adapters.peers.keys import Hotkey
from soundsright.cli.main import cli, run
from soundsright.cli.shared.federation_parts import agreed_rules
from soundsright.config import FederationSettings, read_settings
from soundsright.core.federation import JudgedRow, StatedMaterial, Verdict, allowlist_digest, allowlist_json
from soundsright.core.sources import ModelRef
from soundsright.ranking import turn
from soundsright.services.federation import generated_stem, original_stem, sign_verdict, verdict_key
from soundsright.services.records import read_federation_table
from tests.cli.federation.lab import ONE, TWO, federation
from tests.cli.test_executor import ALICE, OWNER, Net, net
from tests.services.federation.published import sha

__all__ = ["net"]

THREE = sorted(Hotkey.of_seed(name).address for name in ("a", "b", "c", "d"))
METRICS = ("ESTOI", "PESQ_WB", "SI_SDR")


def ask(*words: str) -> int:
    return run(cli, ["federation", *words])


def test_the_examples_of_the_specification_are_told_without_a_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text(allowlist_json(THREE, 100))
    for block, step, sampler in ((123_449, 0, 2), (123_450, 1, 3)):
        assert ask("whose-turn", "--block", str(block), "--allowlist", "list.json", "--json") == 0
        facts = json.loads(capsys.readouterr().out)
        assert (facts["task"], facts["step"], facts["sampler"]) == (1234, step, THREE[sampler])
    words = ("whose-turn", "--block", "123457", "--allowlist", "list.json")
    assert ask(*words, "--sampler-failover-grace-blocks", "20") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Block 123457 is in task 1234, which ends with block 123499."
    assert [line.split()[-4:] for line in lines[1:4]] == [
        ["blocks", "123400", "to", "123419"],
        ["blocks", "123420", "to", "123439"],
        ["blocks", "123440", "to", "123459"],
    ]
    assert lines[3].startswith(f"now {THREE[0]}")
    assert ask(*words, "--sampling-rotation-interval", "50") == 2
    assert "list.json has turns of 100 blocks, and the rules have 50" in capsys.readouterr().err


@pytest.fixture
def lab(net: Net, monkeypatch: pytest.MonkeyPatch) -> Net:
    """Two validators. ONE has published its verdicts on tasks 2 to 4, TWO has none."""
    federation(net, monkeypatch)
    monkeypatch.setenv("STATE_FOLDER", str(net.folder / "reader"))
    chain = net.chain(OWNER)
    chain.advance(55 - chain.finalized().number)
    return net


def publish(net: Net, task: int) -> Path:
    """The task's verdict of ONE, in its bucket."""
    chain = net.chain(OWNER)
    agreed = agreed_rules(read_settings(FederationSettings))
    validators = sorted((ONE.address, TWO.address))
    rules = agreed.rules
    blocks = range(task * rules.interval_blocks, (task + 1) * rules.interval_blocks)
    block = next(b for b in blocks if validators[turn(b, 2, rules.interval_blocks).sampler] == ONE.address)
    row = JudgedRow(
        *("DENOISING_16000HZ", ALICE.address, 1, ModelRef("lab", "gate", "a" * 40), 1, True, 0),
        {"ESTOI": 0.5, "PESQ_WB": 1.5, "SI_SDR": 0.5},
        sha("answers"),
    )
    verdict = Verdict(
        task,
        ONE.address,
        block,
        chain.block_hash(task * rules.interval_blocks),
        allowlist_digest(validators, rules.interval_blocks),
        agreed.rules_digest,
        {"DENOISING_16000HZ": sha("set")},
        {"DENOISING_16000HZ": {"ESTOI": 0.25, "PESQ_WB": 1.25, "SI_SDR": 0.25}},
        (row,),
        previous=sha("a verdict long ago"),
        material=StatedMaterial(sha("corpus")),
    )
    key = verdict_key(task, ONE.address)
    FolderBucket(net.folder / "one").put(key, sign_verdict(verdict, ONE))
    return net.folder / "one" / key


def test_the_turn_is_that_of_the_owners_list(lab: Net, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert ask("whose-turn", "--block", "47", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert [each["hotkey"] for each in facts["turns"]] == sorted((ONE.address, TWO.address))
    assert facts["step"] == 1
    assert ask("whose-turn", "--block", "5000") == 2
    assert "Task 500 has not begun at the final block" in capsys.readouterr().err
    assert ask("whose-turn", "--block", "5") == 2
    assert "was committed to no list of validators in block 0" in capsys.readouterr().err


def test_the_window_and_the_ranks_follow_from_the_buckets(lab: Net, capsys: pytest.CaptureFixture[str]) -> None:
    for task in (2, 3, 4):
        publish(lab, task)
    capsys.readouterr()
    assert ask("window", "--json") == 0
    tasks = json.loads(capsys.readouterr().out)["tasks"]
    assert tasks == [{"task": task, "validator": ONE.address} for task in (2, 3, 4)]
    assert ask("window") == 0
    assert "3 tasks count in the epoch of block 40, from 2 to 4." in capsys.readouterr().out
    assert ask("get-rank", "--json") == 0
    (rank,) = json.loads(capsys.readouterr().out)["ranks"]
    assert (rank["hotkey"], rank["rank"], rank["score"]) == (ALICE.address, 1, 1.0)
    assert rank["rates"] == {ONE.address: {"passed": 3, "tasks": 3}}
    assert ask("get-rank") == 0
    printed = capsys.readouterr().out
    assert "eligible" in printed
    assert "winner" not in printed, "the validators have stated none"
    assert list((lab.folder / "two").iterdir()) == [lab.folder / "two" / "@bucket"]


def test_a_saved_table_has_the_audio_of_its_latest_tasks(lab: Net, capsys: pytest.CaptureFixture[str]) -> None:
    one = FolderBucket(lab.folder / "one")
    for task in (2, 3, 4):
        publish(lab, task)
        for stem in (original_stem(task, "000"), generated_stem(task, ALICE.address, "000")):
            one.put(f"{stem}.flac", b"fLaC of task %d" % task)
    saved = lab.folder / "saved"
    assert ask("get-rank", "--save", str(saved), "--audio-tasks", "2") == 0
    assert {task.task: task.clips for task in read_federation_table(saved).tasks} == {
        2: (),
        3: ("000",),
        4: ("000",),
    }
    site = lab.folder / "site"
    assert run(cli, ["leaderboard", "build", str(site), "--federation", str(saved)]) == 0
    assert (site / "federation" / "audio" / "4" / "0" / "000.flac").read_bytes() == b"fLaC of task 4"
    (lab.folder / "file").write_text("")
    capsys.readouterr()
    assert ask("get-rank", "--save", str(lab.folder / "file" / "below")) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_bucket_that_is_away_is_told_and_changes_nothing_else(
    lab: Net, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(lab, 3)
    (lab.folder / "two" / "@bucket").unlink()
    capsys.readouterr()
    assert ask("get-rank") == 0
    printed = capsys.readouterr().out
    assert f"The bucket of {TWO.address} was not read" in printed
    assert "eligible" in printed
    new_bucket_folder(lab.folder / "two")


def test_a_verdict_is_verified_and_a_changed_one_is_not(lab: Net, capsys: pytest.CaptureFixture[str]) -> None:
    file = publish(lab, 3)
    capsys.readouterr()
    assert ask("verify", str(file), "--signer", ONE.address) == 0
    assert f"Valid: {ONE.address} judged task 3 at block" in capsys.readouterr().out
    assert ask("verify", str(file), "--signer", TWO.address) == 3
    assert f"{ONE.address} signed it, not {TWO.address}" in capsys.readouterr().err
    file.write_text(file.read_text().replace("true", "false"))
    assert ask("verify", str(file)) == 3
    assert "Not valid (bad_signature)" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "soundsright.other/1"}', '{"schema": ["a"]}'])
def test_a_file_that_is_no_document_is_wrong_use(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.json").write_text(text)
    assert ask("verify", str(tmp_path / "file.json")) == 2
    assert "This is not a document of a federation" in capsys.readouterr().err
    assert ask("verify", str(tmp_path / "missing.json")) == 2
    assert "cannot be read" in capsys.readouterr().err
