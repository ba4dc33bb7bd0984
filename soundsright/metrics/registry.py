"""Finds a metric by its name: one of this package, or one that another package adds.

Another package adds a metric by an entry point that names a `PluggedMetric`:

    [project.entry-points."soundsright.metrics"]
    squim = "my_package:SQUIM"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from types import MappingProxyType
from typing import TypeGuard

from soundsright.core.errors import UsageError
from soundsright.core.plugins import PluginGroup
from soundsright.metrics.core_metrics import CORE_METRICS
from soundsright.metrics.facts import Metric, PluggedMetric
from soundsright.metrics.optional_measures import OPTIONAL_MEASURES
from soundsright.metrics.second_definitions import SECOND_DEFINITIONS

METRICS: Mapping[str, Metric] = MappingProxyType(
    {metric.name: metric for metric in (*CORE_METRICS, *SECOND_DEFINITIONS, *OPTIONAL_MEASURES)}
)
"""The metrics of this package by name."""


def _is_plugged(loaded: object) -> TypeGuard[PluggedMetric]:
    return isinstance(loaded, PluggedMetric)


PLUGINS = PluginGroup("soundsright.metrics", "metric", "a soundsright PluggedMetric", _is_plugged)


def plugged_metrics() -> dict[str, PluggedMetric]:
    """The metrics that other installed packages add, by the metric's name.

    Raises:
        UsageError: an entry point cannot be imported or is no `PluggedMetric`, or two metrics have one name.
    """
    by_name: dict[str, PluggedMetric] = {}
    for point, plugged in PLUGINS.load_all().items():
        name = plugged.metric.name
        if name in METRICS or name in by_name:
            raise UsageError(
                f"Two metrics are called {name!r}",
                f"Uninstall the package that adds the entry point {point!r} to {PLUGINS.group}.",
            )
        by_name[name] = plugged
    return by_name


def known_metrics() -> dict[str, Metric]:
    """Every metric, built in or plugged in, by name."""
    return dict(METRICS) | {name: plugged.metric for name, plugged in plugged_metrics().items()}


def metric(name: str) -> Metric:
    """The metric of that name. Case does not matter, and `-` counts as `_`.

    Raises:
        UsageError: no metric has that name; the message lists all names.

    >>> metric("si-sdr").unit
    'dB'
    """
    spelled = name.strip().upper().replace("-", "_")
    if spelled in METRICS:
        return METRICS[spelled]
    known = known_metrics()
    for candidate in known.values():
        if candidate.name.upper() == spelled:
            return candidate
    # Half of the letters are enough, so that PESK is near PESQ_WB.
    close = get_close_matches(spelled, known, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}? " if close else ""
    raise UsageError(f"Unknown metric {name!r}", f"{hint}Choose from {', '.join(known)}.")


def check_packages(each: Metric) -> None:
    """Check that the packages that a metric needs are installed.

    Raises:
        UsageError: one is not; the hint is the command that installs it.
    """
    missing = [package for package in each.packages if not _is_installed(package)]
    if missing:
        raise UsageError(
            f"{each.name} needs {' and '.join(missing)}, which this environment lacks",
            f"Run `{install_command(each)}`, or leave the metric out.",
        )


def install_command(each: Metric) -> str:
    """The command that installs the packages of a metric."""
    return each.install or f"pip install 'soundsright[{each.extra}]'"


@cache
def _is_installed(package: str) -> bool:
    return find_spec(package) is not None


def floors(names: Iterable[str]) -> dict[str, float]:
    """The floor of each of these metrics: the score of a clip that the metric has no value for.

    >>> floors(["ESTOI", "SI_SDR"])
    {'ESTOI': -1.0, 'SI_SDR': -60.0}
    """
    return {name: metric(name).floor for name in names}
