"""`--like`: print the table of another evaluation program beside the scores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.options import FILE, grouped, option
from soundsright.core.errors import UsageError, printable

if TYPE_CHECKING:
    from soundsright.library import FolderScore


@dataclass(frozen=True)
class LikeChoice:
    """The program whose table is wanted, if any, and the CSV file for it."""

    like: str | None
    like_csv: Path | None

    def metrics(self, named: str | None, sample_rate_hz: int) -> str | None:
        """The names for `--metrics`: those of the program's table, or else those that were named.

        Raises:
            UsageError: both are given, the CSV file has no table, or the program does not run at this rate.
        """
        from soundsright.metrics import published_table

        if self.like is None:
            if self.like_csv is not None:
                raise UsageError("--like-csv has no table to write", "Add --like with the name of a program.")
            return named
        if named is not None:
            raise UsageError("--like chooses the metrics itself", "Leave --metrics out.")
        return ",".join(published_table(self.like).metrics_at(sample_rate_hz))

    def report(self, text: str, scores: FolderScore) -> str:
        """The JSON report with the program's table under `like`; the same text if none is wanted."""
        if self.like is None:
            return text
        from soundsright.library import like

        document = json.loads(text) | {"like": like(scores, self.like).fields()}
        return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    def write_csv(self, scores: FolderScore) -> None:
        """Write the program's table to the CSV file, if one is wanted."""
        from soundsright.library import like

        if self.like is not None and self.like_csv is not None:
            self.like_csv.write_text(like(scores, self.like).csv(), encoding="utf-8")

    def show(self, scores: FolderScore) -> None:
        """Print the program's table, if one is wanted: names, means, and metrics, or why there are none."""
        from soundsright.library import like

        if self.like is None:
            return
        table = like(scores, self.like)
        click.echo(f"As printed by {table.table.title}:")
        width = max(len(column.printed) for column in table.columns) + 2
        for column in table.columns:
            value = (
                f"{'-':>10}  {column.why_not}" if column.mean is None else f"{column.mean:10.4f}  {column.metric}"
            )
            click.echo(printable(f"  {column.printed:<{width}}{value}"))
        click.echo(table.table.differs)


like_options = grouped(
    LikeChoice,
    "like",
    option(
        "--like",
        type=click.Choice(["URGENT", "VERSA", "DNS", "CMGAN"], case_sensitive=False),
        help="Also print the table that this program prints, with its names and order.",
    ),
    option("--like-csv", type=FILE, help="Write that table as CSV to this file, with one row per clip."),
)
