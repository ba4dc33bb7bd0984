"""How commands react to Ctrl-C and to signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

EXIT_INTERRUPTED = 130


@contextmanager
def resumable(kept: str | None) -> Iterator[None]:
    """If the block is interrupted, say that `kept` remains and that `--resume` continues from it.

    `kept` is the path of the partial result, or None if nothing remains.
    """
    try:
        yield
    except KeyboardInterrupt:
        if kept is None:
            raise
        click.echo(f"Stopped. {kept} is kept. To continue, run the same command with --resume.", err=True)
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None


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
