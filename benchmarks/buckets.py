"""How much faster 100 objects of a bucket are read 16 at a time than one at a time.

    python benchmarks/buckets.py
    python benchmarks/buckets.py --delay-ms 20 --objects 100

The bucket is `rclone serve s3` behind a proxy that delays each request, as a network does. Both ways read in one
run, in turns, so that their ratio does not depend on the machine. It prints both, and the ratio of their medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soundsright.adapters.buckets import S3Bucket
from tests.adapters.buckets.services import place, proxy, rclone

OBJECT_BYTES = 2_000


def seconds_of_reads(bucket: S3Bucket, keys: Sequence[str], at_once: int) -> float:
    """The time in which all objects are read, in seconds of the clock."""
    started_s = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        contents = list(pool.map(lambda key: bucket.get(key, OBJECT_BYTES), keys))
    assert all(len(content) == OBJECT_BYTES for content in contents)
    return time.perf_counter() - started_s


def main() -> None:
    """Measure, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--delay-ms", type=float, default=20.0)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, rclone(Path(folder)) as url:
        direct = S3Bucket(place(url))
        keys = [f"verdicts/{number:04d}.json" for number in range(options.objects)]
        for key in keys:
            direct.put(key, b"x" * OBJECT_BYTES)
        with proxy(url, delay_s=options.delay_ms / 1_000) as standing:
            bucket = S3Bucket(place(standing.url))
            seconds_of_reads(bucket, keys[:4], 1)
            single_s, together_s = [], []
            for _ in range(options.turns):
                single_s.append(seconds_of_reads(bucket, keys, 1))
                together_s.append(seconds_of_reads(bucket, keys, options.at_once))
    single, together = statistics.median(single_s), statistics.median(together_s)
    print(f"{options.objects} objects, {options.delay_ms:g} ms each request")
    print(f"one at a time: {single:.3f} s; {options.at_once} at a time: {together:.3f} s")
    print(f"{single / together:.1f} times as fast")


if __name__ == "__main__":
    main()
