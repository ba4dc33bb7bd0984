"""`soundsright federation validator`: the owner's list of validators in a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from soundsright.adapters.buckets import new_bucket_folder
from soundsright.adapters.peers.keys import Hotkey
from soundsright.cli.main import cli, run
from tests.cli.test_executor import OWNER, Net, net

__all__ = ["net"]

ONE, TWO, THREE = sorted(Hotkey.of_seed(name).address for name in ("one", "two", "three"))


def validator(*words: str) -> int:
    return run(cli, ["federation", "validator", *words])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_hotkeys_are_listed_in_the_order_of_their_turns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validator("add", THREE, ONE) == 0
    assert validator("add", TWO) == 0
    capsys.readouterr()
    assert validator("list") == 0
    assert capsys.readouterr().out.split() == ["0", ONE, "1", TWO, "2", THREE]
    text = (folder / "allowlist.json").read_text()
    assert text == f'{{"interval":100,"validators":["{ONE}","{TWO}","{THREE}"],"version":1}}'
    assert validator("remove", TWO) == 0
    assert (folder / "allowlist.json").read_text() == text.replace(f'"{TWO}",', "")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("add", "5F"), "'5F' is not an address"),
        (("add", ONE), f"{ONE} is on the list already"),
        (("add", TWO, TWO), f"{TWO} is on the list already"),
        (("add", TWO, "--sampling-rotation-interval", "50"), "allowlist.json has turns of 100 blocks"),
        (("remove", TWO), "is not in allowlist.json"),
        (("remove", ONE), "allowlist.json would have no validator"),
        (("add", TWO, "--sampling-rotation-interval", "0"), "SAMPLING_ROTATION_INTERVAL '0' cannot be used"),
    ],
)
def test_a_change_that_makes_no_sense_changes_nothing(
    words: tuple[str, ...], problem: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validator("add", ONE) == 0
    before = (folder / "allowlist.json").read_bytes()
    capsys.readouterr()
    assert validator(*words) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert error.count("\n") == 1
    assert (folder / "allowlist.json").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["allowlist.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"interval":100,"validators":[],"version":2}',
        '{"interval": 100,"validators":[],"version":1}',
        '{"interval":100,"validators":["5F"],"version":1}',
        '{"interval":"100","validators":[],"version":1}',
    ],
)
def test_a_file_in_another_form_is_refused(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "allowlist.json").write_text(text)
    assert validator("list") == 2
    assert "allowlist.json is not a list of validators as it is published" in capsys.readouterr().err
    assert validator("add", ONE) == 2


@pytest.fixture
def owner(net: Net, monkeypatch: pytest.MonkeyPatch) -> Net:
    """A chain with its owner, and the owner's bucket."""
    new_bucket_folder(net.folder / "lists")
    monkeypatch.setenv("R2_ENDPOINT", f"file://{net.folder}")
    monkeypatch.setenv("R2_OWN_BUCKET", "lists")
    assert validator("add", ONE, TWO) == 0
    return net


def test_the_owner_publishes_the_list_and_commits_to_its_digest(
    owner: Net, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert validator("publish") == 0
    digest = hashlib.sha256((owner.folder / "allowlist.json").read_bytes()).hexdigest()
    assert capsys.readouterr().out == f"2 validators are published, with the digest {digest}\n"
    published = owner.folder / "lists" / "allowlist"
    assert (published / "v1.json").read_bytes() == (owner.folder / "allowlist.json").read_bytes()
    chain = owner.chain(OWNER)
    committed = [(each.hotkey, each.digest) for each in chain.commitments()]
    assert committed == [(OWNER.address, f"soundsright:allowlist:v1:{digest}")]
    assert validator("publish") == 0
    assert [each.block for each in owner.chain(OWNER).commitments()] == [each.block for each in chain.commitments()]


def test_only_the_owner_can_publish_and_only_for_the_same_turns(
    owner: Net, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert validator("publish", "--wallet", "alice") == 2
    assert f"the chain's owner is {OWNER.address}" in capsys.readouterr().err
    assert validator("publish", "--sampling-rotation-interval", "50") == 2
    assert "allowlist.json has turns of 100 blocks, and the rules have 50" in capsys.readouterr().err
    assert not (owner.folder / "lists" / "allowlist").exists()
    assert owner.chain(OWNER).commitments() == ()
