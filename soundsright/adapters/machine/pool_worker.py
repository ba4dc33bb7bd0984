"""The program of a worker process of `ProcessPool`: it runs one job after the other until its parent ends.

A job is a pickled `(function, arguments, deadline_s)`. Its outcome is a pickled `JobOutcome`. The deadline is in
seconds of processor time. The first job is `prepare`.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

JobOutcome = tuple[Literal["done", "error", "memory"], Any]
"""`done` with the value, `error` with the exception, or `memory` with a message if the job ran out of memory."""


def serve(descriptor: int) -> None:
    """Run the jobs that arrive on the socket with this file descriptor."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    os.nice(10)
    with Connection(descriptor) as parent:
        try:
            while True:
                parent.send_bytes(_outcome(parent.recv_bytes()))
        except (EOFError, ConnectionError):
            # The parent has closed its end, perhaps before it read the last outcome.
            return


def _end_with_the_parent() -> None:
    # A killed parent cannot end its workers. Without this, they would finish a job whose result nobody reads.
    while os.read(0, 1):
        pass
    os._exit(1)


def prepare(warm_up: Callable[[], None] | None, memory_bytes: int) -> None:
    """Call `warm_up`, then limit the memory: a job may take `memory_bytes` more than the process has now.

    A job that needs more gets a `MemoryError`. Only Linux counts private memory in `RLIMIT_DATA`, so other systems
    have no limit.
    """
    if warm_up is not None:
        warm_up()
    if sys.platform == "linux":
        import resource

        used_bytes = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = used_bytes + memory_bytes
        resource.setrlimit(
            resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
        )


def _outcome(message: bytes) -> bytes:
    try:
        function, arguments, deadline_s = pickle.loads(message)
        if deadline_s is not None:
            # Without a handler, SIGPROF ends the process, even while it runs compiled code.
            signal.setitimer(signal.ITIMER_PROF, deadline_s)
        try:
            outcome: JobOutcome = ("done", function(*arguments))
        finally:
            if deadline_s is not None:
                signal.setitimer(signal.ITIMER_PROF, 0.0)
        return pickle.dumps(outcome)
    except MemoryError as error:
        return pickle.dumps(("memory", str(error)))
    except Exception as error:  # noqa: BLE001 - raised in the thread that waits for the job
        error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        return _pickled(error)


def _pickled(error: Exception) -> bytes:
    try:
        message = pickle.dumps(("error", error))
        pickle.loads(message)
    except Exception:  # noqa: BLE001 - an error of another package may fail in any way when pickled
        return pickle.dumps(("error", RuntimeError(f"{type(error).__name__}: {error}")))
    return message
