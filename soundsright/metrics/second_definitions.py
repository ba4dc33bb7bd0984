"""Second definitions: measures that the field calls by one name and computes in two ways.

A metric of `core_metrics` has one definition. Another definition that papers print is here, under a name of its
own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from soundsright.metrics.facts import Metric

if TYPE_CHECKING:
    # The facts are read without NumPy.
    from soundsright.metrics.shared_clip import Measure

SECOND_DEFINITIONS: tuple[Metric, ...] = ()

MEASURES: Mapping[str, Measure] = {}
"""The function of each of these metrics, by name."""
