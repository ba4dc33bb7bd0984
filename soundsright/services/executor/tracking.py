"""Sends the images of a published round to an experiment tracker: one run of the tracker for each image.

Scores are from 0 to 1, times in seconds, memory in GB. The tracker is another program, perhaps on another machine,
so it works in a thread of its own: its faults are logged, and no round waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from soundsright.core.errors import SoundsRightError
from soundsright.core.images import ImageRow
from soundsright.services.executor.executor_steps import PublishedStep

_log = logging.getLogger(__name__)

_NUMBERS = (
    "final_score",
    "quality_score",
    "efficiency_factor",
    "inference_time_sec",
    "inference_time_sec_worst",
    "real_time_factor",
    "peak_vram_gb",
    "peak_vram_gb_worst",
)


class TrackerRun(Protocol):
    """A run of a tracker that has begun."""

    def log(self, values: Mapping[str, float]) -> None: ...
    def finish(self) -> None: ...


@dataclass(frozen=True)
class TrackedImage:
    """One image of a round: the name of its run, its configuration and its numbers."""

    name: str
    config: Mapping[str, Any]
    values: Mapping[str, float]


def tracked_images(round_id: str, published: PublishedStep) -> Iterator[TrackedImage]:
    """Every image that took part in the round, best first. Only an image that can be paid has a rank."""
    took_part, rank = frozenset(published.participants), 0
    for row in published.rows:
        if row.submission.entry_id in took_part:
            rank += row.is_winner_candidate
            yield _tracked(round_id, row, rank if row.is_winner_candidate else None)


def _tracked(round_id: str, row: ImageRow, rank: int | None) -> TrackedImage:
    numbers = {name: getattr(row.metrics, name) for name in _NUMBERS}
    values = {name: float(value) for name, value in numbers.items() if value is not None}
    config = {
        "round": round_id,
        "hotkey": row.submission.hotkey,
        "image_ref": str(row.submission.image),
        "submit_time": row.submission.submitted_s,
        "error": row.metrics.error or "",
        "unsteady": row.metrics.unsteady,
    }
    ranked = {} if rank is None else {"rank": float(rank)}
    return TrackedImage(f"{round_id}-{row.submission.hotkey}", config, values | ranked)


class RoundTracker:
    """Sends each published round that it is called with. `begin` starts a run of the tracker."""

    def __init__(self, begin: Callable[[TrackedImage], TrackerRun]) -> None:
        self._begin = begin
        self._thread: threading.Thread | None = None

    def __call__(self, round_id: str, published: PublishedStep) -> None:
        """Send the round in a thread. While the round before is still being sent, it is left out."""
        if self._thread is not None and self._thread.is_alive():
            _log.warning("round %s is not tracked: the tracker is busy", round_id, extra={"action": "tracker_busy"})
            return
        images = tuple(tracked_images(round_id, published))
        self._thread = threading.Thread(target=self._send, args=(round_id, images), name="tracker", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> None:
        """Wait until the last round is sent, for a time at most."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _send(self, round_id: str, images: tuple[TrackedImage, ...]) -> None:
        try:
            for image in images:
                run = self._begin(image)
                try:
                    run.log(image.values)
                finally:
                    run.finish()
        except SoundsRightError as fault:
            _log.warning("round %s is not tracked: %s", round_id, fault, extra={"action": "tracker_failed"})
        except Exception:  # noqa: BLE001 - a tracker is no part of the round, and its errors end nothing
            _log.exception("round %s is not tracked", round_id, extra={"action": "tracker_failed"})
        else:
            _log.info("%d images of round %s are tracked", len(images), round_id, extra={"action": "tracked"})
