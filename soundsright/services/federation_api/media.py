"""Links to the audio of a task in its validators' buckets. Each is valid for ten minutes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from soundsright.core.errors import BucketRefusal, InfrastructureFault
from soundsright.core.ports import Bucket

MEDIA_S = 600
"""Seconds for which a link is valid."""
_LISTED_S = 300.0
_MAX_KEYS = 5_000
_MAX_LISTS = 64
_FOLDERS = ("original", "generated")


@dataclass(frozen=True)
class MediaLink:
    """One audio file of a task, and the address at which anybody can read it now."""

    validator: str
    key: str
    url: str


@dataclass(frozen=True)
class TaskMedia:
    """The links of a task. `unread` are the validators whose buckets could not be listed: theirs are unknown."""

    links: tuple[MediaLink, ...]
    unread: tuple[str, ...]


class Media:
    """Lists the audio of tasks in the validators' buckets, by hotkey. Any thread may call it.

    A list of keys is used for five minutes, so that requests of strangers cause few requests to the buckets.
    """

    def __init__(self, buckets: Mapping[str, Bucket], *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._buckets = dict(buckets)
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._lists: OrderedDict[tuple[str, int], tuple[float, tuple[str, ...]]] = OrderedDict()

    def of_task(self, task: int, validators: tuple[str, ...]) -> TaskMedia:
        """The links to the audio that these validators published for a task."""
        links: list[MediaLink] = []
        unread: list[str] = []
        for validator in validators:
            bucket = self._buckets.get(validator)
            if bucket is None:
                continue
            try:
                links += self._links(validator, bucket, task)
            except (InfrastructureFault, BucketRefusal):
                unread.append(validator)
        return TaskMedia(tuple(links), tuple(unread))

    def _links(self, validator: str, bucket: Bucket, task: int) -> list[MediaLink]:
        addressed = ((key, bucket.presigned(key, MEDIA_S)) for key in self._keys(validator, bucket, task))
        return [MediaLink(validator, key, url) for key, url in addressed if url is not None]

    def _keys(self, validator: str, bucket: Bucket, task: int) -> tuple[str, ...]:
        with self._lock:
            listed_at_s, keys = self._lists.get((validator, task), (-float("inf"), ()))
        if self._monotonic_s() - listed_at_s <= _LISTED_S:
            return keys
        found = [each.key for name in _FOLDERS for each in bucket.list(f"{task}/{name}/", _MAX_KEYS)]
        keys = tuple(key for key in found if key.endswith(".flac"))
        with self._lock:
            self._lists[validator, task] = (self._monotonic_s(), keys)
            self._lists.move_to_end((validator, task))
            if len(self._lists) > _MAX_LISTS:
                self._lists.popitem(last=False)
        return keys
