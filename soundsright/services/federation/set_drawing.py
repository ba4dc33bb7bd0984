"""Draws the sets that others' verdicts name, while the sampler has nothing to judge.

The newest task is drawn first, because a backup can wait for it. A drawing that fails is tried again after a pause,
behind the others. Times are in seconds.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from soundsright.core.errors import SoundsRightError
from soundsright.core.federation import Verdict
from soundsright.core.ports import Clock, Pool
from soundsright.services.federation.known_verdicts import KnownVerdicts
from soundsright.services.federation.set_checks import SetState
from soundsright.services.federation.task import drawn_sets
from soundsright.services.rounds import Cancelled
from soundsright.services.validator import Backoff

AT_ONCE = 16
"""So many tasks are drawn at most before the sampler looks whether its turn has come."""
FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 600.0

_log = logging.getLogger(__name__)


class SetDrawing:
    """Draws sets into `folder`, and removes them once their digests are recorded. Use the sampler's thread.

    `problem` receives the sentence of a fault that lasts, or None when it is over.
    """

    def __init__(
        self,
        known: KnownVerdicts,
        pool: Pool,
        clock: Clock,
        folder: Path,
        *,
        jobs: int = 1,
        is_cancelled: Callable[[], bool] = lambda: False,
        problem: Callable[[str | None], None] = lambda _sentence: None,
    ) -> None:
        self._known = known
        self._pool = pool
        self._clock = clock
        self._folder = folder
        self._jobs = jobs
        self._is_cancelled = is_cancelled
        self._report = problem
        self._retry = Backoff(first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)
        self._failed: set[tuple[int, str]] = set()
        self._done: set[tuple[int, str]] = set()

    def draw(self) -> None:
        """Draw the sets of some tasks whose verdicts are known and not compared yet. Faults are tried again.

        Raises:
            Cancelled: the sampler stops.
        """
        if not self._retry.is_due(self._clock.now()):
            return
        try:
            for verdict in self._undrawn():
                if self._is_cancelled():
                    raise Cancelled("stopped")
                self._draw(verdict)
        except Cancelled:
            raise
        except SoundsRightError as fault:
            if self._is_cancelled():
                raise Cancelled("stopped") from fault
            _log.warning("%s; sets of others wait", str(fault).rstrip("."), extra={"action": "sets_wait"})
            self._retry.failed(self._clock.now())
            self._report(str(fault))
        else:
            self._retry.succeeded()
            self._report(None)

    def _undrawn(self) -> list[Verdict]:
        """The verdicts whose sets are drawn next: those that failed last, and of the others the newest first."""
        found: list[Verdict] = []
        checks = self._known.memory.sets
        checks.refresh()
        places = sorted(self._known.places(), key=lambda place: (place in self._failed, -place[0], place[1]))
        self._done.intersection_update(places)
        for place in places:
            if len(found) == AT_ONCE:
                break
            verdict = None if place in self._done else self._known.kept(*place)
            if verdict is None:
                continue
            if checks.state(verdict) is SetState.UNDRAWN:
                found.append(verdict)
            else:
                self._done.add(place)
        return found

    def _draw(self, verdict: Verdict) -> None:
        checks = self._known.memory.sets
        settings, facts = checks.settings(verdict), self._known.memory.tasks.facts(verdict.task)
        if settings is None or facts is None or checks.state(verdict) is not SetState.UNDRAWN:
            return  # It was drawn for another verdict on the same task.
        place = (verdict.task, verdict.validator)
        self._failed.add(place)
        try:
            drawn = drawn_sets(settings, verdict.task, facts.block_hash, self._folder, self._pool, jobs=self._jobs)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        checks.record(verdict, {name: clips.digest for name, clips in drawn.items()})
        self._failed.discard(place)
        _log.info("the sets of a verdict are drawn", extra={"action": "sets_drawn", "task": verdict.task})
