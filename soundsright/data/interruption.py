"""Ctrl-C while worker processes run: only the parent reacts, and only once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def one_interruption() -> Iterator[None]:
    """The first Ctrl-C ends the block; later ones are ignored.

    An impatient user or `timeout` can send a second one. It would interrupt the shutdown of the workers, and the
    pool would then hang.
    """
    signals = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is signal.default_int_handler]
    if threading.current_thread() is not threading.main_thread():
        signals = []  # Only the main thread is interrupted, and only it may set handlers.

    def first(number: int, frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, lambda number, frame: None)
        raise KeyboardInterrupt

    for each in signals:
        signal.signal(each, first)
    try:
        yield
    finally:
        for each in signals:
            signal.signal(each, signal.default_int_handler)


@contextmanager
def children_ignore_interrupts() -> Iterator[None]:
    """Processes started in the block ignore Ctrl-C from their first moment.

    Ctrl-C reaches the whole process group, but the parent decides when the workers end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
