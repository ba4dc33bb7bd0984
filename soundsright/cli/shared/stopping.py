"""How commands react to Ctrl-C and to signals."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

EXIT_INTERRUPTED = 130


@contextmanager
def resumable(partial_result: str | None) -> Iterator[None]:
    """If the block is interrupted, say that the partial result is kept and that `--resume` continues from it.

    `partial_result` is its path, or None if nothing is kept.
    """
    try:
        yield
    except KeyboardInterrupt:
        if partial_result is None:
            raise
        click.echo(f"Stopped. {partial_result} is kept. To continue, run the same command with --resume.", err=True)
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Say at once that a signal stops the block, because its threads and workers take some time to end."""

    def handle(_number: int, _frame: object) -> None:
        # Not print: the signal can arrive while the program prints, and a stream cannot be entered twice.
        with suppress(OSError):
            os.write(2, b"Stopping ...\n")
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread gets signals.
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopped_by_signals(on_stop: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set. The first signal calls `on_stop`."""
    stop = threading.Event()

    def handle(_number: int, _frame: object) -> None:
        if not stop.is_set():
            stop.set()
            on_stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
