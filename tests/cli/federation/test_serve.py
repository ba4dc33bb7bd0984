"""`soundsright federation serve`, `servers` and `preflight` on a private chain, and what they refuse."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from soundsright.adapters.buckets import FolderBucket, new_bucket_folder
from soundsright.adapters.machine import SystemClock
from soundsright.adapters.peers.keys import Hotkey
from soundsright.adapters.state.store import SqlState
from soundsright.cli.main import cli, run
from soundsright.core.errors import BucketForbidden
from soundsright.services.federation import ALLOWLIST_KEY
from tests.cli.federation.lab import ONE, RULES, TWO, content_of, federation, started
from tests.cli.test_executor import OWNER, Net, net

__all__ = ["net"]

Command = Callable[..., str]
Failed = Callable[..., dict[str, str]]


@pytest.fixture
def lab(net: Net, monkeypatch: pytest.MonkeyPatch) -> Net:
    federation(net, monkeypatch)
    return net


@pytest.fixture
def refused(lab: Net, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `serve` with other settings, check that it ends with 2 and writes nothing, and give its one line."""

    def check(*words: str, **others: str) -> str:
        for name, value in others.items():
            monkeypatch.setenv(name, value)
        before = content_of(lab.folder / "one"), [each.digest for each in lab.chain(OWNER).commitments()]
        capsys.readouterr()
        assert run(cli, ["federation", *(words or ("serve",))]) == 2
        error = capsys.readouterr().err
        assert error.startswith("Error: ")
        assert error.count("\n") == 1
        assert before == (
            content_of(lab.folder / "one"),
            [each.digest for each in lab.chain(OWNER).commitments()],
        )
        return error

    return check


def test_peers_without_this_hotkey_are_refused(refused: Command) -> None:
    peers = [{"hotkey": TWO.address, "bucket": "two", "endpoint": "file:///srv"}]
    assert f"PEER_VALIDATORS has no entry for this hotkey, {ONE.address}" in refused(
        PEER_VALIDATORS=json.dumps(peers)
    )


def test_peers_that_are_no_list_are_refused(refused: Command) -> None:
    assert "PEER_VALIDATORS cannot be used. Give a JSON list of at most 256 validators" in refused(
        PEER_VALIDATORS="{}"
    )


def test_a_hotkey_off_the_owners_list_is_refused(lab: Net, refused: Command) -> None:
    three = Hotkey.of_seed("three")
    three.write(lab.folder / "wallets" / "three" / "hotkeys" / "default")
    lab.chain(OWNER).register(three.address, permit=True)
    lab.chain(OWNER).advance(1)
    new_bucket_folder(lab.folder / "three")
    peers = [{"hotkey": three.address, "bucket": "three", "endpoint": f"file://{lab.folder}"}]
    line = refused(WALLET="three", R2_OWN_BUCKET="three", PEER_VALIDATORS=json.dumps(peers))
    assert f"The owner's list of validators does not have this hotkey, {three.address}" in line


def test_an_interval_of_no_blocks_is_refused(refused: Command) -> None:
    assert "SAMPLING_ROTATION_INTERVAL '0' cannot be used. Give 1 or more." in refused(
        SAMPLING_ROTATION_INTERVAL="0"
    )


def test_a_setting_that_contradicts_the_organisers_file_is_refused(lab: Net, refused: Command) -> None:
    line = refused(SAMPLING_ROTATION_INTERVAL="50")
    assert "SAMPLING_ROTATION_INTERVAL is 50, and interval_blocks in [federation] of " in line
    assert "rules.toml is 10. Clear SAMPLING_ROTATION_INTERVAL" in line


def test_a_clock_that_is_a_minute_off_is_refused_with_the_offset(
    refused: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SystemClock, "now", lambda self: time.time() + 61.0)
    assert "This machine's clock is 61 s ahead of the chain's" in refused()


@pytest.mark.parametrize(
    ("words", "lease"),
    [
        (("serve",), "validator"),
        (("servers", "validator"), "validator"),
        (("servers", "sampler"), f"federation:{ONE.address}"),
    ],
)
def test_a_second_process_with_this_hotkey_is_refused(
    lab: Net, refused: Command, words: tuple[str, ...], lease: str
) -> None:
    (lab.folder / "one-state").mkdir()
    with closing(SqlState(lab.folder / "one-state" / "state.db")) as state:
        # A process that certainly runs: the parent of this one.
        holder = f"{os.uname().nodename}:{Path('/proc/self/ns/pid').readlink().name}:{os.getppid()}"
        assert state.take_lease(lease, holder, now_s=time.time(), duration_s=60.0)
        assert f"Process {os.getppid()} on this machine" in refused(*words)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("federation = 1.0", "executor = 1.0", "gives the federation no share"),
        (
            "competitions = 0.0\nfederation = 1.0",
            "competitions = 0.5\nfederation = 0.5",
            "Run `soundsright validator`",
        ),
        ("[federation]\ninterval_blocks = 10\nepoch_blocks = 20\n", "", "has no table [federation]"),
    ],
)
def test_a_file_that_does_not_pay_this_federation_alone_is_refused(
    lab: Net, refused: Command, old: str, new: str, problem: str
) -> None:
    text = RULES.replace(old, new)
    if not new:
        text = text.replace("window_tasks = 10\nsettle_margin = 0\nlookback_blocks = 200\n", "")
    (lab.folder / "rules.toml").write_text(text)
    assert problem in refused()


def test_a_validator_publishes_its_view_until_it_is_stopped(lab: Net, capsys: pytest.CaptureFixture[str]) -> None:
    thread, code = started(["federation", "servers", "validator"])
    for _ in range(300):
        if list((lab.folder / "one" / "views").glob("*/*.json")):
            break
        thread.join(0.1)
    chain = lab.chain(OWNER)
    for _ in range(300):
        chain.advance(1)
        texts = [each.digest for each in chain.commitments() if each.hotkey == ONE.address]
        if any(text.startswith("soundsright:view:") for text in texts):
            break
        thread.join(0.1)
    lab.stop.set()
    thread.join(60)
    assert code() == 0
    assert [text.split(":")[1] for text in texts] == ["view"]
    assert f"{ONE.address} agrees on the winners with 2 validators" in capsys.readouterr().out


@pytest.fixture
def with_rounds(lab: Net, monkeypatch: pytest.MonkeyPatch) -> Net:
    """The same federation beside rounds, which have half of the emission."""
    text = RULES.replace("= 0.0\nfederation = 1.0", "= 0.5\nfederation = 0.5")
    (lab.folder / "rules.toml").write_text(text)
    for name in ("PEER_VALIDATORS", "R2_SOURCE_BUCKET"):
        assert os.environ[name]
    monkeypatch.setenv("SOUNDSRIGHT_CLIPS", "2")
    monkeypatch.setenv("DRAND_RELAYS", "http://127.0.0.1:9")
    return lab


def test_a_validator_of_rounds_publishes_its_view_too(with_rounds: Net, capsys: pytest.CaptureFixture[str]) -> None:
    thread, code = started(["validator"])
    for _ in range(600):
        if list((with_rounds.folder / "one" / "views").glob("*/*.json")):
            break
        thread.join(0.1)
    with_rounds.stop.set()
    thread.join(60)
    assert code() == 0, capsys.readouterr().err
    assert list((with_rounds.folder / "one" / "views").glob("*/*.json"))


def test_a_validator_of_rounds_needs_the_settings_of_the_federation(
    with_rounds: Net, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PEER_VALIDATORS")
    capsys.readouterr()
    assert run(cli, ["validator"]) == 2
    assert "PEER_VALIDATORS is empty" in capsys.readouterr().err


def test_a_dry_run_commits_to_nothing(with_rounds: Net, capsys: pytest.CaptureFixture[str]) -> None:
    before = content_of(with_rounds.folder / "one"), with_rounds.chain(OWNER).commitments()
    thread, code = started(["validator", "--dry-run"])
    thread.join(120)
    assert code() == 0, capsys.readouterr().err
    assert before == (content_of(with_rounds.folder / "one"), with_rounds.chain(OWNER).commitments())


@pytest.fixture
def failed(lab: Net, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Failed:
    """Run `preflight` with other settings, and give a sentence and a remedy for each check that failed."""

    def check(**others: str) -> dict[str, str]:
        for name, value in others.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = run(cli, ["federation", "preflight", "--json", "--timeout", "300"])
        report = json.loads(capsys.readouterr().out)
        assert code == (0 if report["ok"] else 1)
        return {one["name"]: f"{one['sentence']}. {one['remedy']}" for one in report["checks"] if not one["ok"]}

    return check


def test_a_preflight_passes_and_leaves_one_object_in_the_own_bucket(
    lab: Net, failed: Failed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundsright.adapters.buckets.may_write", lambda bucket: False)
    before = content_of(lab.folder)
    assert failed() == {}
    new = sorted(set(content_of(lab.folder)) - set(before))
    assert [path for path in new if "one-state" not in path] == [str(lab.folder / "one" / ".soundsright" / "check")]


def test_keys_that_may_write_to_a_peers_bucket_are_noticed_and_change_nothing(lab: Net, failed: Failed) -> None:
    assert run(cli, ["federation", "preflight", "--wallet", "two", "--r2-own-bucket", "two"]) in (0, 1)
    before = content_of(lab.folder / "two")
    found = failed()
    assert list(found) == ["rights"]
    assert f"The keys for the bucket of {TWO.address} may write there" in found["rights"]
    assert content_of(lab.folder / "two") == before


def test_each_fault_that_would_stop_serve_is_found(lab: Net, failed: Failed) -> None:
    (lab.folder / "two" / "@bucket").unlink()
    (lab.folder / "lists" / Path(ALLOWLIST_KEY)).write_bytes(b"{}")
    for path in (lab.folder / "lists" / "allowlist").glob("*.json"):
        path.write_bytes(b"{}")
    found = failed(R2_OWN_BUCKET="nowhere", SCORER_TASK_WINDOW="7")
    assert "SCORER_TASK_WINDOW is 7" in found["rules"]
    assert "R2_OWN_BUCKET is 'nowhere'" in found["peers"]
    assert "it is not the folder of a bucket" in found["bucket"]
    assert "R2_OWN_BUCKET is 'nowhere'" in found["reading"]
    assert "SCORER_TASK_WINDOW is 7" in found["allowlist"]
    found = failed(R2_OWN_BUCKET="one", SCORER_TASK_WINDOW="10")
    assert f"The bucket of {TWO.address}: " in found["reading"]
    assert "is not the one that the owner committed to" in found["allowlist"]


def test_a_bucket_without_rights_is_told(lab: Net, failed: Failed, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise BucketForbidden("one: creating .soundsright/check is refused", "Check the keys.", own=True)

    monkeypatch.setattr(FolderBucket, "put", forbidden)
    assert "is refused. Check the keys" in failed()["bucket"]
