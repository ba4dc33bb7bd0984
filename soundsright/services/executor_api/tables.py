"""The executor's table as bodies of answers, made once for each version of the table."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from soundsright.core.canonical import canonical_json
from soundsright.core.images import NO_SCORE, PublishedTable


@dataclass(frozen=True)
class TableBody:
    """The rows of one version of the table, as JSON."""

    version: str
    body: bytes


class TableBodies:
    """Keeps the body of the latest version. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = TableBody("", b"")

    def of(self, table: PublishedTable) -> bytes:
        """The rows of the table as JSON. A version is written once."""
        last = self._last
        if last.body and last.version == table.version:
            return last.body
        with self._lock:
            if not self._last.body or self._last.version != table.version:
                self._last = TableBody(table.version, rows_json(table))
            return self._last.body


def rows_json(table: PublishedTable) -> bytes:
    """The rows as `GET /metrics` sends them."""
    return canonical_json([row.facts() for row in table.rows]).encode()


def older_rows_json(table: PublishedTable) -> bytes:
    """The rows in the older form: the score of the last round, and the score that the running round has found.

    A score that is not known is -1.
    """
    rows = [
        row.submission.facts()
        | {
            "score": row.metrics.final_score,
            "coming_score": table.coming.get(row.submission.entry_id, NO_SCORE),
        }
        for row in table.rows
    ]
    return canonical_json(rows).encode()
