"""The lines and the exit code of a report that compares published results with those computed here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from soundsright.core.errors import printable

if TYPE_CHECKING:
    from soundsright.services.replay import ReplayReport

DIFFERENT = 3
"""The exit code if a difference was found."""
UNCHECKED = 1
"""The exit code if not all of the depth that was asked for could be checked."""


def report_lines(report: ReplayReport) -> Iterator[str]:
    """The findings, one line for each."""
    for what, number in report.checked.items():
        yield f"Checked    {number} {what}"
    if report.sample is not None:
        yield f"Sample     {report.sample.sentence}"
    for each in report.unchecked:
        yield f"Unchecked  {printable(each.part)}: {printable(each.why)}"
    for remark in report.remarks:
        yield f"Note       {printable(remark)}"
    if report.difference is not None:
        yield f"Different  {printable(report.difference.sentence)}"
    elif report.is_checked:
        yield "Same       Nothing that was checked differs."
    elif report.has_results:
        yield "Unchecked  Nothing that was checked differs, but not all of this depth could be checked."
    else:
        yield "Unchecked  Nothing of this depth could be checked."


def exit_code_of(report: ReplayReport) -> int:
    """The exit code of the command that made the report."""
    if not report.is_same:
        return DIFFERENT
    return 0 if report.is_checked else UNCHECKED
