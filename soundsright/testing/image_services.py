"""Fakes of the executor's two services. Tests set what they answer and plant faults in them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

from soundsright.core.executor_rules import REAL_TIME_S, ExecutorRules
from soundsright.core.images import Challenge, ImageMetrics, ImageRow, PublishedTable, SubmittedImage
from soundsright.core.ports import AcceptedImage, TakenSubmissions
from soundsright.core.profiles import Profile
from soundsright.core.sources import ImageRef
from soundsright.ranking import efficiency_score


def measured_row(
    submission: SubmittedImage, quality: float, *, time_s: float, memory_gb: float, rules: ExecutorRules
) -> ImageRow:
    """The row of an image whose runs all needed this time and memory. In `soundsright`, a run has 30 s of audio."""
    score = efficiency_score(quality, [time_s], [memory_gb], rules)
    metrics = ImageMetrics(
        final_score=score.score,
        quality_score=quality,
        efficiency_factor=score.factor,
        inference_time_sec=time_s,
        inference_time_sec_worst=time_s,
        real_time_factor=time_s / REAL_TIME_S if rules.profile is Profile.SOUNDSRIGHT else None,
        peak_vram_gb=memory_gb,
        peak_vram_gb_worst=memory_gb,
        cap_violation=score.over_limit,
    )
    return ImageRow(submission, metrics)


class ScriptedService:
    """A service that answers when `fault` is None and `gate` is open."""

    def __init__(self) -> None:
        self.fault: BaseException | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[str] = []

    def _answer(self, call: str) -> None:
        self.calls.append(call)
        self.gate.wait(30)
        if self.fault is not None:
            raise self.fault


class ScriptedBoard(ScriptedService):
    """The `SubmissionBoard` port. Submissions stand as the test lists them."""

    def __init__(self, submissions: Sequence[SubmittedImage] = (), burn_ratio: float = 0.0) -> None:
        super().__init__()
        self.standing = tuple(submissions)
        self.ratio = burn_ratio

    def submissions(self) -> tuple[SubmittedImage, ...]:
        self._answer("submissions")
        return self.standing

    def burn_ratio(self) -> float:
        self._answer("burn_ratio")
        return self.ratio

    def submit(self, image: ImageRef) -> AcceptedImage:
        self._refuse()

    def challenge(self) -> Challenge:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise NotImplementedError("this fake is for validators, which only read")


class ScriptedTable(ScriptedService):
    """The `ScoreTable` port. `update` takes everything; the test publishes."""

    def __init__(self) -> None:
        super().__init__()
        self.published = PublishedTable("", (), "empty")
        self.taken: tuple[SubmittedImage, ...] = ()
        self.on_update: Callable[[], None] = lambda: None
        self.documents: dict[str, bytes] = {}

    def update(self, submissions: Sequence[SubmittedImage]) -> TakenSubmissions:
        self._answer("update")
        self.on_update()
        before = {one.hotkey: one for one in self.taken}
        new = sum(one.hotkey not in before for one in submissions)
        changed = sum(before.get(one.hotkey, one).image != one.image for one in submissions)
        self.taken = tuple(submissions)
        return TakenSubmissions(len(submissions), new, changed)

    def table(self) -> PublishedTable:
        self._answer("table")
        return self.published

    def results(self, round_id: str) -> bytes | None:
        self._answer("results")
        return self.documents.get(round_id)

    def publish(self, round_id: str, *rows: ImageRow) -> None:
        """Publish a table."""
        self.published = PublishedTable(round_id, rows, f"{round_id}:{len(rows)}")
