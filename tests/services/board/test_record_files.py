"""A stranger fetches one clip of a round from a leaderboard, and verifies the round, over HTTP with ranges."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from soundsright.adapters.peers import Hotkey, WebFolder, valid_signature
from soundsright.cli.commands.bundle import command
from soundsright.cli.main import run as run_command
from soundsright.core.canonical import canonical_json
from soundsright.core.errors import BundleRefused, PeerUnavailable
from soundsright.services.board.build import build_site
from soundsright.services.board.server import LiveSite, board_app
from soundsright.services.records import StorePlace, fetch_record, find_runs, open_bundle, open_store, read_runs
from soundsright.services.replay import open_attestation
from tests.browser.conftest import served
from tests.services.board.attestations import attested
from tests.services.records.bundles import RecordedRun, recorded_run

pytest.importorskip("uvicorn")
SIGNER = Hotkey.of_seed("vera")
WILMA = Hotkey.of_seed("wilma")
CLIP = "clip-0001"


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_FOLDER", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    return recorded_run(tmp_path_factory.mktemp("round"), SIGNER)


@pytest.fixture(scope="module")
def address(recorded: RecordedRun) -> Iterator[str]:
    with served(board_app(LiveSite([recorded.folder], live=False))) as root:
        yield f"{root}r/run/bundle"


def audio_name(run: RecordedRun) -> str:
    with open_bundle(run.record) as bundle:
        digest = next(bundle.clips())["clean"]
    return f"audio/{digest[:2]}/{digest}.flac"


def test_one_clip_is_fetched_and_proved(recorded: RecordedRun, address: str, tmp_path: Path) -> None:
    words = ["fetch", address, "--clip", CLIP, "--entry", "carol", "--signer", SIGNER.address]
    assert run_command(command, [*words, "--out", str(tmp_path / "part")]) == 0
    assert run_command(command, ["verify", str(tmp_path / "part"), "--signer", SIGNER.address]) == 0
    assert len(list((tmp_path / "part").rglob("*.flac"))) == 3


def test_a_round_is_verified_at_its_address(
    recorded: RecordedRun, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(command, ["verify", address, "--signer", SIGNER.address]) == 0
    assert recorded.sha256 in capsys.readouterr().out
    other = Hotkey.of_seed("other").address
    assert run_command(command, ["verify", address, "--signer", other]) == 3
    assert run_command(command, ["verify", address, "--signer", SIGNER.address, "--audio"]) == 0
    assert "Audio      not checked" not in capsys.readouterr().out
    assert run_command(command, ["show", address, "carol"]) == 0
    assert "Weight" in capsys.readouterr().out
    assert run_command(command, ["verify", f"{address}.zip"]) == 2
    assert "Give the address of the bundle's files" in capsys.readouterr().err


def test_only_what_changed_is_fetched_again(
    recorded: RecordedRun, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_command(command, ["verify", address, "--signer", SIGNER.address, "--audio"]) == 0
    (folder,) = (tmp_path / "state" / "bundles").iterdir()
    assert folder.name == recorded.sha256
    (folder / "plan.json").write_bytes(b"{}")
    changed = next((folder / "audio").rglob("*.flac"))
    changed.write_bytes(b"no audio")
    asked: list[str] = []
    part = WebFolder.part

    def noted(place: WebFolder, name: str, start: int, end: int) -> bytes | None:
        asked.append(name)
        return part(place, name, start, end)

    monkeypatch.setattr(WebFolder, "part", noted)
    assert run_command(command, ["verify", address, "--signer", SIGNER.address, "--audio"]) == 0
    assert "plan.json" in asked
    assert sum(name.startswith("audio/") for name in asked) == 1
    assert "scores.jsonl" not in asked


def test_a_static_site_has_the_record_and_the_replays_file_by_file(
    recorded: RecordedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(recorded.folder, tmp_path / "run"))
    attested(folder, WILMA)
    runs = read_runs(find_runs([folder]))
    built = build_site(runs, tmp_path / "site", audio_bytes=1 << 24, valid_signature=valid_signature)
    assert built.notes == ()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with static_server(handler) as root:
        bundle = f"{root}/r/run/bundle"
        assert run_command(command, ["verify", bundle, "--signer", SIGNER.address, "--audio"]) == 0
        page = httpx.get(f"{root}/r/run/index.html").text
        (name,) = re.findall(r'href="(attestations/[^"]+)"', page)
        raw = httpx.get(f"{root}/r/run/{name}").content
    assert open_attestation(raw, valid_signature=valid_signature).signer == WILMA.address
    assert "soundsright replay ADDRESS/bundle --signer" in page
    small = build_site(runs, tmp_path / "small", audio_bytes=0, valid_signature=valid_signature)
    assert "does not fit" in small.notes[-1]
    assert not list((tmp_path / "small" / "r" / "run" / "bundle").rglob("*.flac"))


def test_a_server_offers_the_replays_of_its_rounds(recorded: RecordedRun, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(recorded.folder, tmp_path / "run"))
    path = attested(folder, WILMA)
    attested(folder, WILMA, changes={"bundle": "0" * 64})
    with served(board_app(LiveSite([folder], live=False, valid_signature=valid_signature))) as root:
        page = httpx.get(f"{root}r/run/").text
        (name,) = re.findall(r'href="(attestations/[^"]+)"', page)
        assert httpx.get(f"{root}r/run/{name}").content == path.read_bytes()
        assert httpx.get(f"{root}r/run/attestations/other.json").status_code == 404
        assert httpx.get(f"{root}r/run/attestations/..%2fresults.json").status_code == 404


def test_an_address_that_does_not_answer_now_is_tried_again(recorded: RecordedRun, tmp_path: Path) -> None:
    faults = [503, 429]

    class Busy(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if faults:
                self.send_error(faults.pop())
            else:
                super().do_GET()

    slept: list[float] = []
    with static_server(partial(Busy, directory=str(recorded.record))) as root:
        place = WebFolder(root, sleep=slept.append)
        assert place.part("round.json", 0, 10) == (recorded.record / "round.json").read_bytes()[:10]
        assert slept == [0.5, 1.0]
        faults += [403]
        with pytest.raises(PeerUnavailable, match="403"):
            place.part("round.json", 0, 10)
        place.close()
    assert len(slept) == 2


@contextmanager
def static_server(handler: Callable[..., SimpleHTTPRequestHandler]) -> Iterator[str]:
    """A web server of files, which knows no ranges."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("name", ["round.json", "answers.jsonl", "audio"])
def test_a_range_is_answered_with_that_part(recorded: RecordedRun, address: str, name: str) -> None:
    url = f"{address}/{audio_name(recorded) if name == 'audio' else name}"
    whole = httpx.get(url)
    assert whole.status_code == 200
    size = len(whole.content)
    for asked, expected in (
        ("bytes=10-29", whole.content[10:30]),
        ("bytes=10-", whole.content[10:]),
        ("bytes=-7", whole.content[-7:]),
        (f"bytes=5-{10 * size}", whole.content[5:]),
    ):
        part = httpx.get(url, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, expected)
        start = size - 7 if asked == "bytes=-7" else int(asked[6:].split("-")[0])
        assert part.headers["content-range"] == f"bytes {start}-{start + len(expected) - 1}/{size}"
    assert httpx.get(url, headers={"Range": f"bytes={size}-"}).status_code == 416
    assert httpx.head(url).headers["content-length"] == str(size)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nothing",
        "%2e%2e/scores.txt",
        "..%2fscores.txt",
        "%2fetc%2fpasswd",
        "audio",
        "disclosed/X.jsonl",
        "a%00.json",
    ],
)
def test_no_other_file_is_served(address: str, name: str) -> None:
    assert httpx.get(f"{address}/{name}").status_code == 404


def test_a_link_and_a_file_that_the_record_does_not_name_stay_inside(recorded: RecordedRun, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(recorded.folder, folder)
    (folder / "bundle" / "notes.json").write_text("{}")
    (folder / "secret.json").write_text("{}")
    (folder / "bundle" / "plan.json").unlink()
    (folder / "bundle" / "plan.json").symlink_to(folder / "secret.json")
    (folder / "bundle" / "notes.json").unlink()
    with served(board_app(LiveSite([folder], live=False))) as root:
        assert httpx.get(f"{root}r/run/bundle/notes.json").status_code == 404
        assert httpx.get(f"{root}r/run/bundle/plan.json").status_code == 404


def test_audio_that_was_changed_is_not_served(recorded: RecordedRun, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(recorded.folder, folder)
    name = audio_name(recorded)
    for path in folder.rglob("*.wav"):
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
    with served(board_app(LiveSite([folder], live=False))) as root:
        assert httpx.get(f"{root}r/run/bundle/{name}").status_code == 404


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../escape", "bytes": 4}, "no file of a bundle"),
        ({"name": "sets/A/manifest.jsonl", "bytes": 257 << 20}, "at most"),
        ({"name": "scores.jsonl", "bytes": 512 << 20}, "in another way"),
    ],
)
def test_a_document_that_names_too_much_is_refused_before_it_is_fetched(
    recorded: RecordedRun, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    folder = shutil.copytree(recorded.record, tmp_path / "bundle")
    envelope = json.loads((folder / "round.json").read_text())
    document = json.loads(envelope["document"])
    document["files"][change["name"]] = {"sha256": "0" * 64, "bytes": change["bytes"]}
    if change["name"] == "scores.jsonl":
        document["files"]["steps.jsonl"] = document["files"]["answers.jsonl"] = document["files"]["scores.jsonl"]
    unsigned = {"schema": "soundsright.round/1", "document": canonical_json(document)}
    (folder / "round.json").write_text(json.dumps(unsigned))
    with open_store(folder) as store, pytest.raises(BundleRefused, match=words):
        fetch_record(StorePlace(store), tmp_path / "out")
    assert not (tmp_path / "out").exists()
