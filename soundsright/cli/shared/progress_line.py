"""A line of progress on stderr, for a terminal."""

from __future__ import annotations

import sys

import click


class ProgressLine:
    """A context manager that shows how many items are done. Without a terminal, it shows nothing.

    `form` is the text of the line, with the fields `done` and `total`.
    """

    def __init__(self, form: str) -> None:
        self._form = form
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown:
            click.echo("", err=True)

    def __call__(self, done: int, total: int) -> None:
        if self._shown:
            click.echo("\r" + self._form.format(done=done, total=total), nl=False, err=True)
