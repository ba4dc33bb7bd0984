"""A worker of `pool.ProcessPool`: runs jobs from a connection, one after the other, until its parent is gone.

A job is a pickled `(function, arguments, deadline_s)`, its answer a pickled `Answer`. The deadline is in seconds of
processor time. The first job is `prepare`.
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

Answer = tuple[Literal["done", "error", "memory"], Any]
"""The value, the error, or that memory ran out."""


def serve(descriptor: int) -> None:
    """Answer the jobs that come through the socket of that number."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    os.nice(10)
    with Connection(descriptor) as parent:
        try:
            while True:
                parent.send_bytes(_answered(parent.recv_bytes()))
        except EOFError:
            return


def _end_with_the_parent() -> None:
    # A killed parent tells its workers nothing: they would finish a job that nobody waits for.
    while os.read(0, 1):
        pass
    os._exit(1)


def prepare(warm_up: Callable[[], None] | None, memory_bytes: int) -> None:
    """Warm up, then let the process have so much beyond what it has: a job that wants more gets a `MemoryError`.

    Linux alone counts private memory in `RLIMIT_DATA`; elsewhere there is no limit.
    """
    if warm_up is not None:
        warm_up()
    if sys.platform == "linux":
        import resource

        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = held + memory_bytes
        resource.setrlimit(
            resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
        )


def _answered(message: bytes) -> bytes:
    try:
        function, arguments, deadline_s = pickle.loads(message)
        if deadline_s is not None:
            # Left to itself the signal ends the process, in the midst of compiled code too.
            signal.setitimer(signal.ITIMER_PROF, deadline_s)
        try:
            answer: Answer = ("done", function(*arguments))
        finally:
            if deadline_s is not None:
                signal.setitimer(signal.ITIMER_PROF, 0.0)
        return pickle.dumps(answer)
    except MemoryError as error:
        return pickle.dumps(("memory", str(error)))
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for the job
        error.add_note(f"In a worker:\n{traceback.format_exc()}")
        return _pickled(error)


def _pickled(error: Exception) -> bytes:
    try:
        message = pickle.dumps(("error", error))
        pickle.loads(message)
    except Exception:  # noqa: BLE001 - whatever another package's error does when it is copied
        return pickle.dumps(("error", RuntimeError(f"{type(error).__name__}: {error}")))
    return message
