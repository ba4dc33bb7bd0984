"""The table that another evaluation program prints, from the scores of a folder: `soundsright score --like`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from soundsright.core.csv_text import csv_text

if TYPE_CHECKING:
    from soundsright.library.scoring import FolderScore
    from soundsright.metrics import PublishedTable


@dataclass(frozen=True)
class LikeColumn:
    """One column: its name in the other program, the metric here, one value per clip, and their mean.

    `values` is empty and `mean` None if the column cannot be computed; `why_not` then says why.
    """

    printed: str
    metric: str | None
    values: tuple[float, ...]
    why_not: str = ""

    @property
    def mean(self) -> float | None:
        """The mean over all clips. A clip without a value counts at the metric's floor."""
        return math.fsum(self.values) / len(self.values) if self.values else None


@dataclass(frozen=True)
class LikeTable:
    """The columns of another program's table, in its order and with its names, for the clips of a folder."""

    table: PublishedTable
    clip_ids: tuple[str, ...]
    columns: tuple[LikeColumn, ...]

    @property
    def computed(self) -> tuple[LikeColumn, ...]:
        """The columns that have values."""
        return tuple(column for column in self.columns if column.metric is not None)

    def fields(self) -> dict[str, Any]:
        """The table for a JSON document: `{"program", "differs", "columns": [{"name", "metric", "mean"}, …]}`.

        A column that cannot be computed has `why_not`, and null for the other two.
        """
        columns = []
        for column in self.columns:
            fields = {"name": column.printed, "metric": column.metric, "mean": column.mean}
            columns.append(fields | ({"why_not": column.why_not} if column.metric is None else {}))
        return {"program": self.table.name, "differs": self.table.differs, "columns": columns}

    def csv(self) -> str:
        """One row per clip and a last row of means, with the other program's names of columns."""
        rows = list(zip(self.clip_ids, *(column.values for column in self.computed), strict=True))
        means = ("mean", *(column.mean for column in self.computed))
        return csv_text(["clip", *(column.printed for column in self.computed)], [*rows, means])


def like(scores: FolderScore, program: str) -> LikeTable:
    """The table that `program` (URGENT, VERSA, DNS or CMGAN) prints, from scores that have its metrics.

    Raises:
        UsageError: the program is unknown, or prints no table for clips of this rate.

    Example:
        from soundsright.library import like, score_folder
        from soundsright.metrics import published_table
        scores = score_folder("clean", "enhanced", metrics=published_table("CMGAN").metrics_at(16_000))
        print(like(scores, "CMGAN").csv())
    """
    from soundsright.metrics import published_table

    table = published_table(program)
    rate_hz = scores.report.sample_rate_hz or 0
    measured = set(table.metrics_at(rate_hz)) & set(scores.metrics)
    columns = []
    for column in table.columns:
        name = column.metric_at(rate_hz)
        if name in measured and name is not None:
            columns.append(LikeColumn(column.printed, name, tuple(scores.values(name))))
        else:
            why_not = column.why_not_at(rate_hz) if name is None else f"{name} was not measured"
            columns.append(LikeColumn(column.printed, None, (), why_not))
    return LikeTable(table, tuple(clip.clip_id for clip in scores.clips), tuple(columns))
