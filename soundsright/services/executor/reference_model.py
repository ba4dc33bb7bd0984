"""The reference's program: it does the same work for every clip and returns the clip unchanged.

It runs as a model of its own, over the protocol of files, with the standard library alone. Do not import it.
"""

import hashlib
import os
import time
from pathlib import Path

WORK = 120
"""Rounds of work per clip; about 0.1 s on a core of today."""
BLOCK = bytes(range(256)) * 1_024


def work() -> int:
    """Integer arithmetic of the interpreter, and SHA-256 over more memory than the first caches hold."""
    total = 0
    for number in range(WORK):
        total ^= int.from_bytes(hashlib.sha256(BLOCK).digest()[:4], "big")
        for step in range(4_000):
            total = (total * 1_103_515_245 + step + number) & 0x7FFFFFFF
    return total


def answer(batch: Path, outputs: Path) -> None:
    unfinished = outputs / f"{batch.name}.tmp"
    unfinished.mkdir()
    for file in sorted(batch.iterdir()):
        work()
        (unfinished / file.name).write_bytes(file.read_bytes())
    unfinished.rename(outputs / batch.name)


def main() -> None:
    inputs, outputs = Path(os.environ["SOUNDSRIGHT_INPUT"]), Path(os.environ["SOUNDSRIGHT_OUTPUT"])
    (outputs / "ready").touch()
    number = 1
    while True:
        batch = inputs / f"batch-{number}"
        if batch.is_dir():
            answer(batch, outputs)
            number += 1
        else:
            time.sleep(0.005)


if __name__ == "__main__":
    main()
