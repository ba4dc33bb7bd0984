"""The leaderboard over HTTP: headers, ranges, caching, addresses without a page, new runs."""

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
    with TestClient(board_app(LiveSite([tmp_path / "runs"], live=False, now=clock))) as test_client:
        yield test_client


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
    """The address of a folder ends with a slash, because the links of its page are relative."""
    response = client.get(path)
    assert response.content == client.get(page).content
    assert response.url.path in (page, page.removesuffix("index.html"))


def test_audio_is_answered_by_range(client: TestClient) -> None:
    whole = client.get(AUDIO)
    part = client.get(AUDIO, headers={"Range": "bytes=100-199"})
    assert (whole.status_code, part.status_code) == (200, 206)
    assert part.content == whole.content[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert client.get(AUDIO, headers={"Range": "bytes=99999999-"}).status_code == 416


def test_unchanged_pages_and_audio_are_not_sent_again(client: TestClient) -> None:
    for path in ("/", AUDIO):
        first = client.get(path)
        assert "max-age" in first.headers["cache-control"]
        again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_a_page_is_compressed_if_the_browser_accepts_it(client: TestClient) -> None:
    gzipped = client.get("/", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/", headers={"Accept-Encoding": "identity"})
    assert gzipped.headers["content-encoding"] == "gzip"
    assert int(gzipped.headers["content-length"]) < int(plain.headers["content-length"]) / 3
    assert gzipped.content == plain.content


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
def test_addresses_without_a_page_are_not_found(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_finished_round_appears_without_a_restart(client: TestClient, clock: Clock, tmp_path: Path) -> None:
    assert "/r/second/" not in client.get("/history.html").text.replace('href="r', 'href="/r')
    write_run(tmp_path / "runs" / "second", clips=2, audio=False)
    clock.now += 10
    assert "r/second/index.html" in client.get("/history.html").text


def test_a_changed_run_is_drawn_again(client: TestClient, clock: Clock, tmp_path: Path) -> None:
    results = tmp_path / "runs" / "first" / "results.json"
    results.write_text(results.read_text().replace("alpine/clear", "alpine/clearer"))
    os.utime(results, ns=(1, 1))
    clock.now += 10
    assert "alpine/clearer" in client.get("/").text


def test_a_run_of_a_newer_version_does_not_affect_the_others(
    client: TestClient, clock: Clock, tmp_path: Path
) -> None:
    newer = tmp_path / "runs" / "newer"
    newer.mkdir()
    (newer / "results.json").write_text('{"schema": "soundsright.results/7"}')
    clock.now += 10
    text = client.get("/").text
    assert "soundsright.results/7" in text
    assert "alpine/clear" in text


def test_a_build_reports_its_files_and_is_reproducible(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "first", clips=2)
    arguments = ["build", str(tmp_path / "out"), "--run", str(folder)]
    assert run(command, arguments) == 0
    assert "2 clips" in capsys.readouterr().out
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    (tmp_path / "out" / "old.html").write_text("from an earlier build")
    assert run(command, arguments) == 0
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("text", ['{"schema": "soundsright.results/7"}', "{", None])
def test_a_build_reports_unreadable_runs_and_needs_a_readable_one(
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
    printed = capsys.readouterr()
    assert str(broken) in printed.err
    assert "sound" not in printed.err.replace("soundsright", "")
    assert "Open " in printed.out


def test_a_build_of_a_folder_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs").mkdir()
    assert run(command, ["build", str(tmp_path / "out"), "--run", str(tmp_path / "runs")]) == 2
    assert str(tmp_path / "runs") in capsys.readouterr().err


def test_a_folder_with_other_files_is_not_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "first", clips=2, audio=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert run(command, ["build", str(tmp_path / "mine"), "--run", str(folder)]) == 2
    assert "has files that are not part of a leaderboard" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_taken_port_is_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    folder = write_run(tmp_path / "first", clips=2, audio=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(command, ["serve", "--run", str(folder), "--port", str(port)]) == 2
    assert f"Port {port} of 127.0.0.1 cannot be opened" in capsys.readouterr().err


def test_a_bundle_with_audio_is_sent_from_the_folder(client: TestClient, clock: Clock, tmp_path: Path) -> None:
    assert client.get("/r/first/bundle.zip").status_code == 404
    assert "bundle.zip" not in client.get("/r/first/index.html").text
    (tmp_path / "runs" / "first" / "bundle.zip").write_bytes(b"PK" + bytes(1000))
    clock.now += 60
    part = client.get("/r/first/bundle.zip", headers={"Range": "bytes=0-1"})
    assert (part.status_code, part.content) == (206, b"PK")
    assert "bundle.zip</a> with the audio" in client.get("/r/first/index.html").text
    assert client.get("/r/none/bundle.zip").status_code == 404
