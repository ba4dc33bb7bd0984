"""Publishing: the bundle, the data set with its card, and the metadata of model cards."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundsright.adapters.hubs.push import merged_card
from soundsright.cli.commands.publish import command as publish
from soundsright.cli.main import run
from soundsright.services.records.runs import read_run
from soundsright.services.report.card import model_index
from soundsright.testing.hub.repositories import HubRepository, HubServer
from soundsright.testing.hub.server import served_hub
from tests.services.records.runs import USUAL, Entrant, without_intervals, write_run

# The library hands its own files over in a way that its own HTTP client calls old.
pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")

HOSTILE = Entrant('"]\n---\nlicense: mit\n# x', 0.1, "hostile")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "a", [*USUAL, HOSTILE])


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus with the licences of the recordings in an artificial run."""
    path = tmp_path / "corpus"
    path.mkdir()
    licences = {f"utterance-{i}": "CC-BY-SA-3.0" for i in range(6)} | {"rain": "CC0-1.0"}
    lines = [{"id": n, "kind": "noise" if n == "rain" else "speech", "licence": x} for n, x in licences.items()]
    (path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with served_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", server.token)
        yield server


def head_of(card: str) -> dict[str, object]:
    yaml = pytest.importorskip("yaml", reason="reading a card's head needs PyYAML")
    metadata: dict[str, object] = yaml.safe_load(card.split("---\n")[1])
    return metadata


def test_a_data_set_states_the_licences_of_its_audio(folder: Path, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert run(publish, ["dataset", str(folder), "--folder", str(out), "--corpus", str(corpus)]) == 0
    card = (out / "README.md").read_text()
    head = head_of(card)
    assert head["license"] == "other"
    assert head["license_link"] == "LICENSE.md"
    assert head["task_categories"] == ["audio-to-audio"]
    assert "- CC-BY-SA-3.0: 6 recordings\n- CC0-1.0: 1 recording\n" in card
    assert "@article{jensen2016estoi" in card
    rows = list(csv.DictReader(io.StringIO((out / "clips.csv").read_text())))
    assert len(rows) == 5 * 6
    assert all((out / row["clean"]).is_file() and (out / row["degraded"]).is_file() for row in rows)
    failed = [row for row in rows if row["failure"] == "timeout"]
    assert [(row["entry"], row["ESTOI"], row["enhanced"]) for row in failed] == [("cedar/late", "", "")]


def test_audio_without_a_known_licence_is_not_published(folder: Path, corpus: Path, tmp_path: Path) -> None:
    (corpus / "manifest.jsonl").write_text('{"id": "rain", "kind": "noise", "licence": "MIT"}\n')
    words = ["dataset", str(folder), "--corpus", str(corpus), "--folder"]
    assert run(publish, [*words, str(tmp_path / "set")]) == 2
    assert not (tmp_path / "set").exists()
    assert run(publish, [*words, str(tmp_path / "silent"), "--audio-mib", "0"]) == 0
    assert not (tmp_path / "silent" / "audio").exists()
    assert "license" not in head_of((tmp_path / "silent" / "README.md").read_text())


def test_speech_that_was_spoken_for_the_round_needs_no_licence(folder: Path, corpus: Path, tmp_path: Path) -> None:
    (corpus / "manifest.jsonl").write_text('{"id": "rain", "kind": "noise", "licence": "MIT"}\n')
    document = json.loads((folder / "results.json").read_text())
    document["competitions"][0]["speech"] = {"engine": "espeak-ng", "model": "1.51"}
    (folder / "results.json").write_text(json.dumps(document))
    assert run(publish, ["dataset", str(folder), "--folder", str(tmp_path / "set"), "--corpus", str(corpus)]) == 0
    licences = (tmp_path / "set" / "LICENSE.md").read_text()
    assert "- MIT: 1 recording\n- Synthesised for the round: 6 recordings\n" in licences
    rows = list(csv.DictReader(io.StringIO((tmp_path / "set" / "sources.csv").read_text())))
    assert {row["creator"] for row in rows if row["kind"] == "speech"} == {"espeak-ng 1.51"}


def test_the_size_of_the_audio_is_bounded(folder: Path, tmp_path: Path) -> None:
    from soundsright.services.report.dataset import CorpusRecording, write_dataset

    sources = {
        name: CorpusRecording(id=name, kind="speech", licence="MIT")
        for name in ("rain", *map("utterance-{}".format, range(6)))
    }
    loaded = read_run(folder, "a")
    whole = write_dataset(loaded, tmp_path / "whole", sources=sources, audio_bytes=64 << 20)
    part = write_dataset(loaded, tmp_path / "part", sources=sources, audio_bytes=150_000)
    audio = sum(path.stat().st_size for path in (tmp_path / "part" / "audio").rglob("*.flac"))
    assert whole.clips_with_audio == 6
    assert 0 < part.clips_with_audio < 6
    assert audio <= 150_000


def test_a_round_and_a_card_are_pushed(
    folder: Path, corpus: Path, hub: HubServer, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.repositories["alpine/clear"] = HubRepository({"main": {"README.md": b"---\nlicense: mit\n---\n# Clear\n"}})
    assert run(publish, ["dataset", str(folder), "lab/round", "--corpus", str(corpus)]) == 0
    assert run(publish, ["card", str(folder), "alpine/clear", "--dataset", "lab/round"]) == 0
    pushed = hub.repositories["datasets/lab/round"].commits["main"]
    assert {"README.md", "LICENSE.md", "results.csv", "audio/DENOISING_16000HZ/000000/clean.flac"} <= pushed.keys()
    card = hub.repositories["alpine/clear"].commits["main"]["README.md"].decode()
    assert card.endswith("# Clear\n")
    assert head_of(card)["license"] == "mit"
    text = json.dumps(head_of(card)["model-index"])
    assert '"type": "lab/round"' in text
    assert f"{hub.url}/datasets/lab/round" in text
    printed = "".join(capfd.readouterr())
    assert hub.token not in printed
    assert "| 1 | alpine/clear" not in printed, "a push prints no report"

    assert run(publish, ["dataset", str(folder), "lab/round", "--audio-mib", "0"]) == 0
    left = hub.repositories["datasets/lab/round"].commits["main"]
    assert not any(name.startswith("audio/") for name in left), "a new push replaces the old data set"


def test_a_change_to_another_users_card_is_proposed_as_a_pull_request(folder: Path, hub: HubServer) -> None:
    hub.repositories["alpine/clear"] = HubRepository({"main": {}})
    assert run(publish, ["card", str(folder), "alpine/clear", "--pull-request"]) == 0
    commits = hub.repositories["alpine/clear"].commits
    assert commits["main"] == {}
    assert any("model-index" in files.get("README.md", b"").decode() for files in commits.values())


def test_a_card_has_no_ends_of_an_interval_that_does_not_exist(folder: Path) -> None:
    index = model_index(read_run(without_intervals(folder), "a"), "alpine/clear")
    facts = index[0]["results"][0]["metrics"][0]["args"]
    assert facts["clips"] > 0
    assert not {"low", "high"} & facts.keys()


def test_a_result_is_not_in_a_card_twice(folder: Path) -> None:
    index = model_index(read_run(folder, "a"), "alpine/clear")
    once = merged_card("", index)
    assert merged_card(once, index) == once
    assert once.count("type: pesq_wb") == 1


@pytest.mark.parametrize(
    ("token", "words"), [("", "HF_TOKEN is not set"), ("hf_wrong", "(status 401)")], ids=["none", "a wrong token"]
)
def test_a_push_that_is_not_allowed_gives_a_one_line_error(
    folder: Path,
    hub: HubServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    token: str,
    words: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    assert run(publish, ["dataset", str(folder), "lab/round", "--audio-mib", "0"]) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert "hf_" not in printed


def test_a_hub_that_fails_is_an_infrastructure_fault(
    folder: Path, hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.failing["preupload"] = [400]
    assert run(publish, ["dataset", str(folder), "lab/round", "--audio-mib", "0"]) not in (0, 2)
    assert "The hub answered with status 400 for lab/round" in capsys.readouterr().err


def test_an_unknown_entry_is_an_error_that_lists_the_known_ones(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(publish, ["card", str(folder), "nobody/none", "--print"]) == 2
    assert "alpine/clear" in capsys.readouterr().err
