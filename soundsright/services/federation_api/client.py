"""Send a validator's verdicts and reports to the owner's API, beside its work.

The API only shows them. So a validator never waits for it, and no answer of it changes a verdict or a weight. Times
are in seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from soundsright.core.errors import InfrastructureFault, RequestRefused, SoundsRightError
from soundsright.core.federation import Verdict
from soundsright.core.ports import Reply
from soundsright.services.federation_api.samples import MAX_SAMPLES, Report, Sample

_log = logging.getLogger(__name__)

MAX_WAITING = 64
"""The highest number of verdicts that wait for the API. A later one replaces the oldest."""
_FIRST_PAUSE_S = 5.0
_MAX_PAUSE_S = 600.0
_CLOSE_S = 2.0


class ApiService(Protocol):
    """Signed requests to the API. `SignedService` sends them over HTTP."""

    def post(self, path: str, values: object) -> Reply: ...


def samples_of(verdict: Verdict, digest: str) -> tuple[Sample, ...]:
    """The rows of a verdict as samples. `digest` is the SHA-256 of its document."""
    return tuple(
        Sample(
            verdict.task,
            row.competition,
            row.hotkey,
            row.uid,
            str(row.model),
            row.block,
            row.passed,
            row.failures,
            row.means,
            row.answers,
            digest,
            verdict.unprocessed[row.competition],
        )
        for row in verdict.rows
    )


class FederationReporter:
    """Sends verdicts and reports from a thread of its own. Any thread may call it.

    A verdict that was not taken is sent again with growing pauses. Of the reports, only the latest waits. With
    `opinion`, the thread makes a new report every `every_s` seconds. Close it at the end: what waits then is lost,
    and nothing depends on it.
    """

    def __init__(
        self, service: ApiService, *, opinion: Callable[[], Report] | None = None, every_s: float = 300.0
    ) -> None:
        self._service = service
        self._opinion = opinion
        self._every_s = every_s
        self._due_s = -float("inf")
        self._changed, self._closed = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._is_away = False
        self._batches: OrderedDict[tuple[int, int], tuple[Sample, ...]] = OrderedDict()
        self._report: Report | None = None
        self._thread = threading.Thread(target=self._run, name="federation-api", daemon=True)

    def start(self) -> FederationReporter:
        self._thread.start()
        return self

    def close(self) -> None:
        """Send no more. A request in flight is not waited for longer than two seconds."""
        self._closed.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)

    def send_verdict(self, verdict: Verdict, digest: str) -> None:
        """Send the rows of an own verdict that is in the bucket."""
        samples = samples_of(verdict, digest)
        with self._lock:
            for start in range(0, len(samples), MAX_SAMPLES):
                self._batches[verdict.task, start] = samples[start : start + MAX_SAMPLES]
            tasks = list(dict.fromkeys(task for task, _ in self._batches))
            for task, start in list(self._batches):
                if task in tasks[:-MAX_WAITING]:
                    del self._batches[task, start]
        self._changed.set()

    def send_report(self, report: Report) -> None:
        """Send an opinion of all miners, and of the winners, in place of the one before."""
        with self._lock:
            self._report = report
        self._changed.set()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._closed.is_set():
            self._changed.clear()
            self._form_opinion()
            try:
                is_sent = self.send_waiting()
            except Exception:  # noqa: BLE001 - the thread goes on, and the log has the traceback
                _log.exception("a report to the owner's API failed")
                is_sent = False
            if is_sent:
                pause_s = _FIRST_PAUSE_S
                self._changed.wait(None if self._opinion is None else max(0.0, self._due_s - time.monotonic()))
            else:
                self._closed.wait(pause_s)
                pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    def _form_opinion(self) -> None:
        """Make the report that is due, if one is. If that fails, the next one is due after the usual time."""
        if self._opinion is None or time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + self._every_s
        try:
            report = self._opinion()
        except SoundsRightError as error:
            _log.info("No report on the miners is made: %s", error)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("no report on the miners is made")
        else:
            self.send_report(report)

    def send_waiting(self) -> bool:
        """Send what waits, oldest first. False if the API did not answer; then the rest waits."""
        while not self._closed.is_set():
            with self._lock:
                batch, report = next(iter(self._batches.items()), None), self._report
            if batch is not None:
                key, samples = batch
                if not self._sent("/samples/batch", {"samples": [sample.facts() for sample in samples]}):
                    return False
                with self._lock:
                    if self._batches.get(key) is samples:
                        del self._batches[key]
            elif report is not None:
                if not self._sent("/miners/report", report.facts()):
                    return False
                with self._lock:
                    if self._report is report:
                        self._report = None
            else:
                return True
        return True

    def _sent(self, path: str, values: object) -> bool:
        """Send one request. True if the API answered; a refused request is not sent again."""
        try:
            self._service.post(path, values)
        except RequestRefused as refused:
            if refused.status == 429:
                return False
            _log.warning("The owner's API refuses %s (%s: %s)", path, refused.code, refused.sentence)
        except InfrastructureFault as error:
            if not self._is_away:
                _log.warning("The owner's API does not take %s: %s It is tried again.", path, error)
            self._is_away = True
            return False
        self._is_away = False
        return True
