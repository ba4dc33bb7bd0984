"""Measures that need an extra: `pip install 'soundsright[measures]'`.

Each has its facts in `OPTIONAL_MEASURES` and its function in `MEASURES`, which imports heavy packages only when it
runs. The function gets a `SharedClip`, and returns its value or the `NoValue` that says why there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from soundsright.metrics.facts import Metric

if TYPE_CHECKING:
    # The facts are read without NumPy.
    from soundsright.metrics.shared_clip import Measure

OPTIONAL_MEASURES: tuple[Metric, ...] = ()

MEASURES: Mapping[str, Measure] = {}
"""The function of each of these metrics, by name."""
