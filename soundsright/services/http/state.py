"""The health of a running service: counters, the latest events, and current problems.

It is kept in memory, can be used from any thread, and is lost when the process ends. The state stores everything
that must not be lost. Times are in seconds since the epoch, rates are per second.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from soundsright.core.errors import printable
from soundsright.core.ports import Clock
from soundsright.core.url_passwords import without_passwords

MAX_EVENTS = 250
_MAX_MESSAGE_CHARS = 500
_RATES = {
    "axons.queries_per_second": "axons.total_queried_axons",
    "responses.valid_responses_per_second": "responses.total_valid_responses",
    "responses.invalid_responses_per_second": "responses.total_invalid_responses",
    "weights.set_per_second": "weights.total_count_set",
    "weights.committed_per_second": "weights.total_count_committed",
    "weights.revealed_per_second": "weights.total_count_revealed",
}
_LEVELS = {"success": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_FIRST_SENTENCE = re.compile(r"\.(?:\s|$)")

_log = logging.getLogger(__name__)


class Health:
    """The published metrics and events, and the problems that `/readyz` shows.

    >>> from soundsright.testing import VirtualClock
    >>> health = Health(VirtualClock()); health.add("iterations"); health.metrics()["iterations"]
    1
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._start_s = clock.now()
        self._metrics: dict[str, Any] = {
            "start_time": self._start_s,
            "neuron_running": False,
            "iterations": 0,
            "datasets_generated": 0,
            "competitions_judged": 0,
            "log_entries.success": 0,
            "log_entries.warning": 0,
            "log_entries.error": 0,
            "axons.total_filtered_axons": 0,
            "axons.total_queried_axons": 0,
            "responses.total_valid_responses": 0,
            "responses.total_invalid_responses": 0,
            "weights.targets": 0,
            "weights.last_set_timestamp": None,
            "weights.last_committed_timestamp": None,
            "weights.last_revealed_timestamp": None,
            "weights.total_count_set": 0,
            "weights.total_count_committed": 0,
            "weights.total_count_revealed": 0,
            "feedback.received": 0,
            "feedback.refused": 0,
            "feedback.delivered": 0,
            "chain.head_block": 0,
            "chain.failures": 0,
        }
        self._series: dict[tuple[str, str], float] = {}
        self._events: dict[str, deque[dict[str, str]]] = {kind: deque(maxlen=MAX_EVENTS) for kind in _LEVELS}
        self._problems: dict[str, str] = {"start": "The service has not finished starting"}

    def add(self, metric: str, value: int = 1) -> None:
        with self._lock:
            self._metrics[metric] += value

    def set(self, metric: str, value: Any) -> None:
        with self._lock:
            assert metric in self._metrics, metric
            self._metrics[metric] = value

    def series(self, metric: str, system: str, value: float) -> None:
        """Set a metric of one system. Prometheus gets it with the label `system`."""
        with self._lock:
            self._series[metric, system] = value

    def all_series(self) -> dict[tuple[str, str], float]:
        """The metrics of systems, by (metric, system)."""
        with self._lock:
            return dict(self._series)

    def event(self, kind: str, message: str, *, action: str) -> None:
        """Log a `success`, `warning` or `error`, count it, and keep it for `/healthcheck/events`.

        Everybody can read the events. Pass a code for what another service answered, never its words.
        """
        _log.log(_LEVELS[kind], message, extra={"action": action})
        with self._lock:
            self._metrics[f"log_entries.{kind}"] += 1
            shown = printable(message)[:_MAX_MESSAGE_CHARS]
            self._events[kind].append({"timestamp": self.timestamp(), "message": shown})

    def problem(self, name: str, sentence: str | None) -> None:
        """Report a problem, or with None that it is solved. Both are also events."""
        with self._lock:
            before = self._problems.get(name)
            if sentence is None:
                self._problems.pop(name, None)
            else:
                self._problems[name] = sentence = printable(sentence)[:_MAX_MESSAGE_CHARS]
        if sentence is not None and sentence != before:
            self.event("warning", sentence, action=f"problem_{name}")
        elif sentence is None and before is not None and name != "start":
            # Repeat only the first sentence, which names the problem: the remedy is not needed any more.
            self.event("success", f"Solved: {_FIRST_SENTENCE.split(before)[0]}", action=f"solved_{name}")

    def problems(self) -> dict[str, str]:
        with self._lock:
            return dict(self._problems)

    def metrics(self) -> dict[str, Any]:
        with self._lock:
            metrics = dict(self._metrics)
        elapsed_s = max(self._clock.now() - self._start_s, 1e-9)
        return metrics | {rate: metrics[counter] / elapsed_s for rate, counter in _RATES.items()}

    def events(self) -> dict[str, list[dict[str, str]]]:
        with self._lock:
            return {kind: list(events) for kind, events in self._events.items()}

    def timestamp(self) -> str:
        """The time now, in the format of the published API."""
        return datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def prometheus_text(
    metrics: dict[str, Any],
    *,
    service: str,
    problems: int,
    series: Mapping[tuple[str, str], float] = MappingProxyType({}),
) -> str:
    """The metrics in Prometheus's text format. `series` are metrics of systems, by (metric, system).

    >>> print(prometheus_text({"weights.targets": 3, "x": None}, service="miner", problems=0), end="")
    # TYPE soundsright_ready gauge
    soundsright_ready{service="miner"} 1
    # TYPE soundsright_weights_targets gauge
    soundsright_weights_targets{service="miner"} 3
    """
    lines = ["# TYPE soundsright_ready gauge", f'soundsright_ready{{service="{service}"}} {int(problems == 0)}']
    for name, value in sorted(metrics.items()):
        if value is None:
            continue
        safe = "soundsright_" + re.sub(r"\W", "_", name)
        kind = "counter" if ".total_" in name or name.startswith("log_entries") else "gauge"
        lines += [f"# TYPE {safe} {kind}", f'{safe}{{service="{service}"}} {float(value):g}']
    shown = ""
    for (name, system), value in sorted(series.items()):
        safe = "soundsright_" + re.sub(r"\W", "_", name)
        lines += [f"# TYPE {safe} gauge"] if safe != shown else []
        lines.append(f'{safe}{{service="{service}",system="{system}"}} {float(value):g}')
        shown = safe
    return "\n".join(lines) + "\n"


class _OneLineFormatter(logging.Formatter):
    """`time level message key=value …`, always on one line, so that a message cannot fake a second record."""

    def __init__(self, secrets: Iterable[str], *, traces: bool = True) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self._traces = traces
        self._secrets = tuple(sorted((s for s in secrets if len(s) >= 4), key=len, reverse=True))

    def formatException(self, error: Any) -> str:
        return super().formatException(error) if self._traces else f"{getattr(error[0], '__name__', 'error')}"

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # Another handler's text would be taken over.
        text = super().format(record)
        extra = {k: v for k, v in vars(record).items() if k not in _STANDARD}
        text = " ".join([text, *(f"{key}={value}" for key, value in extra.items())])
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return printable(without_passwords(" ".join(text.split())))


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def configure_logging(
    level: str, *, secrets: Iterable[str] = (), stream: Any = None, traces: bool = True
) -> Callable[[], None]:
    """Log to `stream` (standard error by default), one line per record. Call the returned function to undo this.

    `secrets` are replaced by `***` in every record, also in those of libraries. Without `traces`, only the class of
    an error is logged.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_OneLineFormatter(secrets, traces=traces))
    package, root = logging.getLogger("soundsright"), logging.getLogger()
    root.addHandler(handler)
    before = package.level
    package.setLevel({"TRACEX": "DEBUG", "TRACE": "DEBUG", "DEBUGX": "DEBUG", "INFOX": "INFO"}.get(level, level))

    def undo() -> None:
        root.removeHandler(handler)
        package.setLevel(before)

    return undo
