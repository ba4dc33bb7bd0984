"""Lines of a model's log, safe to show in a terminal."""

from __future__ import annotations

from soundsright.core.errors import printable

_LINES = 12
_LINE_CHARS = 200


def last_lines(log: str) -> list[str]:
    """The last lines of a model's log. Characters that could control the terminal become `?`."""
    lines = [line for line in log.splitlines() if line.strip()]
    return ["  log | " + printable(line[:_LINE_CHARS]) for line in lines[-_LINES:]]
