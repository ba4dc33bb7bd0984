"""Measures a snapshot of a private chain after a day of commitments from one address, against a log that keeps all.

    python benchmarks/chain.py [--commitments 864000]

An address may send 600 writes a minute, so 864 000 a day, spread over 120 hotkeys. The first chain keeps every
commitment and groups them for each snapshot. The second one keeps the last ones of each hotkey. The output has
the lines and the size of both logs, and the time of a snapshot as a ratio.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from soundsright.adapters.chains import LocalChain

HOTKEYS = 120
TEXT = "x" * 64
GROUPED = (
    "SELECT hotkey, digest, max(block) FROM (SELECT * FROM whole_log UNION SELECT * FROM commitments) "
    "WHERE block <= ?1 GROUP BY hotkey ORDER BY 3, hotkey",
    "SELECT hotkey, block FROM whole_log WHERE block <= ?1 ORDER BY block",
    "SELECT hotkey, digest, min(block) FROM whole_log WHERE block <= ?1 GROUP BY hotkey, digest",
)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commitments", type=int, default=864_000)
    count = parser.parse_args().commitments
    per_hotkey = count // HOTKEYS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.db"
        chain = LocalChain(path, block_per_write=False)
        hotkeys = [f"hotkey-{number}" for number in range(HOTKEYS)]
        for hotkey in hotkeys:
            chain.register(hotkey)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(
                "CREATE TABLE commitment_log_before (hotkey TEXT NOT NULL, digest TEXT NOT NULL, block INTEGER NOT "
                "NULL, PRIMARY KEY (hotkey, block)) STRICT"
            )
            lines = ((hotkey, f"{block}{TEXT}", block) for block in range(1, per_hotkey + 1) for hotkey in hotkeys)
            db.executemany("INSERT INTO commitment_log_before VALUES (?, ?, ?)", lines)
            db.executemany("INSERT INTO blocks VALUES (?, ?)", ((n, "0x") for n in range(1, per_hotkey + 1)))
            db.execute("CREATE TABLE whole_log AS SELECT * FROM commitment_log_before")
            db.execute("CREATE UNIQUE INDEX whole_log_key ON whole_log (hotkey, block)")
            db.execute("DROP TABLE commitment_log")
            db.execute("ALTER TABLE commitment_log_before RENAME TO commitment_log")
            before_s = seconds(lambda: [db.execute(query, (per_hotkey,)).fetchall() for query in GROUPED])
            kept_all = db.execute("SELECT count(*) FROM whole_log").fetchone()[0]
            db.execute("DROP TABLE whole_log")
        upgrade_s = seconds(lambda: LocalChain(path, block_per_write=False))
        now_s = min(seconds(LocalChain(path, block_per_write=False).snapshot) for _ in range(5))
        with closing(sqlite3.connect(path)) as db:
            kept = db.execute("SELECT count(*) FROM commitment_log").fetchone()[0]
        print(f"{'':>12}{'lines kept':>12}{'snapshot':>12}")
        print(f"{'all kept':>12}{kept_all:>12}{before_s:>10.3f} s")
        print(f"{'last kept':>12}{kept:>12}{now_s:>10.3f} s")
        print(
            f"A snapshot is {before_s / now_s:.0f} times as fast. The upgrade of the file took {upgrade_s:.1f} s."
        )


if __name__ == "__main__":
    main()
