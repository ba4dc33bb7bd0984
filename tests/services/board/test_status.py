"""The status of a running round: in the terminal, as JSON, and as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.state.store import SqlState
from soundsright.cli.commands.status import command as status_command
from soundsright.cli.commands.watch import command as watch_command
from soundsright.cli.main import run
from soundsright.core.results import ClipResult, Failure, Refusal
from soundsright.core.sources import ModelRef
from soundsright.services.board.status_feed import StatusFeed
from soundsright.services.board.status_view import GpuStatus, RoundWatch

COMPETITION = "DENOISING_16000HZ"
TOO_LARGE = asdict(Refusal("cedar", 3, "cedar/model", COMPETITION, "too_large", "The model is too large"))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Round:
    """A round of two models and four clips each, written step by step."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "run.json").write_text("{}")
        self.folder = folder
        self.state = SqlState(folder / "state.db")

    def begin(self, **facts: Any) -> None:
        self.state.begin_round("trial", {"clips": 4, "competitions": [COMPETITION], **facts})

    def step(self, name: str, **facts: Any) -> None:
        self.state.finish_step("trial", name, facts)

    def enter(self, *names: str) -> None:
        submissions = [
            {
                "uid": uid,
                "hotkey": name,
                "competition": COMPETITION,
                "model": [name, "model", "0" * 40],
                "block": uid,
            }
            for uid, name in enumerate(names, 1)
        ]
        self.step("seed", hash="0x1")
        self.step("entries", submissions=submissions, refusals=[])

    def ready(self, *names: str, contents: dict[str, str] | None = None) -> None:
        self.enter(*names)
        for uid, name in enumerate(names, 1):
            self.step(f"fetch:{uid}-{name}", content_hash=(contents or {}).get(name, name))
        self.step("duplicates", same_tensors=[])
        self.step(f"set:{COMPETITION}", seed=1, digest="d")

    def batch(self, entry: str, *clips: int, **facts: Any) -> None:
        results = [ClipResult(f"{clip:06d}", scores={"ESTOI": 0.5}) for clip in clips]
        self.state.add_clip_results("trial", entry, results)
        self.step(f"enhanced:{entry}:{clips[0]:06d}", **facts)


@pytest.fixture
def current(tmp_path: Path) -> Iterator[Round]:
    round_now = Round(tmp_path / "now")
    yield round_now
    round_now.state.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(current: Round, clock: Clock) -> RoundWatch:
    return RoundWatch(current.state, current.folder, now=clock, gpus=lambda: [GpuStatus(0, 1, 2, 50.0)])


def test_the_stage_is_the_first_unfinished_one(current: Round, watch: RoundWatch) -> None:
    def stage() -> str | None:
        status = watch.look()
        return status.stage if status else None

    assert stage() is None
    current.begin()
    assert stage() == "seed"
    current.enter("alpine")
    assert stage() == "fetch"
    current.step("fetch:1-alpine", content_hash="a")
    current.step("duplicates", same_tensors=[])
    assert stage() == "set"
    current.step(f"set:{COMPETITION}", seed=1, digest="d")
    assert stage() == "enhanced"
    current.batch("1-alpine", 0, 1, 2, 3)
    current.step(f"decide:{COMPETITION}")
    assert stage() == "weights"
    current.step("weights", block=1)
    assert stage() == "done"


def test_clips_are_counted_and_the_pace_gives_the_time_left(
    current: Round, watch: RoundWatch, clock: Clock
) -> None:
    current.begin()
    current.ready("alpine", "brook")
    first = watch.look()
    assert first is not None
    assert first.left_s is None, "there is no pace yet"
    current.batch("1-alpine", 0, 1)
    clock.now += 10
    status = watch.look()
    assert status is not None
    assert [(e.label, e.state, e.clips_done) for e in status.entries] == [
        ("alpine/model", "running", 2),
        ("brook/model", "waiting", 0),
    ]
    assert (status.clips_done, status.clips) == (2, 8)
    assert status.left_s == pytest.approx(30.0)
    assert status.gpus[0].busy_percent == 50.0
    assert status.disk_free_bytes > 0


def test_a_stalled_round_shows_the_time_since_its_last_step(
    current: Round, watch: RoundWatch, clock: Clock
) -> None:
    current.begin()
    current.ready("alpine")
    watch.look()
    clock.now += 60
    status = watch.look()
    assert status is not None
    assert status.quiet_s == 60


def test_failures_refusals_and_copies_have_different_states(current: Round, watch: RoundWatch) -> None:
    current.begin()
    current.enter("alpine", "brook", "cedar")
    current.step("fetch:1-alpine", content_hash="same")
    current.step("fetch:2-brook", content_hash="same")
    current.step("fetch:3-cedar", refusal=TOO_LARGE)
    current.step("duplicates", same_tensors=[])
    current.step(f"set:{COMPETITION}", seed=1, digest="d")
    current.batch("1-alpine", 0, 1, fault={"code": "crashed", "detail": "exit status 1"})
    status = watch.look()
    assert status is not None
    assert [e.state for e in status.entries] == ["failing", "not run", "refused"]
    assert status.faults == ("1-alpine: crashed: exit status 1",)
    assert status.clips == 4, "entries that do not run are not counted"


def test_the_page_shows_nothing_that_a_model_wrote_about_private_recordings(
    current: Round, watch: RoundWatch, clock: Clock
) -> None:
    current.begin(corpus_round=3)
    current.ready("alpine")
    current.batch("1-alpine", 0, 1, fault={"code": "crashed", "detail": "exit status 1: the secret sentence"})
    status = watch.look()
    assert status is not None
    assert status.faults == ("1-alpine: crashed: exit status 1: the secret sentence",), "the operator sees it"
    page = StatusFeed([current.folder], lambda _folder: watch, now=clock).current()
    (fault,) = page["faults"]
    assert fault.startswith("1-alpine: crashed: withheld")
    assert "secret" not in json.dumps(page)


def test_a_finished_round_shows_failed_models_and_their_failed_clips(
    current: Round, watch: RoundWatch, capsys: pytest.CaptureFixture[str]
) -> None:
    current.begin()
    current.ready("alpine", "brook", "cedar")

    def evaluated(entry: str, failed: int, **facts: Any) -> None:
        failure = Failure("length", "8 samples, 16 expected")
        results = [
            ClipResult(f"{clip:06d}", failure=failure)
            if clip < failed
            else ClipResult(f"{clip:06d}", scores={"ESTOI": 0.5})
            for clip in range(4)
        ]
        current.state.add_clip_results("trial", entry, results)
        current.step(f"enhanced:{entry}:000000", **facts)

    evaluated("1-alpine", 0)
    evaluated("2-brook", 4)
    evaluated("3-cedar", 1, fault={"code": "crashed", "detail": "exit status 1"})
    current.step(f"decide:{COMPETITION}")
    current.step("weights", block=1)
    status = watch.look()
    assert status is not None
    assert [(e.state, e.clips_failed) for e in status.entries] == [("done", 0), ("failed", 4), ("done", 1)]
    assert run(watch_command, [str(current.folder)]) == 0
    printed = capsys.readouterr().out
    assert "done, 1 failed" in printed
    assert printed.endswith("\n"), "the prompt must start on a new line"


def test_entries_that_were_set_aside_are_not_counted(current: Round, watch: RoundWatch) -> None:
    current.begin()
    current.ready("alpine", "brook")
    current.batch("1-alpine", 0, 1, 2, 3)
    current.step("set_aside:2-brook", refusal={"code": "not_evaluated"})
    status = watch.look()
    assert status is not None
    assert [e.state for e in status.entries] == ["done", "refused"]
    assert (status.clips_done, status.clips) == (4, 4)


def test_status_prints_the_round_and_its_json(
    current: Round, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelRef, "__post_init__", lambda self: None)  # Otherwise such a name is refused.
    current.begin()
    current.ready("[bold]alpine", "brook")
    assert run(status_command, [str(current.folder)]) == 0
    text = capsys.readouterr().out
    assert "Run and score models, 0 of 8 clips" in text
    assert "[bold]alpine/model" in text, "a name is not markup"
    assert run(status_command, [str(current.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 8


def test_a_folder_without_a_state_is_an_error_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(status_command, [str(tmp_path)]) == 2
    assert "has no state.db" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "reading the status creates no database"


def test_watch_ends_when_the_round_does(current: Round, capsys: pytest.CaptureFixture[str]) -> None:
    current.begin()
    current.ready("alpine")
    current.batch("1-alpine", 0, 1, 2, 3)
    current.step(f"decide:{COMPETITION}")
    current.step("weights", block=1)
    assert run(watch_command, [str(current.folder), "--every", "0.1"]) == 0
    assert "Done, 4 of 4 clips" in capsys.readouterr().out


def test_the_feed_reads_the_state_at_most_once_a_second(current: Round, tmp_path: Path, clock: Clock) -> None:
    current.begin()
    current.ready("alpine")
    opened: list[Path] = []

    def open_watch(folder: Path) -> RoundWatch:
        opened.append(folder)
        return RoundWatch(current.state, folder, now=clock)

    feed = StatusFeed([tmp_path], open_watch, now=clock)
    assert feed.current()["clips_done"] == 0
    current.batch("1-alpine", 0, 1)
    assert feed.current()["clips_done"] == 0
    clock.now += 1
    assert feed.current()["clips_done"] == 2
    assert len(opened) == 1
    (current.folder / "results.json").write_text("{}")
    clock.now += 1
    assert feed.current() == {"problem": "No round is running."}


def test_the_feed_finds_the_state_of_a_validator_above_its_rounds(tmp_path: Path, clock: Clock) -> None:
    service = Round(tmp_path / "validator")
    (service.folder / "run.json").unlink()
    (service.folder / "rounds").mkdir()
    service.begin()
    service.ready("alpine")
    feed = StatusFeed(
        [service.folder / "rounds"], lambda folder: RoundWatch(service.state, folder, now=clock), now=clock
    )
    assert feed.current()["stage"] == "enhanced"
    service.batch("1-alpine", 0, 1, 2, 3)
    service.step(f"decide:{COMPETITION}")
    service.step("weights", block=1)
    clock.now += 1
    assert feed.current() == {"problem": "No round is running."}
    service.state.close()
