"""The executor's submissions and tables, kept in a database: what stands, what is staged, what is published.

Times of submission are in whole seconds since the epoch.

The standing submissions are in the stream `executor:submissions`, as the difference from the list before. A long
difference has several parts, and counts once its last part is written: a list is taken as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import EntryRefused
from soundsright.core.images import (
    MAX_SUBMISSIONS,
    ImageRow,
    PublishedTable,
    SubmittedImage,
    submitted_image,
)
from soundsright.core.ports import Clock, Records, StateStore, TakenSubmissions
from soundsright.services.executor import executor_steps
from soundsright.services.executor.copied_images import Claim, KnownImages
from soundsright.services.executor.executor_steps import PublishedStep
from soundsright.services.rounds import steps

SUBMISSIONS = "executor:submissions"
"""The stream of the lists that validators gave."""
MAX_AHEAD_S = 600
"""The farthest that a time of submission may lie in the future, because clocks differ."""

_PART = 1_000
_PAGE = 100

Standing = Mapping[str, SubmittedImage]


class ExecutorStore:
    """The submissions that stand, by hotkey, and the tables of the rounds. Any thread may call any method.

    `images` knows the layers of pulled images and finds copies. Only the executor's own thread may use it.
    """

    def __init__(self, state: StateStore, records: Records, clock: Clock) -> None:
        self.state = state
        self._records = records
        self._clock = clock
        self._lock = threading.Lock()
        self._standing: Standing | None = None
        self._holders: dict[str, dict[str, Claim]] = {}
        self._updates = 0
        self._published: tuple[str, PublishedStep] | None = None
        self._is_read = False
        self._shown: tuple[object, object, PublishedTable] | None = None
        self.images = KnownImages(records, self.holders)

    def take(self, submissions: Sequence[SubmittedImage]) -> TakenSubmissions:
        """Take the submissions that stand now, all or none. A hotkey that is not in the list no longer takes part.

        Raises:
            EntryRefused: `too_many`, `duplicate_hotkey` or `bad_submission`; nothing was taken.
            StateUnavailable: the database does not answer; nothing was taken, or all.
        """
        given = _checked(submissions, self._clock.now())
        with self._lock:
            before = self._read_standing()
            added = [entry for hotkey, entry in given.items() if before.get(hotkey) != entry]
            removed = sorted(before.keys() - given.keys())
            if added or removed:
                taken_s = int(self._clock.now())
                self._append(added, removed, taken_s)
                self._hold(added, taken_s)
                self._standing = given
        changed = sum(entry.hotkey in before for entry in added)
        return TakenSubmissions(len(given), len(added) - changed, changed)

    def standing(self) -> Standing:
        """The submission of each hotkey that stands now."""
        with self._lock:
            return dict(self._read_standing())

    def holders(self, sha256: str) -> dict[str, Claim]:
        """The hotkeys that have ever submitted the image of this digest, each with its earliest claim to it."""
        with self._lock:
            self._read_standing()
            return dict(self._holders.get(sha256, {}))

    def published(self) -> tuple[str, PublishedStep] | None:
        """The last round that was published, and its table; None before the first."""
        with self._lock:
            return self._read_published()

    def publish(self, round_id: str, record: PublishedStep) -> PublishedStep:
        """Replace the published table, in one write. If the round was published before, that table stays."""
        with self._lock:
            # First, because a write whose answer is lost may be done.
            self._is_read = False
            steps.write(self.state, round_id, executor_steps.PUBLISHED, record)
            published = self._read_published()
        assert published is not None
        return published[1]

    def table(self, coming: Mapping[str, float]) -> PublishedTable:
        """The published table. Hotkeys that have no row in it follow, first come first, without scores.

        A new submission of a hotkey that has a row is shown once its round is published.
        """
        with self._lock:
            published, standing = self._read_published(), self._read_standing()
            shown = self._shown
            if shown is None or shown[0] is not published or shown[1] is not standing:
                shown = self._shown = published, standing, _table(published, standing)
            return replace(shown[2], coming=dict(coming))

    def results(self, round_id: str) -> bytes | None:
        """The signed results of a round in their envelope; None if no such round was published."""
        record = steps.read(self.state, round_id, executor_steps.PUBLISHED)
        return None if record is None else record.envelope.encode()

    def _read_published(self) -> tuple[str, PublishedStep] | None:
        if not self._is_read:
            self._published = steps.latest(self.state, executor_steps.PUBLISHED)
            self._is_read = True
        return self._published

    def _read_standing(self) -> Standing:
        if self._standing is None:
            self._standing = self._replayed()
        return self._standing

    def _replayed(self) -> Standing:
        """The standing submissions, from all differences whose last part was written."""
        standing: dict[str, SubmittedImage] = {}
        added: list[SubmittedImage] = []
        for facts in self._all_facts():
            if facts["part"] == 0:
                added = []
            added += map(submitted_image, facts["added"])
            self._updates = facts["update"]
            if facts["is_last"]:
                for hotkey in facts["removed"]:
                    standing.pop(hotkey, None)
                standing |= {entry.hotkey: entry for entry in added}
                self._hold(added, facts.get("taken_s"))
        return standing

    def _hold(self, added: Sequence[SubmittedImage], taken_s: int | None) -> None:
        """Note who has these images. Lists that earlier versions took do not say when."""
        for entry in added:
            holders = self._holders.setdefault(entry.image.sha256, {})
            claim = Claim.of(entry, entry.submitted_s if taken_s is None else taken_s)
            holders[entry.hotkey] = min(claim, holders.get(entry.hotkey, claim))

    def _all_facts(self) -> Iterator[Mapping[str, Any]]:
        position = 0
        while rows := self._records.read(SUBMISSIONS, after=position, limit=_PAGE):
            yield from (row.facts for row in rows)
            position = rows[-1].position

    def _append(self, added: Sequence[SubmittedImage], removed: Sequence[str], taken_s: int) -> None:
        self._updates += 1
        parts = [added[start : start + _PART] for start in range(0, len(added), _PART)] or [[]]
        try:
            for number, part in enumerate(parts):
                is_last = number == len(parts) - 1
                facts = {
                    "update": self._updates,
                    "part": number,
                    "is_last": is_last,
                    "taken_s": taken_s,
                    "added": [entry.facts() for entry in part],
                    "removed": list(removed) if is_last else [],
                }
                self._records.append(SUBMISSIONS, f"{self._updates}-{number}", facts)
        except BaseException:
            # The part may be written all the same. Read the database again before the next difference.
            self._standing = None
            raise


def _checked(submissions: Sequence[SubmittedImage], now_s: float) -> dict[str, SubmittedImage]:
    if len(submissions) > MAX_SUBMISSIONS:
        raise EntryRefused("too_many", f"{len(submissions)} submissions are more than {MAX_SUBMISSIONS}")
    given: dict[str, SubmittedImage] = {}
    for entry in submissions:
        if entry.hotkey in given:
            raise EntryRefused("duplicate_hotkey", f"The hotkey {entry.hotkey} occurs twice")
        if entry.submitted_s > now_s + MAX_AHEAD_S:
            raise EntryRefused(
                "bad_submission", f"The submit_time of {entry.hotkey} is {entry.submitted_s}, in the future"
            )
        given[entry.hotkey] = entry
    return given


def _table(published: tuple[str, PublishedStep] | None, standing: Standing) -> PublishedTable:
    round_id, rows = ("", ()) if published is None else (published[0], published[1].rows)
    shown = {row.submission.hotkey for row in rows}
    waiting = sorted(entry for entry in standing.values() if entry.hotkey not in shown)
    rows = (*rows, *(ImageRow(entry) for entry in waiting))
    facts = canonical_json([round_id, *(row.facts() for row in rows)])
    return PublishedTable(round_id, rows, hashlib.sha256(facts.encode()).hexdigest()[:32])
