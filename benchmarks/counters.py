"""Measures how many additions a second the counters take in SQL and in Redis, and the ratio of the two.

    python benchmarks/counters.py [--url postgresql://...] [--redis redis://...]

Every addition has a mark that makes its repeat harmless. SQL waits for the disk at each addition. Redis is a server
that this program starts with `appendonly yes`, so its log reaches the disk each second. The two take turns, so that
both meet the same load of the machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from soundsright.adapters.state import RedisCounters, SqlCounters
from soundsright.config.redis_server import RedisServer, redis_server
from soundsright.core.errors import StateUnavailable
from soundsright.core.ports import Counters

DELTAS = {"challenge_attempts": 1, "challenge_successes": 1, "total_successes": 1}
ROUNDS = 5
SCOPES = 256


@contextmanager
def started_redis(folder: Path) -> Iterator[RedisServer]:
    """A Redis server with its data in the folder."""
    if shutil.which("redis-server") is None:
        sys.exit("There is no redis-server. Install it (Debian: redis-server), or give --redis URL.")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    address = RedisServer(port=port)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = subprocess.Popen([*command, "--appendonly", "yes", "--save", ""], stdout=subprocess.DEVNULL)
    try:
        for _attempt in range(100):
            try:
                RedisCounters(address).close()
                break
            except StateUnavailable:
                time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


def additions_per_s(counters: Counters, count: int, turn: int) -> float:
    started = time.perf_counter()
    for number in range(count):
        counters.add(f"hotkey{number % SCOPES}", DELTAS, once=f"{turn}:{number}")
    rate = count / (time.perf_counter() - started)
    counters.close_interval(f"interval{turn}")
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="The SQL database to measure. [default: a temporary SQLite file]")
    parser.add_argument("--redis", help="The Redis to measure. [default: one that is started here]")
    parser.add_argument("--count", type=int, default=500, help="Additions in each of 5 turns. [default: 500]")
    options = parser.parse_args()
    scope = f"benchmark-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder, started_redis(Path(folder)) as started:
        sql = SqlCounters(options.url or Path(folder) / "state.db", scope=scope)
        in_redis = RedisCounters(redis_server(options.redis) if options.redis else started, scope=scope)
        rates = {"SQL": list[float](), "Redis": list[float]()}
        for turn in range(ROUNDS):
            rates["SQL"].append(additions_per_s(sql, options.count, turn))
            rates["Redis"].append(additions_per_s(in_redis, options.count * 4, turn))
        for name, own in rates.items():
            print(f"{name:<6} {median(own):8.0f} additions/s (from {min(own):.0f} to {max(own):.0f})")
        print(f"Redis by SQL: {median(rates['Redis']) / median(rates['SQL']):.1f}")
        sql.close()
        in_redis.close()


if __name__ == "__main__":
    main()
