"""Blind listening tests: plan, exclusion of raters, and simulated raters who hear a known difference."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundsright.cli.commands.listen import command
from soundsright.cli.main import run
from soundsright.core.audio import Audio
from soundsright.core.errors import UsageError
from soundsright.services.listening.plan import (
    ANCHOR,
    LOW_ANCHOR,
    METHODS,
    REFERENCE,
    ListeningTest,
    Vote,
    trials_for,
    votes_of,
)
from soundsright.services.listening.results import folder_of_test, read_test, save_test, summaries_below
from soundsright.services.listening.room import ListeningRoom
from soundsright.services.listening.screening import exclusions, listening_result
from soundsright.services.listening.server import listening_app
from soundsright.services.listening.stimuli import at_level, chosen_clips, low_passed
from soundsright.services.records.runs import RunCompetition, read_run
from tests.services.records.runs import RATE_HZ, speech_like, write_run

pytest.importorskip("fastapi")
from starlette.testclient import TestClient

CLIPS = ("000000", "000002", "000003", "000004")
QUALITY = {"1-alpine": 0.8, "2-brook": 0.5, REFERENCE: 1.0, ANCHOR: 0.2, LOW_ANCHOR: 0.35}


def plan(method: str, entries: tuple[str, ...] = ("1-alpine", "2-brook")) -> ListeningTest:
    return ListeningTest("ears", method, "DENOISING_16000HZ", entries, CLIPS, 3)


def rating(method: str, quality: float, rng: np.random.Generator) -> float:
    """The rating of a simulated rater who hears the quality with some error."""
    q = quality + rng.normal(scale=0.03)
    if method == "acr":
        return float(np.clip(round(1 + 4 * q), 1, 5))
    if method == "mushra":
        return float(np.clip(round(100 * q), 0, 100))
    return float(np.clip(round(4 * (q - QUALITY[ANCHOR])), -3, 3))


def scores_of(test: ListeningTest, stimuli: tuple[str, ...], rng: np.random.Generator) -> list[float]:
    if test.method == "ccr":
        first, second = (QUALITY[s] for s in stimuli)
        return [float(np.clip(round(4 * (second - first) + rng.normal(scale=0.1)), -3, 3))]
    return [rating(test.method, QUALITY[s], rng) for s in stimuli]


def votes_by(test: ListeningTest, raters: int) -> list[Vote]:
    votes: list[Vote] = []
    for rater in range(raters):
        rng = np.random.default_rng(rater)
        for trial in trials_for(test, rater):
            votes += votes_of(test, f"r{rater}", trial, scores_of(test, trial.stimuli, rng))
    return votes


@pytest.fixture
def competition(tmp_path: Path) -> RunCompetition:
    return read_run(write_run(tmp_path / "first"), "first").competitions[0]


@pytest.mark.parametrize("method", METHODS)
def test_every_rater_gets_all_stimuli_in_a_random_order(method: str) -> None:
    test = plan(method)
    questions = [sorted((t.clip, c) for t in trials_for(test, rater) for c in t.rated) for rater in (1, 2)]
    assert questions[0] == questions[1] == sorted((clip, c) for clip in CLIPS for c in test.conditions)
    assert trials_for(test, 1) != trials_for(test, 2)
    assert trials_for(test, 1) == trials_for(test, 1)


def test_the_sign_of_a_comparison_is_reversed_if_the_input_was_second() -> None:
    test = plan("ccr")
    trials = {t.stimuli.index(ANCHOR): t for t in trials_for(test, 1) if t.rated == ("1-alpine",)}
    assert votes_of(test, "r", trials[0], [2])[0].score == 2
    assert votes_of(test, "r", trials[1], [2])[0].score == -2


@pytest.mark.parametrize("method", METHODS)
def test_a_known_difference_is_detected(method: str) -> None:
    result = listening_result(plan(method), votes_by(plan(method), 8))
    assert dict(result.excluded) == {}
    better, worse = result.estimates["1-alpine"], result.estimates["2-brook"]
    assert worse.high is not None
    assert better.is_above(worse.high)
    assert result.estimates[REFERENCE].mean > better.mean
    assert worse.mean > result.estimates[ANCHOR].mean


@pytest.mark.parametrize("method", METHODS)
def test_raters_who_do_not_listen_or_do_not_finish_are_excluded(method: str) -> None:
    test = plan(method)
    votes = votes_by(test, 4)
    rng = np.random.default_rng(0)
    for trial in trials_for(test, 99):
        votes += votes_of(test, "flat", trial, [1.0] * len(trial.rated))
        upside_down = [
            -s if method == "ccr" else (6 if method == "acr" else 100) - s
            for s in (scores_of(test, trial.stimuli, rng))
        ]
        votes += votes_of(
            test,
            "upside-down",
            trial,
            [float(np.clip(s, *{"acr": (1, 5)}.get(method, (-3, 100)))) for s in upside_down],
        )
    votes += votes_of(test, "early", trials_for(test, 5)[0], scores_of(test, trials_for(test, 5)[0].stimuli, rng))
    excluded = exclusions(test, votes)
    assert set(excluded) == {"flat", "upside-down", "early"}
    assert excluded["flat"] == "gave one score to everything"
    assert excluded["early"].startswith("answered")


def test_mushra_excludes_raters_who_do_not_hear_the_low_pass() -> None:
    test = plan("mushra")
    deaf = [
        Vote("deaf", clip, c, 95.0 if c in (REFERENCE, LOW_ANCHOR) else 50.0)
        for clip in CLIPS
        for c in test.conditions
    ]
    assert "low-passed anchor" in exclusions(test, deaf)["deaf"]


@pytest.mark.parametrize("scores", [[], [1.0, 2.0], [6.0], [0.0], [float("nan")], [3.5]])
def test_a_score_outside_the_scale_is_rejected(scores: list[float]) -> None:
    test = plan("acr")
    with pytest.raises(UsageError):
        votes_of(test, "r", trials_for(test, 1)[0], scores)


def test_stimuli_have_one_level_and_are_not_clipped() -> None:
    clean = Audio(speech_like(1), RATE_HZ)
    quiet = Audio(clean.samples * np.float32(0.01), RATE_HZ)
    assert np.allclose(at_level(quiet, clean).samples, at_level(clean, clean).samples, atol=1e-6)
    spike = clean.samples.copy()
    spike[100] = 50.0
    assert np.abs(at_level(Audio(spike, RATE_HZ), clean).samples).max() <= 0.99 + 1e-6
    silent = Audio(np.zeros(RATE_HZ, np.float32), RATE_HZ)
    assert not at_level(silent, silent).samples.any()


def test_the_low_anchor_has_no_energy_above_its_edge() -> None:
    noise = Audio(np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32), RATE_HZ)
    spectrum = np.abs(np.fft.rfft(low_passed(noise).samples)) ** 2
    assert spectrum[4500:].sum() < 1e-4 * spectrum[:3400].sum()


def test_a_test_cannot_be_saved_with_another_plan(competition: RunCompetition, tmp_path: Path) -> None:
    folder = folder_of_test(tmp_path / "first", "ears")
    save_test(folder, plan("acr"), competition)
    save_test(folder, plan("acr"), competition)
    with pytest.raises(UsageError, match="another plan"):
        save_test(folder, plan("ccr"), competition)
    assert read_test(folder).test == plan("acr")


def test_clips_without_all_the_audio_are_not_chosen(competition: RunCompetition) -> None:
    chosen = chosen_clips(competition, ("1-alpine", "3-cedar"), 60)
    assert len(chosen) == 5
    assert "000001" not in chosen


Room = Callable[[str], TestClient]


@pytest.fixture
def room(competition: RunCompetition, tmp_path: Path) -> Iterator[Room]:
    clients: list[TestClient] = []

    def opened(method: str) -> TestClient:
        folder = folder_of_test(tmp_path / "first", "ears")
        save_test(folder, plan(method), competition)
        listening_room = ListeningRoom(
            plan(method), competition, folder, seats_per_client=100, monotonic_s=count(step=60.0).__next__
        )
        listening_room.check()
        clients.append(TestClient(listening_app(listening_room)))
        return clients[-1].__enter__()

    yield opened
    for client in clients:
        client.__exit__(None, None, None)


def enter(client: TestClient) -> dict[str, Any]:
    entered: dict[str, Any] = client.post("/api/enter", json={}).json()
    return entered


def answer(client: TestClient, rater: str, entered: dict[str, Any], place: int, scores: list[float]) -> int:
    """The status of the answer of a rater who has loaded the recordings."""
    trial = entered["trials"][place]
    for word in (*trial["stimuli"], *([trial["reference"]] if trial["reference"] else [])):
        client.get(f"/api/sound/{rater}/{word}.wav")
    return int(client.post("/api/answer", json={"rater": rater, "trial": place, "scores": scores}).status_code)


def test_no_address_reveals_which_system_is_played(room: Room) -> None:
    client = room("mushra")
    visible = json.dumps(enter(client)) + client.get("/").text
    for secret in ("alpine", "brook", "clean", "lowpass", "degraded", "000000"):
        assert secret not in visible
    words = [word for trial in enter(client)["trials"] for word in (*trial["stimuli"], trial["reference"])]
    assert len(set(words)) == len(words) == 4 * 6


def test_sounds_are_for_their_own_rater_only(room: Room) -> None:
    client = room("acr")
    first, second = enter(client), enter(client)
    word = first["trials"][0]["stimuli"][0]
    assert client.get(f"/api/sound/{first['rater']}/{word}.wav").content[:4] == b"RIFF"
    assert client.get(f"/api/sound/{second['rater']}/{word}.wav").status_code == 404


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"rater": "nobody", "trial": 0, "scores": [3]}', b"x" * 20_000, b'{"rater": 1}'],
)
def test_an_invalid_answer_is_rejected_and_stores_nothing(room: Room, tmp_path: Path, body: bytes) -> None:
    client = room("acr")
    enter(client)
    answer = client.post("/api/answer", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 413)
    assert not (folder_of_test(tmp_path / "first", "ears") / "votes.jsonl").exists()


def test_a_returning_rater_is_known_and_an_invented_one_is_not(room: Room) -> None:
    client = room("acr")
    entered = enter(client)
    assert answer(client, entered["rater"], entered, 0, [3]) == 200
    assert client.post("/api/enter", json={"rater": entered["rater"]}).json() == {**entered, "answered": 1}
    for rater in ("nobody", "x" * 100, 7):
        assert client.post("/api/enter", json={"rater": rater}).status_code == 400


def test_another_site_cannot_vote(room: Room) -> None:
    client = room("acr")
    assert client.post("/api/enter", json={}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post("/api/enter", content="{}", headers={"Content-Type": "text/plain"}).status_code == 403


def test_an_answer_given_twice_counts_once(room: Room, tmp_path: Path) -> None:
    client = room("acr")
    entered = enter(client)
    for score in (3, 4):
        assert answer(client, entered["rater"], entered, 0, [score]) == 200
    votes = read_test(folder_of_test(tmp_path / "first", "ears")).votes
    assert [vote.score for vote in votes] == [3.0]


def test_the_result_of_a_test_is_shown_beside_the_metrics(
    room: Room, competition: RunCompetition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The simulated raters only get the sound. They rate by its distance from the open reference."""
    client = room("mushra")
    for number in range(5):
        entered = enter(client)
        rng = np.random.default_rng(number)
        for place, trial in enumerate(entered["trials"]):
            sounds = {w: samples_of(client, entered["rater"], w) for w in (*trial["stimuli"], trial["reference"])}
            reference = sounds[trial["reference"]]
            distances = [float(np.sqrt(np.mean((sounds[w] - reference) ** 2))) for w in trial["stimuli"]]
            scores = [float(np.clip(round(100 - 1500 * d + rng.normal(scale=2)), 0, 100)) for d in distances]
            client.post("/api/answer", json={"rater": entered["rater"], "trial": place, "scores": scores})
    [summary] = summaries_below(tmp_path / "first" / "listening", competition)
    assert "5 raters" in summary.summary
    labels = [row.label for row in summary.rows]
    assert labels[0] == "clean (hidden reference)"
    assert labels.index("alpine/clear") < labels.index("brook/soft") < labels.index("unprocessed input")
    by_label = {row.label: row for row in summary.rows}
    better, worse = by_label["alpine/clear"].estimate, by_label["brook/soft"].estimate
    assert worse.high is not None
    assert better.is_above(worse.high)
    assert by_label["alpine/clear"].metrics["PESQ_WB"] > by_label["brook/soft"].metrics["PESQ_WB"]
    assert run(command, ["results", str(tmp_path / "first")]) == 0
    assert "alpine/clear" in capsys.readouterr().out


def samples_of(client: TestClient, rater: str, word: str) -> np.ndarray[Any, Any]:
    data = client.get(f"/api/sound/{rater}/{word}.wav").content
    return np.frombuffer(data[44:], dtype="<i2").astype(np.float64) / 32768


def test_an_unknown_entry_is_an_error_in_one_line(
    competition: RunCompetition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, ["start", str(tmp_path / "first"), "--entry", "nobody"]) == 2
    assert "There is no entry 'nobody'" in capsys.readouterr().err


def test_a_test_that_cannot_start_leaves_no_files(
    competition: RunCompetition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "first"
    assert run(command, ["start", str(folder), "--name", "../x"]) == 2
    assert "--name '../x' cannot be the name of a folder" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run(command, ["start", str(folder), "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot be opened" in capsys.readouterr().err
    assert not (folder / "listening").exists()


def test_fewer_clips_than_requested_are_reported(
    competition: RunCompetition,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    assert run(command, ["start", str(tmp_path / "first"), "--clips", "50", "--port", "0"]) == 0
    assert "Only 5 clips have audio of every entry. --clips asks for 50" in capsys.readouterr().err


def test_invitations_lead_to_the_page_that_was_served_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "first")
    assert run(command, ["invite", str(folder), "--count", "1"]) == 2
    assert "listen start" in capsys.readouterr().err
    monkeypatch.setattr("uvicorn.Server.run", lambda *_args, **_options: None)
    for host in ("127.0.0.1", "0.0.0.0"):
        assert run(command, ["start", str(folder), "--host", host, "--port", "0"]) == 0
        page = capsys.readouterr().out.split("Listening test: ")[1].split()[0]
        assert page.startswith("http://127.0.0.1:")
        assert run(command, ["invite", str(folder), "--count", "2"]) == 0
        links = capsys.readouterr().out.splitlines()
        assert [link.partition("#")[0] for link in links] == [page, page]


@pytest.mark.parametrize(
    "address", ["listen.example.org", "ftp://a.example/", "https://", "http://a:x/", "http://a b/"]
)
def test_an_address_that_is_no_link_is_refused_and_invites_nobody(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "first")
    assert run(command, ["invite", str(folder), "--address", address]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "https://listen.example.org/" in shown.err
    assert not (folder_of_test(folder, "test") / "invitations.jsonl").exists()


def test_a_named_entry_without_audio_is_refused_by_name(
    competition: RunCompetition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = next(entry for entry in competition.entries if entry.key == "2-brook")
    assert silent.folder is not None
    silent.folder.rename(tmp_path / "gone")
    assert run(command, ["start", str(tmp_path / "first"), "--entry", "1-alpine", "--entry", "2-brook"]) == 2
    shown = capsys.readouterr().err
    assert f"No audio of {silent.label} is in the run" in shown
    assert "alpine" not in shown.split("is in the run")[0]
    assert not (tmp_path / "first" / "listening").exists()


def test_a_run_without_audio_says_so(
    competition: RunCompetition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for entry in competition.entries:
        if entry.folder is not None:
            entry.folder.rename(tmp_path / f"gone-{entry.key}")
    assert run(command, ["start", str(tmp_path / "first")]) == 2
    assert "No entry of the run has both audio and scores" in capsys.readouterr().err


def test_a_missing_input_is_named(
    competition: RunCompetition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for clip in competition.clip_ids:
        path = competition.signal(ANCHOR, clip)
        assert path is not None
        path.unlink()
    assert run(command, ["start", str(tmp_path / "first")]) == 2
    shown = capsys.readouterr().err
    assert "No audio of the unprocessed input is in the run" in shown
