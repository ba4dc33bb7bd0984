"""A line of progress on stderr, for a terminal."""

from __future__ import annotations

import sys
import time

import click


class ProgressLine:
    """A context manager that shows how many items are done. Without a terminal, it shows nothing.

    `form` is the text of the line, with the fields `done` and `total`, and `left` for the time that is left.
    `known` items were done before, so they say nothing about the pace.
    """

    def __init__(self, form: str, *, known: int = 0) -> None:
        self._form = form
        self._known = known
        self._shown = sys.stderr.isatty()
        self._started_s = time.monotonic()
        self._width = 0
        self._is_over = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def __call__(self, done: int, total: int) -> None:
        if done <= self._known:
            self._started_s = time.monotonic()
        if self._shown and not self._is_over:
            left = time_left(time.monotonic() - self._started_s, done - self._known, total - self._known)
            line = self._form.format(done=done, total=total, left=left)
            # Spaces remove the end of a longer line.
            click.echo("\r" + line.ljust(self._width), nl=False, err=True)
            self._width = len(line)
            if done >= total:
                self._is_over = True
                self._end()

    def _end(self) -> None:
        """Keep the line, so that another one can follow."""
        if self._width:
            click.echo("", err=True)
        self._width = 0


def time_left(elapsed_s: float, done: int, total: int) -> str:
    """The time that the rest takes at the pace so far, in words; a dash if nothing is done yet.

    >>> time_left(10.0, 1, 13), time_left(600.0, 10, 100), time_left(1.0, 0, 5)
    ('2 min', '90 min', '–')
    """
    if done <= 0:
        return "–"
    left_s = elapsed_s / done * (total - done)
    return f"{left_s:.0f} s" if left_s < 90 else f"{left_s / 60:.0f} min"
