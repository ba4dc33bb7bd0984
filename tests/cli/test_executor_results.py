"""`executor scores`, `explain` and `status`, from files, from the service's folder and from an address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.machine import SystemClock
from soundsright.adapters.peers import new_hotkey
from soundsright.adapters.state import SqlRecords, SqlState
from soundsright.cli.commands.executor import command
from soundsright.cli.commands.leaderboard import command as leaderboard
from soundsright.cli.main import run
from soundsright.cli.shared.executor_source import PolledHistory
from soundsright.services.executor import ExecutorStore, executor_steps
from soundsright.services.records import EXECUTOR_RESULTS, sign_document
from tests.services.records.executor_rows import HOSTILE, hotkey, results_facts, scored, usual_rows

EXECUTOR = new_hotkey()


def signed(number: int, **changes: Any) -> bytes:
    return sign_document(EXECUTOR_RESULTS, results_facts(number) | changes, EXECUTOR).encode()


@pytest.fixture
def results(tmp_path: Path) -> str:
    folder = tmp_path / "results"
    folder.mkdir()
    for number in (9, 10):
        (folder / f"{number}.json").write_bytes(signed(number))
    return str(folder)


@pytest.fixture
def address() -> Iterator[str]:
    """An executor that runs round 13, and has published rounds 8, 10 and 11."""
    answers = {f"/results/{number}": signed(number) for number in (8, 10, 11)}
    answers["/healthz"] = json.dumps(
        {"state": "running", "round": "13", "entry": "5A-7", "machine": {"gpu": "none"}}
    ).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The folder of an executor that has published rounds 3 and 4, and has begun round 5."""
    folder = tmp_path / "state"
    folder.mkdir()
    state = SqlState(folder / "executor.db", scope="executor")
    store = ExecutorStore(state, SqlRecords.beside(state), SystemClock())
    for number in (3, 4):
        state.begin_round(str(number), {})
        store.publish(
            str(number),
            executor_steps.PublishedStep(rows=usual_rows(), participants=(), envelope=signed(number).decode()),
        )
    state.begin_round("5", {})
    state.close()
    return str(folder)


def test_scores_prints_the_table_of_the_last_round(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, ["scores", "--results", results]) == 0
    out = capsys.readouterr().out
    assert f"Round 10, DENOISING_16000HZ; signed by {EXECUTOR.address}" in out
    assert out.index("ben/masknet") < out.index("cho/wiener") < out.index("gus/new")
    # A narrow terminal cuts no number and no state.
    assert all(state in out for state in ("winner", "over a limit", "not measured", "waiting"))
    assert "crashed: Run 2 ended with exit code 1" in out


def test_scores_as_json_have_ranks_and_whole_rows(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, ["scores", "--results", results, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["round"], told["signer"]) == ("10", EXECUTOR.address)
    assert [row["rank"] for row in told["rows"]] == [1, 2, 3, 4, 5, None, None]
    first = {key: value for key, value in told["rows"][0].items() if key != "rank"}
    assert first == json.loads(json.dumps(usual_rows()[0].facts()))


def test_a_changed_row_breaks_the_signature(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(results) / "10.json"
    path.write_bytes(path.read_bytes().replace(b"ben/masknet", b"eve/masknet"))
    assert run(command, ["scores", "--results", str(path)]) == 2
    assert "signature is wrong" in capsys.readouterr().err


def test_an_address_gives_the_last_round_that_is_published(
    address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXECUTOR_API_URL", address)
    assert run(command, ["scores"]) == 0
    assert "Round 11, DENOISING_16000HZ" in capsys.readouterr().out


def test_the_folder_of_the_service_gives_its_last_published_round(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in (database, f"{database}/executor.db"):
        assert run(command, ["scores", "--results", source]) == 0
        assert "Round 4, DENOISING_16000HZ" in capsys.readouterr().out


def test_explain_shows_the_worked_example_term_by_term(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [scored("A", "ann/gate", 2.6, 0.82, 0.4, 5.0).facts()]
    (tmp_path / "7.json").write_bytes(signed(7, rows=rows))
    assert run(command, ["explain", "5A", "--results", str(tmp_path / "7.json")]) == 0
    out = capsys.readouterr().out
    for part in (
        "rank 1 of 1 in round 7",
        "= 0.2743",
        "= 0.3280",
        "quality  0.6022857",
        "0.9417645  exp(-0.15 x 12 s / 30 s), which is real-time factor 0.4 x 30 s",
        "0.9394131  exp(-0.1 x 5 GB / 8 GB)",
        "score    0.5328457",
        "1 s less for 30 s of audio: +0.0026709",
        "It has the first place.",
    ):
        assert part in out


def test_explain_says_what_the_first_place_needs(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, ["explain", hotkey("A"), "--results", results]) == 0
    out = capsys.readouterr().out
    assert "time     out of reach" in out
    assert "quality  0.0084 more" in out
    assert "stays first until another one beats it" in out


def test_explain_as_json_has_the_same_terms(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, ["explain", "5B", "--results", results, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    terms = told["terms"]
    assert terms["score"] == pytest.approx(terms["quality"] * terms["time"] * terms["memory"] * terms["limit"])
    assert told["first_place"] == {
        "hotkey": hotkey("B"),
        "is_held_back": False,
        "less_time_s": 0.0,
        "less_memory_gb": 0.0,
        "more_quality": 0.0,
    }


def test_explain_follows_the_order_that_the_paired_test_decided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best, second, *others = usual_rows()
    rows = [row.facts() for row in (second, best, *others)]  # The winner before stays first with the lower score.
    saved = tmp_path / "7.json"
    saved.write_bytes(signed(7, rows=rows))
    assert run(command, ["explain", best.submission.hotkey, "--results", str(saved)]) == 0
    out = capsys.readouterr().out
    assert f"{second.submission.hotkey} has the first place" in out
    assert "the lead of this image over it is not certain in the paired test" in out
    assert "It has the first place" not in out
    assert run(command, ["explain", second.submission.hotkey, "--results", str(saved)]) == 0
    out = capsys.readouterr().out
    assert "It has the first place." in out
    assert "no image with a higher score has a certain lead" in out


@pytest.mark.parametrize(
    "source",
    [
        "postgresql://me:geheim77@127.0.0.1:1/sr",
        "postgresql://me:geheim77@h:abc/sr",
        "postgresql://me@127.0.0.1:1/sr?password=geheim77",
        "mysql://me:geheim77@h/sr",
        "http://me:geheim77@127.0.0.1:1",
    ],
)
@pytest.mark.parametrize("name", ["scores", "status"])
def test_a_password_in_an_address_is_not_shown(name: str, source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, [name, "--results", source]) != 0
    shown = capsys.readouterr()
    assert "geheim77" not in shown.out + shown.err
    assert shown.err.startswith(("Error: ", "Failed: "))


@pytest.mark.parametrize("start", ["5F", "5G", "5Z"])
def test_an_image_that_cannot_be_explained_is_misuse(
    results: str, start: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, ["explain", start, "--results", results]) == 2
    assert capsys.readouterr().err.startswith("Error: ")


def test_status_of_an_address_has_its_state_and_the_counts(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, ["status", "--results", address, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["round"], told["published"]) == ("running", "13", "11")
    assert told["images"] == {"ranked": 3, "unsteady": 1, "over a limit": 1, "failed": 1, "waiting": 1}


def test_status_of_files_counts_their_images(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, ["status", "--results", results]) == 0
    assert "ranked 3" in capsys.readouterr().out


@pytest.mark.parametrize("subcommand", [["scores"], ["explain", "5A"], ["status"]])
def test_without_a_source_the_setting_is_named(subcommand: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, subcommand) == 2
    assert "EXECUTOR_API_URL" in capsys.readouterr().err


def test_an_address_without_an_executor_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, ["scores", "--results", "http://127.0.0.1:9"]) == 1
    assert "127.0.0.1:9" in capsys.readouterr().err


def test_the_leaderboard_gets_the_page_of_an_executor(address: str, tmp_path: Path) -> None:
    assert run(leaderboard, ["build", str(tmp_path / "site"), "--executor", address]) == 0
    page = (tmp_path / "site" / "executor" / "index.html").read_text()
    assert "ben/<wbr>masknet" in page
    # The chart over rounds has the three published ones.
    assert "Final score over rounds" in page
    assert HOSTILE not in page
    assert 'href="executor/index.html"' in (tmp_path / "site" / "index.html").read_text()


def test_a_leaderboard_of_nothing_is_misuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(leaderboard, ["build", str(tmp_path / "site")]) == 2
    assert "Give --run FOLDER, --executor PATH, --federation FOLDER or --tiers FOLDER" in capsys.readouterr().err


def test_a_source_that_breaks_keeps_its_last_rounds(results: str) -> None:
    clock = [0.0]
    history = PolledHistory(results, now=lambda: clock[0])
    assert [each.round_id for each in history().rounds] == ["9", "10"]
    for file in Path(results).iterdir():
        file.unlink()
    Path(results).rmdir()
    clock[0] = 31.0
    history()
    for thread in threading.enumerate():
        if thread.name == "executor-results":
            thread.join(10)
    after = history()
    assert [each.round_id for each in after.rounds] == ["9", "10"]
    assert "cannot be read" in after.problems[0]
