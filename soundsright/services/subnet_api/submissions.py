"""The submissions of images that the coordinator accepted. Times are in whole seconds since the epoch.

Each submission is a record that never changes. A hotkey numbers its submissions from 0, and the number is in the
record's key. So of two submissions at once only one gets the next number, also if two processes write them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from soundsright.core.errors import EntryRefused, StateUnavailable
from soundsright.core.images import SubmittedImage, submitted_image
from soundsright.core.ports import Record, Records

STREAM = "executor:submissions"
_PAGE = 1_000


@dataclass(frozen=True)
class StandingImage:
    """A hotkey's latest submission, and how many it made before."""

    submission: SubmittedImage
    number: int


class SubmissionLog:
    """The submissions in a stream of records. Any thread may call its methods, and other processes may write too.

    Every method reads what was recorded since the last call, so it knows the submissions that others wrote.

    Raises:
        StateUnavailable: in every method, if the records cannot be read or written.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._lock = threading.Lock()
        self._position = 0
        self._standing: dict[str, StandingImage] = {}

    def standing(self) -> tuple[int, Mapping[str, StandingImage]]:
        """The latest submission of each hotkey, and a number that grows with every new one."""
        with self._lock:
            self._read_new()
            return self._position, dict(self._standing)

    def standing_of(self, hotkey: str) -> StandingImage | None:
        """The latest submission of a hotkey, or None if it made none."""
        with self._lock:
            self._read_new()
            return self._standing.get(hotkey)

    def add(self, submission: SubmittedImage, *, number: int) -> None:
        """Record a submission as the hotkey's one with that number.

        Raises:
            RecordConflict: another submission has the number.
        """
        self._records.append(STREAM, f"{submission.hotkey}:{number}", submission.facts())

    def _read_new(self) -> None:
        while True:
            rows = self._records.read(STREAM, after=self._position, limit=_PAGE)
            for row in rows:
                standing = _standing(row)
                self._standing[standing.submission.hotkey] = standing
                self._position = row.position
            if len(rows) < _PAGE:
                return


def _standing(row: Record) -> StandingImage:
    hotkey, _, number = row.key.rpartition(":")
    try:
        submission = submitted_image(row.facts)
    except EntryRefused as error:
        raise _strange(row) from error
    if submission.hotkey != hotkey or not number.isdecimal():
        raise _strange(row)
    return StandingImage(submission, int(number))


def _strange(row: Record) -> StateUnavailable:
    return StateUnavailable(
        f"The record {row.position} of {STREAM} is not a submission",
        "Restore the database from a backup, or use the version of soundsright that wrote it.",
    )
