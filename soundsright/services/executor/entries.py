"""Runs the images of a round one after the other, so that none disturbs another's times.

An image that this machine cannot run does not stop the others. It is tried again when the others are done. If it
still cannot be run while others can, it is set aside as `not_evaluated`: it has no score, and is in the next round
again. If too many cannot be run, the machine is the likely cause, and the round waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from soundsright.core.competition import Competition
from soundsright.core.errors import EntryRefused, InfrastructureFault, ModelFault, StateUnavailable
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.images import ImageMetrics, ImageRow, MeasuredImage, SubmittedImage
from soundsright.core.ports import StateStore
from soundsright.core.results import Failure
from soundsright.core.submission import FetchedModel
from soundsright.services.executor import executor_steps
from soundsright.services.executor.context import (
    ExecutorContext,
    Judge,
    Meter,
    submission_of,
)
from soundsright.services.executor.executor_steps import MeasuredStep, ScoredStep
from soundsright.services.executor.meter import sandbox_limits
from soundsright.services.executor.participants import NOT_EVALUATED
from soundsright.services.executor.pulling import PULL_FAILED, pulled
from soundsright.services.executor.run_records import StepLog
from soundsright.services.rounds import ClipSet, EntryStuck, steps, unexpected_errors_as_stuck

_log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_DETAIL_CHARS = 1_000
"""The longest sentence of a failure in a row. Readers refuse rows with much longer ones."""
MAX_LOG_CHARS = 20_000
_FAULTS_OF_RUNNING = frozenset({"model_fault", "crashed", "timeout", "protocol"})
"""Codes that say nothing about a pull. Others, such as those of a screened image, are kept."""


@dataclass(frozen=True)
class RoundOfImages:
    """The parts that all images of a round share."""

    round_id: str
    competition: Competition
    clips: ClipSet
    judge: Judge
    meter: Meter


class EntryRuns:
    """The images of one round. `coming` receives the score of each image when it is known, by entry id."""

    def __init__(
        self, context: ExecutorContext, shared: RoundOfImages, coming: Callable[[str, float], None]
    ) -> None:
        self._context = context
        self._shared = shared
        self._coming = coming
        self._durations_s: list[float] = []

    def run_all(self, entries: Sequence[SubmittedImage]) -> dict[str, ImageRow]:
        """The row of each image, by entry id. Recorded steps are not done again.

        Raises:
            InfrastructureFault: this machine can run no image, or too few. Run again to continue.
            Cancelled: the executor stops.
        """
        rows: dict[str, ImageRow] = {}
        stuck: dict[str, tuple[SubmittedImage, InfrastructureFault]] = {}

        def run(entry: SubmittedImage, number: int) -> None:
            try:
                rows[entry.entry_id] = self._row(entry, number, len(entries))
                stuck.pop(entry.entry_id, None)
            except EntryStuck as fault:
                stuck[entry.entry_id] = entry, fault

        for number, entry in enumerate(entries, start=1):
            run(entry, number)
        self._retry(stuck, rows, lambda entry: run(entry, len(entries)))
        for entry, fault in stuck.values():
            rows[entry.entry_id] = self._set_aside(entry, fault)
        return {entry.entry_id: rows[entry.entry_id] for entry in entries}

    def _retry(
        self,
        stuck: Mapping[str, tuple[SubmittedImage, InfrastructureFault]],
        rows: Mapping[str, ImageRow],
        run: Callable[[SubmittedImage], None],
    ) -> None:
        """Try stuck images again after growing pauses. Those that stay may be set aside.

        Raises:
            InfrastructureFault: more images are stuck than work, or those that worked no longer do.
        """
        if stuck and not _working(rows):
            raise next(iter(stuck.values()))[1]
        for pause_s in self._context.retry_pauses_s:
            if stuck:
                self._context.pause(pause_s)
                for entry, _ in list(stuck.values()):
                    run(entry)
        if len(stuck) > len(_working(rows)):
            raise next(iter(stuck.values()))[1]
        if stuck:
            self._check_others(rows)
            for entry, _ in list(stuck.values()):
                run(entry)
        if stuck:
            self._check_others(rows)

    def _check_others(self, rows: Mapping[str, ImageRow]) -> None:
        """Check that an image still starts that ran before. If it does not, the others may not be to blame.

        Raises:
            InfrastructureFault: this machine can no longer start it.
        """
        works = next((row.submission for row in _working(rows) if row.metrics.error is None), None)
        if works is not None:
            model = self._fetched(works)
            try:
                with self._context.sandbox.run(model, limits=sandbox_limits(self._context.rules)):
                    self._context.raise_if_cancelled()
            except ModelFault as fault:
                raise InfrastructureFault(f"{works.image} ran before, and no longer starts ({fault})") from fault

    def _row(self, entry: SubmittedImage, number: int, total: int) -> ImageRow:
        context, shared = self._context, self._shared
        context.raise_if_cancelled()
        recorded = steps.read(context.state, shared.round_id, executor_steps.scored(entry.entry_id))
        if recorded is None:
            started_s = context.clock.now()
            measured = self._measured(entry, f"{number} of {total}")
            metrics = shared.judge.metrics(measured)
            recorded = self._record(entry, replace(metrics, updated_s=context.clock.now()))
            self._durations_s.append(context.clock.now() - started_s)
            self._tell_of(recorded.row, number, total)
        self._coming(entry.entry_id, recorded.metrics.final_score)
        return recorded.row

    def _record(self, entry: SubmittedImage, metrics: ImageMetrics) -> ScoredStep:
        record = ScoredStep(ImageRow(entry, replace(metrics, detail=metrics.detail[:MAX_DETAIL_CHARS])))
        key = executor_steps.scored(entry.entry_id)
        steps.write(self._context.state, self._shared.round_id, key, record)
        return record

    def _tell_of(self, row: ImageRow, number: int, total: int) -> None:
        left_s = (total - number) * sum(self._durations_s) / len(self._durations_s)
        shown = row.metrics.error or f"score {row.metrics.final_score:.6f}"
        _log.info(
            "%s: %s (%d of %d images, about %d min left)",
            row.submission.hotkey,
            shown,
            number,
            total,
            -(-left_s // 60),
            extra={"action": "image_scored", "round": self._shared.round_id, "entry": row.submission.entry_id},
        )

    def _measured(self, entry: SubmittedImage, place: str) -> MeasuredImage:
        """The measurement of an image. It is recorded, and not made again."""
        context, round_id = self._context, self._shared.round_id
        key = executor_steps.measured(entry.entry_id)
        record = steps.read(context.state, round_id, key)
        if record is None:
            measured = self._run(entry, place)
            context.state.add_clip_results(round_id, entry.entry_id, measured.clips)
            record = MeasuredStep(replace(measured, clips=(), log=measured.log[-MAX_LOG_CHARS:]))
            steps.write(context.state, round_id, key, record)
        return measured_before(context.state, round_id, entry.entry_id, record)

    def _run(self, entry: SubmittedImage, place: str) -> MeasuredImage:
        context, shared = self._context, self._shared
        images = context.store.images
        if (copy := images.original_of(entry)) is not None:
            return MeasuredImage((), (), copy)

        def report(line: str) -> None:
            _log.info("%s (%s): %s", entry.hotkey, place, line, extra={"action": "image", "round": shared.round_id})

        report(f"pulling {entry.image}")
        try:
            model = self._pulled(entry)
        except ModelFault as fault:
            context.raise_if_cancelled()
            code = PULL_FAILED if fault.code in _FAULTS_OF_RUNNING else fault.code
            return MeasuredImage((), (), Failure(code, str(fault)[:MAX_DETAIL_CHARS]), log=fault.log)
        except EntryRefused as refused:
            return MeasuredImage((), (), Failure(refused.code, refused.sentence[:MAX_DETAIL_CHARS]))
        images.remember(context.sandbox, model, entry.image.sha256)
        if (copy := images.original_of(entry)) is not None:
            return MeasuredImage((), (), copy)
        folder = context.round_folder(shared.round_id) / "enhanced" / entry.entry_id
        log = StepLog(context.state, shared.round_id, entry.entry_id)
        return _or_stuck(lambda: shared.meter.measure(model, shared.clips, folder, log))

    def _pulled(self, entry: SubmittedImage) -> FetchedModel:
        """The image on this machine, after at most `pull_tries` tries.

        Raises:
            ModelFault, EntryRefused: the image is to blame.
            EntryStuck: something else is.
        """

        def pull() -> FetchedModel:
            model = self._fetched(entry)
            pulled(self._context.sandbox, model, self._context.rules, self._context.pause)
            return model

        return _or_stuck(pull)

    def _fetched(self, entry: SubmittedImage) -> FetchedModel:
        return self._context.hub.fetch(submission_of(entry, self._shared.competition), limits=FetchLimits())

    def _set_aside(self, entry: SubmittedImage, fault: InfrastructureFault) -> ImageRow:
        _log.info(
            "%s is set aside: %s",
            entry.hotkey,
            fault,
            extra={"action": "set_aside", "round": self._shared.round_id, "entry": entry.entry_id},
        )
        detail = f"This image could not be run here while others could, so it has no score: {fault.problem}"
        return self._record(entry, ImageMetrics(error=NOT_EVALUATED, detail=detail)).row


def _working(rows: Mapping[str, ImageRow]) -> list[ImageRow]:
    """The rows of images that this machine could run, whatever came of it."""
    return [row for row in rows.values() if row.metrics.error != PULL_FAILED]


def measured_before(state: StateStore, round_id: str, entry_id: str, record: MeasuredStep) -> MeasuredImage:
    """The measurement of an image, with the results of its clips as they are recorded."""
    return replace(record.measured, clips=state.clip_results(round_id, entry_id))


def _or_stuck(work: Callable[[], T]) -> T:
    """The result of the work. Faults around the image, and unexpected errors, are raised as `EntryStuck`.

    A fault of the database is not about the image: it stops the round, which goes on later.
    """
    try:
        with unexpected_errors_as_stuck(
            "The image could not be run because of an unexpected error", action="image_failed"
        ):
            return work()
    except StateUnavailable:
        raise
    except InfrastructureFault as fault:
        raise EntryStuck.of(fault) from fault
