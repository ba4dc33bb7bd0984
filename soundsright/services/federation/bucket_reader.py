"""Many objects of many buckets, read a few at a time. Sizes are in bytes, times in seconds.

A bucket has an object, or it certainly has none, or nothing is known. A bucket that is slow,
refuses the keys or sends half an answer tells nothing. Then the object is asked for again after a pause that grows.
A bucket that fails repeatedly is left alone for a while, so that it cannot take the time of the others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest

from soundsright.core.errors import BucketMissing, BucketTooLarge, SoundsRightError
from soundsright.core.ports import Bucket, Clock
from soundsright.services.validator import Backoff

AT_ONCE = 16
PASS_S = 120.0
"""The longest time for one call. What is not read by then is unknown."""
SLOW_S = 10.0
"""A request that takes longer counts as a failure of its bucket, even if it succeeds."""
MAX_FAILURES = 3
"""After so many failures in one call, a bucket is left alone for a pause."""
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0
FIRST_REFUSED_S = 60.0
LONGEST_REFUSED_S = 3_600.0
MAX_PAUSES = 65_536
"""So many objects are remembered with their pauses, those met last. A forgotten one is asked for early."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ObjectOf:
    """An object in the bucket of a hotkey, and the most bytes to read of it."""

    owner: str
    key: str
    max_bytes: int = field(compare=False)


@dataclass(frozen=True)
class Absent:
    """It is certain that there was no such object. It may come later."""


@dataclass(frozen=True)
class Unknown:
    """Nothing is known about the object. `reason` says why and has no values of a stranger."""

    reason: str


@dataclass(frozen=True)
class TooLarge:
    """The object has more bytes than were to be read."""


Answer = bytes | Absent | Unknown | TooLarge


class BucketReader:
    """Reads objects of `buckets`, which are by the hotkey of their validator, `at_once` at a time.

    Use one thread. Pauses go by `clock`.
    """

    def __init__(
        self, buckets: Mapping[str, Bucket], clock: Clock, *, at_once: int = AT_ONCE, pass_s: float = PASS_S
    ) -> None:
        self._buckets = buckets
        self._clock = clock
        self._at_once = at_once
        self._pass_s = pass_s
        self._bucket_pauses: dict[str, Backoff] = defaultdict(_backoff)
        self._object_pauses = _Pauses()

    @property
    def owners(self) -> tuple[str, ...]:
        """The hotkeys whose buckets are known."""
        return tuple(self._buckets)

    def each(self, wanted: Iterable[ObjectOf]) -> Iterator[tuple[ObjectOf, Answer]]:
        """Each object with its answer, in the order in which the answers come."""
        now_s, due = self._clock.now(), []
        for item in dict.fromkeys(wanted):
            if item.owner not in self._buckets:
                yield item, Unknown("the bucket of this validator is not known here")
            elif not self._bucket_pauses[item.owner].is_due(now_s):
                yield item, Unknown("its bucket failed, and is asked again after a pause")
            elif item in self._object_pauses and not self._object_pauses[item].is_due(now_s):
                yield item, Unknown("it could not be read, and is asked for again after a pause")
            else:
                due.append(item)
        yield from self._answers(due)

    def one(self, item: ObjectOf) -> Answer:
        """The answer for one object."""
        return dict(self.each([item]))[item]

    def refuse(self, item: ObjectOf) -> None:
        """Note that an object has content that nobody can use. It is asked for again after a longer pause."""
        if not isinstance(self._object_pauses.get(item), _LongBackoff):
            self._object_pauses.pop(item, None)
        self._object_pauses.of(item, _LongBackoff).failed(self._clock.now())

    def _answers(self, due: list[ObjectOf]) -> Iterator[tuple[ObjectOf, Answer]]:
        """The answers for objects that are due. Few answers wait at a time, since each can be large."""
        if not due:
            return
        failures, waiting = _Failures(), _in_turns(due, self._object_pauses)
        pool = ThreadPoolExecutor(min(self._at_once, len(due)), thread_name_prefix="bucket")
        asked: dict[Future[Answer], ObjectOf] = {}
        ends_s = time.monotonic() + self._pass_s
        try:
            while True:
                for item in islice(waiting, 2 * self._at_once - len(asked)):
                    asked[pool.submit(_read, self._buckets[item.owner], item, failures)] = item
                done, _ = wait(asked, timeout=max(0.0, ends_s - time.monotonic()), return_when=FIRST_COMPLETED)
                if not done:
                    break
                for future in done:
                    item = asked.pop(future)
                    self._note(item, future.result())
                    yield item, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        for item in (*asked.values(), *waiting):
            failures.add(item.owner)
            yield item, Unknown("the buckets were too slow")
        self._note_buckets({item.owner for item in due}, failures)

    def _note(self, item: ObjectOf, answer: Answer) -> None:
        if isinstance(answer, Unknown) and answer is not _LEFT_ALONE:
            self._object_pauses.of(item, _backoff).failed(self._clock.now())
        elif isinstance(answer, Absent):
            self._object_pauses.pop(item, None)

    def _note_buckets(self, owners: Iterable[str], failures: _Failures) -> None:
        for owner in owners:
            pause = self._bucket_pauses[owner]
            if failures.are_many(owner):
                pause.failed(self._clock.now())
                _log.warning("a bucket fails", extra={"action": "bucket_failed", "peer": owner})
            else:
                pause.succeeded()


class _Failures:
    """The failures of each bucket in one call. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = defaultdict(int)

    def add(self, owner: str) -> None:
        with self._lock:
            self._counts[owner] += 1

    def are_many(self, owner: str) -> bool:
        with self._lock:
            return self._counts[owner] >= MAX_FAILURES


_LEFT_ALONE = Unknown("its bucket failed, and is left alone for a while")


class _LongBackoff(Backoff):
    """The pauses of an object whose content cannot be used."""

    def __init__(self) -> None:
        super().__init__(first_s=FIRST_REFUSED_S, longest_s=LONGEST_REFUSED_S)


class _Pauses(OrderedDict[ObjectOf, Backoff]):
    """The pauses of objects, at most `MAX_PAUSES`. Those that were met longest ago are forgotten."""

    def of(self, item: ObjectOf, make: Callable[[], Backoff]) -> Backoff:
        """The pause of an object, which is made if there is none."""
        if item not in self:
            self[item] = make()
        self.move_to_end(item)
        while len(self) > MAX_PAUSES:
            self.popitem(last=False)
        return self[item]


def _backoff() -> Backoff:
    return Backoff(first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)


def _read(bucket: Bucket, item: ObjectOf, failures: _Failures) -> Answer:
    if failures.are_many(item.owner):
        return _LEFT_ALONE
    started_s = time.monotonic()
    answer = _answer(bucket, item)
    if isinstance(answer, Unknown) or time.monotonic() - started_s > SLOW_S:
        failures.add(item.owner)
    return answer


def _answer(bucket: Bucket, item: ObjectOf) -> Answer:
    try:
        return bucket.get(item.key, item.max_bytes)
    except BucketMissing:
        return Absent()
    except BucketTooLarge:
        return TooLarge()
    except SoundsRightError as error:
        return Unknown(str(getattr(error, "code", type(error).__name__)))


def _in_turns(due: list[ObjectOf], failed: Mapping[ObjectOf, Backoff]) -> Iterator[ObjectOf]:
    """The objects of all buckets in turns, so that a slow bucket delays the others least. Failed ones are last."""
    by_owner: dict[str, list[ObjectOf]] = defaultdict(list)
    for item in sorted(due, key=lambda item: item in failed):
        by_owner[item.owner].append(item)
    return (item for item in chain.from_iterable(zip_longest(*by_owner.values())) if item is not None)
