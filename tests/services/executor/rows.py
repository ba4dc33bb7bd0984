"""Rows of the executor's table for the tests of its payment."""

from __future__ import annotations

from functools import partial

from soundsright.core.executor_rules import ExecutorRules, executor_rules
from soundsright.core.images import ImageRow, SubmittedImage
from soundsright.services.executor import order_of_rows
from soundsright.testing.image_services import measured_row

RULES = executor_rules()
by_rows = partial(order_of_rows, rules=RULES)


def row(
    one: SubmittedImage,
    quality: float,
    *,
    time_s: float = 6.0,
    memory_gb: float = 5.0,
    rules: ExecutorRules = RULES,
) -> ImageRow:
    """A row with a score that follows from its measurements."""
    return measured_row(one, quality, time_s=time_s, memory_gb=memory_gb, rules=rules)
