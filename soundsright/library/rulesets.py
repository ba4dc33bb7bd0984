"""The competitions and rules that a user names: a ruleset that ships, or an organiser's TOML file."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError
from soundsright.core.text_files import text_of_file

if TYPE_CHECKING:
    from soundsright.core.competition import Competition
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.metrics import Metric


def organiser_of(rules: str, *, begun: bool) -> CompetitionRules:
    """The organiser's choices behind `rules`: the name of a shipped ruleset, or the path of a `.toml` file.

    `begun` says that the competition has started, so its first day can be in the past. A competition that has not
    started can only pay for metrics with the same bits on every processor.

    Raises:
        UsageError: no ruleset has that name, the file cannot be read or has a mistake, or two validators could
            disagree about a metric that pays.
    """
    from soundsright.core.competition import PUBLISHED
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.rulesets import ruleset_by_name
    from soundsright.rules import MAX_FILE_CHARS, organiser_of_toml

    if not rules.endswith(".toml"):
        if "/" in rules or Path(rules).exists():
            raise UsageError(f"{rules} is not a file of rules", "Give a file whose name ends in .toml.")
        return CompetitionRules(PUBLISHED, ruleset_by_name(rules))
    if not Path(rules).exists():
        raise UsageError(f"There is no file {rules}", "Give the path of a rules file.")
    organiser = organiser_of_toml(
        text_of_file(Path(rules), MAX_FILE_CHARS, "Give a file of rules that you may read."),
        source=rules,
        now_s=time.time(),
        begun=begun,
        known_metrics=_PayableMetrics(),
    )
    if not begun:
        _check_same_bits(rules, organiser.competitions)
    return organiser


def _check_same_bits(source: str, competitions: Iterable[Competition]) -> None:
    """Refuse a metric whose scores can differ between validators' processors."""
    from soundsright.metrics import metric

    for competition in competitions:
        for name in competition.metric_weights:
            if not metric(name).same_bits:
                raise UsageError(
                    f"{source}: {competition.id} pays for {name}, whose scores can differ between two validators' "
                    "processors",
                    "Pay for a metric such as PESQ_WB, ESTOI or SI_SDR, and measure this one beside it.",
                )


class _PayableMetrics(Collection[str]):
    """The names of the metrics that can pay: those where higher is better, because the rules pay larger means.

    Metrics of other packages are loaded only for a name that is not built in. A broken package that nobody uses
    does no harm.
    """

    def __contains__(self, name: object) -> bool:
        return name in self._built_in or name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @cached_property
    def _built_in(self) -> tuple[str, ...]:
        from soundsright.metrics import METRICS

        return _payable(METRICS)

    @cached_property
    def _all(self) -> tuple[str, ...]:
        from soundsright.metrics import known_metrics

        return _payable(known_metrics())


def _payable(metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    from soundsright.metrics import Direction

    return tuple(name for name, each in metrics.items() if each.direction is Direction.HIGHER_IS_BETTER)
