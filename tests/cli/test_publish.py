"""`bundle` and `publish` share a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from soundsright.cli.commands.bundle import command as bundle
from soundsright.cli.commands.publish import command as publish
from soundsright.cli.main import run
from soundsright.testing.hub.repositories import HubRepository, HubServer
from soundsright.testing.hub.server import served_hub
from tests.services.records.bundles import recorded_run
from tests.services.records.runs import write_run

# The hub's client passes its files in a way that its own HTTP client calls old.
pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "a")


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    return recorded_run(tmp_path / "b").folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with served_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", server.token)
        yield server


def test_bundle_writes_the_file_that_the_leaderboard_offers(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, ["make", str(recorded)]) == 0
    assert run(bundle, ["make", str(recorded), "--out", str(tmp_path / "round.zip")]) == 0
    assert "SHA-256" in capsys.readouterr().err
    assert (recorded / "bundle.zip").read_bytes() == (tmp_path / "round.zip").read_bytes()


def test_a_bundle_needs_a_record_and_never_replaces_a_folder(
    folder: Path, recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, ["make", str(folder)]) == 2
    assert "has no record of its round" in capsys.readouterr().err
    assert run(bundle, ["make", str(recorded), "--out", str(recorded / "sets")]) == 2
    assert "sets exists" in capsys.readouterr().err


def test_an_interrupted_bundle_leaves_the_one_before(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(bundle, ["make", str(recorded)]) == 0
    before = (recorded / "bundle.zip").read_bytes()

    def fails(*_args: object) -> str:
        raise OSError("No space left on device")

    monkeypatch.setattr("soundsright.services.records.round_packing.stored_audio", fails)
    assert run(bundle, ["make", str(recorded)]) == 2
    assert (recorded / "bundle.zip").read_bytes() == before
    assert not list(recorded.glob(".*.part"))


def test_a_data_set_is_written_without_a_hub(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert run(publish, ["dataset", str(folder), "--folder", str(out), "--audio-mib", "0"]) == 0
    assert (out / "README.md").is_file()
    assert not (out / "audio").exists()


def test_a_data_set_and_a_card_that_links_to_it_are_pushed(
    folder: Path, hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repositories["alpine/clear"] = HubRepository({"main": {"README.md": b"---\nlicense: mit\n---\n# Clear\n"}})
    assert run(publish, ["dataset", str(folder), "lab/round", "--audio-mib", "0"]) == 0
    assert run(publish, ["card", str(folder), "alpine/clear", "--dataset", "lab/round"]) == 0
    assert "results.csv" in hub.repositories["datasets/lab/round"].commits["main"]
    card = hub.repositories["alpine/clear"].commits["main"]["README.md"].decode()
    assert card.endswith("# Clear\n")
    assert f"{hub.url}/datasets/lab/round" in card
    assert hub.token not in "".join(capsys.readouterr())


def test_a_card_is_printed_or_proposed(folder: Path, hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    hub.repositories["alpine/clear"] = HubRepository({"main": {}})
    assert run(publish, ["card", str(folder), "alpine/clear", "--print"]) == 0
    assert "model-index" in capsys.readouterr().out
    assert hub.repositories["alpine/clear"].commits == {"main": {}}
    assert run(publish, ["card", str(folder), "alpine/clear", "--pull-request"]) == 0
    commits = hub.repositories["alpine/clear"].commits
    assert commits["main"] == {}
    assert any("model-index" in files.get("README.md", b"").decode() for files in commits.values())


def tracker_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the calls that a fake wandb gets."""
    calls: list[str] = []

    def recorded(name: str) -> Callable[..., None]:
        return lambda *_values, **_options: calls.append(name)

    fake = SimpleNamespace(init=recorded("init"), log=recorded("log"), finish=recorded("finish"))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return calls


def test_each_entry_is_logged_in_a_tracker(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = tracker_calls(monkeypatch)
    assert run(publish, ["tracker", str(folder), "wandb", "--project", "mine"]) == 0
    assert calls == ["init", "log", "finish"] * 4
    assert "wandb: 4 runs in mine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dataset", "RUN"], "No target is given. Give the data set's NAMESPACE/NAME on the hub, or --folder."),
        (["card", "RUN", "nobody/none"], "alpine/clear"),
        (["tracker", "RUN", "paper"], "'paper' is not one of 'wandb', 'trackio', 'tensorboard'"),
        (["dataset", "nowhere", "lab/round"], "nowhere"),
    ],
)
def test_misuse_is_one_line_that_says_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert run(publish, [str(folder) if word == "RUN" else word for word in arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err
