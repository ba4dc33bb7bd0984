"""Read a federation's verdicts one at a time, 16 at a time, and again, and compare the times.

    python benchmarks/federation_reading.py
    python benchmarks/federation_reading.py --tasks 100 --miners 256 --delay-ms 20

The verdicts are in `rclone serve s3`, and each request takes 20 ms longer, as in a network. For each task the first
validator in turn has a verdict, and the second has none. A cold read begins without a cache: it asks for both,
checks signature and content, and keeps what is valid. "Again" is the next read in the same process. "After a
restart" is the first one of a new process, which has the verdicts on its disk and asks only for absent ones. All
are measured in turns in one run, so that their ratios do not depend on the machine. It prints medians and ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soundsright.adapters.buckets import S3Bucket
from soundsright.adapters.peers import valid_signature
from soundsright.core.ports import Bucket
from soundsright.services.federation import (
    BucketReader,
    Contents,
    FirstSeen,
    Found,
    TaskFacts,
    VerdictReader,
    sign_verdict,
    verdict_key,
)
from soundsright.testing import MemoryRecords, VirtualClock
from tests.adapters.buckets.services import place, rclone
from tests.services.federation.places import Watched
from tests.services.federation.published import account_of, sha, task_facts, verdict

FIRST_TASK = 12
Wanted = list[tuple[TaskFacts, str]]


def delayed(bucket: Bucket, delay_s: float) -> Watched:
    """The bucket, with reads that take longer and need no more of this machine's processor."""
    return Watched(bucket, lambda _key: time.sleep(delay_s))


class Reading:
    """One machine that reads, with a disk and a state of its own."""

    def __init__(self, folder: Path, buckets: dict[str, Bucket], at_once: int) -> None:
        self._folder = folder
        self._records = MemoryRecords()
        self._buckets = buckets
        self._at_once = at_once
        self.restart()

    def restart(self) -> None:
        reader = BucketReader(self._buckets, VirtualClock(), at_once=self._at_once)
        contents, seen = Contents(self._folder), FirstSeen(self._records)
        self._verdicts = VerdictReader(reader, contents, seen, valid_signature=valid_signature)

    def seconds(self, wanted: Wanted, expected: int) -> float:
        """The time of one read in seconds of the clock."""
        started_s = time.perf_counter()
        results = self._verdicts.read(wanted, finalized=10**9)
        took_s = time.perf_counter() - started_s
        assert sum(isinstance(result, Found) for result in results.values()) == expected
        return took_s


def times_of_a_turn(
    folder: Path, buckets: dict[str, Bucket], wanted: Wanted, tasks: int, at_once: int
) -> dict[str, float]:
    """The seconds of each kind of read, one after the other."""
    one = Reading(folder / "one", buckets, 1)
    many = Reading(folder / "many", buckets, at_once)
    steps: dict[str, Callable[[], float]] = {
        "one at a time": partial(one.seconds, wanted, tasks),
        "16 at a time": partial(many.seconds, wanted, tasks),
        "again": partial(many.seconds, wanted, tasks),
    }
    times = {name: step() for name, step in steps.items()}
    many.restart()
    return times | {"after a restart": many.seconds(wanted, tasks)}


def main() -> None:
    """Measure, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--miners", type=int, default=256)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--delay-ms", type=float, default=20.0)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    numbers = range(FIRST_TASK, FIRST_TASK + options.tasks)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(rclone(folder / "s3"))
        direct = S3Bucket(place(url))
        for task in numbers:
            account = account_of(task)
            raw = sign_verdict(verdict(task, miners=options.miners, previous=sha(task)), account)
            direct.put(verdict_key(task, account.address), raw)
        bucket = delayed(direct, options.delay_ms / 1_000)
        buckets: dict[str, Bucket] = {account_of(task).address: bucket for task in numbers}
        wanted = [
            (task_facts(task, late_block=0), account_of(task, step).address) for step in (0, 1) for task in numbers
        ]
        turns = [
            times_of_a_turn(folder / str(turn), buckets, wanted, options.tasks, options.at_once)
            for turn in range(options.turns)
        ]
    medians = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    print(
        f"{options.tasks} tasks, {options.miners} miners, {len(raw)} bytes each, {options.delay_ms:g} ms a request"
    )
    for name, seconds in medians.items():
        print(f"{name}: {seconds:.3f} s")
    cold = medians["16 at a time"]
    print(f"{options.at_once} at a time: {medians['one at a time'] / cold:.1f} times as fast as one")
    for name in ("again", "after a restart"):
        print(f"{name}: {medians[name] / cold:.3f} of a cold read")


if __name__ == "__main__":
    main()
