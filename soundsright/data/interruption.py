"""Ctrl-C while worker processes run: heard once, and by the parent alone."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def one_interruption() -> Iterator[None]:
    """The first Ctrl-C ends what runs within, and those that follow are not heard.

    A second one, as an impatient user or `timeout` sends it, would break into the ending of the workers; the pool
    never recovers from that, and neither it nor the program would end.
    """
    heard = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is signal.default_int_handler]
    if threading.current_thread() is not threading.main_thread():
        heard = []  # Another thread is not interrupted, and may not say what a signal does.

    def first(number: int, frame: FrameType | None) -> None:
        for each in heard:
            signal.signal(each, lambda number, frame: None)
        raise KeyboardInterrupt

    for each in heard:
        signal.signal(each, first)
    try:
        yield
    finally:
        for each in heard:
            signal.signal(each, signal.default_int_handler)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes begun within do not hear Ctrl-C, from their first moment on.

    It reaches the whole process group, and the parent decides when the workers end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
