"""The leaderboard over HTTP: headers, ranges, caching, paths that lead nowhere, runs that appear."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundsright.cli.commands.leaderboard import command
from soundsright.cli.main import run
from soundsright.services.board.server import LiveSite, board_app
from tests.services.records.runs import write_run

pytest.importorskip("fastapi")
from starlette.testclient import TestClient

AUDIO = "/audio/first/DENOISING_16000HZ/000000/1-alpine.wav"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(tmp_path: Path, clock: Clock) -> Iterator[TestClient]:
    write_run(tmp_path / "runs" / "first")
    with TestClient(board_app(LiveSite([tmp_path / "runs"], live=False, now=clock))) as found:
        yield found


@pytest.mark.parametrize(
    "path", ["/", "/history.html", "/assets/ears.js", AUDIO, "/nothing", "/r/first/results.json"]
)
def test_every_answer_carries_the_policy(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/r/first", "/r/first/index.html"),
        ("/r/first/", "/r/first/index.html"),
        ("/r/first/DENOISING_16000HZ", "/r/first/DENOISING_16000HZ/index.html"),
        ("/r/first/DENOISING_16000HZ/", "/r/first/DENOISING_16000HZ/index.html"),
        ("/history", "/history.html"),
    ],
)
def test_a_folder_is_answered_with_its_page(client: TestClient, path: str, page: str) -> None:
    """Ends with a slash wherever it is a folder's page, since its links are relative."""
    found = client.get(path)
    assert found.content == client.get(page).content
    assert found.url.path in (page, page.removesuffix("index.html"))


def test_audio_is_answered_by_range(client: TestClient) -> None:
    whole = client.get(AUDIO)
    part = client.get(AUDIO, headers={"Range": "bytes=100-199"})
    assert (whole.status_code, part.status_code) == (200, 206)
    assert part.content == whole.content[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert client.get(AUDIO, headers={"Range": "bytes=99999999-"}).status_code == 416


def test_what_has_not_changed_is_not_sent_again(client: TestClient) -> None:
    for path in ("/", AUDIO):
        first = client.get(path)
        assert "max-age" in first.headers["cache-control"]
        again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_a_page_is_packed_for_who_can_unpack_it(client: TestClient) -> None:
    packed = client.get("/", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 3
    assert packed.content == plain.content


@pytest.mark.parametrize(
    "path",
    [
        "/audio/first/DENOISING_16000HZ/..%2F..%2Frun/1-alpine.wav",
        "/audio/first/DENOISING_16000HZ/000000/..%2F..%2Fclean.wav",
        "/audio/first/NOPE/000000/clean.wav",
        "/audio/..%2F..%2Fetc/DENOISING_16000HZ/000000/clean.wav",
        "/r/first/state.db",
        "/r/",
        "/r/first/run.json",
        "/r/..%2f..%2fetc/passwd",
        "/assets/..%2ftemplates%2fbase.html.j2",
        "/r/first/DENOISING_16000HZ/e/nobody.html",
    ],
)
def test_what_is_no_page_is_not_there(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_finished_round_appears_by_itself(client: TestClient, clock: Clock, tmp_path: Path) -> None:
    assert "/r/second/" not in client.get("/history.html").text.replace('href="r', 'href="/r')
    write_run(tmp_path / "runs" / "second", clips=2, audio=False)
    clock.now += 10
    assert "r/second/index.html" in client.get("/history.html").text


def test_a_run_written_anew_is_shown_anew(client: TestClient, clock: Clock, tmp_path: Path) -> None:
    results = tmp_path / "runs" / "first" / "results.json"
    results.write_text(results.read_text().replace("alpine/clear", "alpine/clearer"))
    os.utime(results, ns=(1, 1))
    clock.now += 10
    assert "alpine/clearer" in client.get("/").text


def test_a_run_of_a_newer_version_leaves_the_others_alone(client: TestClient, clock: Clock, tmp_path: Path) -> None:
    newer = tmp_path / "runs" / "newer"
    newer.mkdir()
    (newer / "results.json").write_text('{"schema": "soundsright.results/7"}')
    clock.now += 10
    text = client.get("/").text
    assert "soundsright.results/7" in text
    assert "alpine/clear" in text


def test_a_build_names_what_it_wrote_and_is_the_same_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "first", clips=2)
    arguments = ["build", str(tmp_path / "out"), "--run", str(folder)]
    assert run(command, arguments) == 0
    assert "2 clips" in capsys.readouterr().out
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    (tmp_path / "out" / "old.html").write_text("from an earlier build")
    assert run(command, arguments) == 0
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("text", ['{"schema": "soundsright.results/7"}', "{", None])
def test_a_build_says_which_runs_cannot_be_read_and_needs_one_that_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    broken, out = tmp_path / "runs" / "broken", tmp_path / "out"
    broken.mkdir(parents=True)
    (broken / "run.json").write_text("{}")
    if text is not None:
        (broken / "results.json").write_text(text)
    assert run(command, ["build", str(out), "--run", str(broken)]) == 2
    assert str(broken) in capsys.readouterr().err
    assert not out.exists()
    write_run(tmp_path / "runs" / "sound", clips=2, audio=False)
    assert run(command, ["build", str(out), "--run", str(tmp_path / "runs")]) == 0
    told = capsys.readouterr()
    assert str(broken) in told.err
    assert "sound" not in told.err.replace("soundsright", "")
    assert "Open " in told.out


def test_a_build_of_a_folder_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs").mkdir()
    assert run(command, ["build", str(tmp_path / "out"), "--run", str(tmp_path / "runs")]) == 2
    assert str(tmp_path / "runs") in capsys.readouterr().err


def test_a_folder_that_is_no_build_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "first", clips=2, audio=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert run(command, ["build", str(tmp_path / "mine"), "--run", str(folder)]) == 2
    assert "has files that are not part of a leaderboard" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    folder = write_run(tmp_path / "first", clips=2, audio=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(command, ["serve", "--run", str(folder), "--port", str(port)]) == 2
    assert f"port {port} cannot be listened on" in capsys.readouterr().err


def test_a_bundle_with_audio_is_sent_from_the_folder(client: TestClient, clock: Clock, tmp_path: Path) -> None:
    small = client.get("/r/first/bundle.zip")
    assert small.headers["content-type"] == "application/zip"
    assert "without" not in client.get("/r/first/index.html").text.partition("bundle.zip")[2][:80]
    (tmp_path / "runs" / "first" / "bundle.zip").write_bytes(b"PK" + bytes(1000))
    clock.now += 60
    part = client.get("/r/first/bundle.zip", headers={"Range": "bytes=0-1"})
    assert (part.status_code, part.content) == (206, b"PK")
    assert "and the audio to score again" in client.get("/r/first/index.html").text
    assert client.get("/r/none/bundle.zip").status_code == 404
