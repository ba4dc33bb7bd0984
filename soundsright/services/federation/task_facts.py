"""The facts of a task and of an epoch, from the chain, the allowlist and the rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from soundsright.core.competition import Competition
from soundsright.core.federation import GATED_METRICS
from soundsright.core.federation_rules import FederationRules
from soundsright.metrics import metric
from soundsright.ranking import lookback_tasks, turn
from soundsright.services.federation.allowlist import Allowlist
from soundsright.services.federation.verdict import TaskFacts
from soundsright.services.federation.views import EpochFacts


def task_facts_of(
    task: int,
    allowlist: Allowlist,
    rules: FederationRules,
    *,
    rules_digest: str,
    block_hash: str,
    sets: Mapping[str, str] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> TaskFacts:
    """The facts of a task. `block_hash` is that of its first block, `rules_digest` that of `rules.digest_with`."""

    def sampler(block: int) -> str | None:
        if block < 0 or block // rules.interval_blocks != task:
            return None
        found = turn(block, len(allowlist.validators), rules.interval_blocks, rules.grace_blocks)
        return allowlist.validators[found.sampler]

    return TaskFacts(
        task=task,
        validators=allowlist.validators,
        allowlist=allowlist.digest,
        rules=rules_digest,
        block_hash=block_hash,
        competitions=frozenset(rules.competitions),
        clips=rules.clips,
        sampler=sampler,
        sets=sets,
        late_block=late_block(task, rules),
        ranges=ranges or {},
    )


def metric_ranges(competitions: Iterable[Competition]) -> dict[str, tuple[float, float]]:
    """The least and the greatest score of each metric that can decide a winner of these competitions.

    Raises:
        UsageError: a metric is not known here.
    """
    names = {*GATED_METRICS, *(name for competition in competitions for name in competition.metric_weights)}
    return {name: (metric(name).low, metric(name).high) for name in sorted(names)}


def late_block(task: int, rules: FederationRules) -> int:
    """The block from which on no new verdict on the task is listed: by then the task can be in a window."""
    return (task + 1 + rules.settle_margin) * rules.interval_blocks


def epoch_facts_of(
    epoch_block: int, allowlist: Allowlist, rules: FederationRules, *, rules_digest: str
) -> EpochFacts:
    """The facts of an epoch. `rules_digest` is that of `rules.digest_with`."""
    return EpochFacts(
        epoch_block=epoch_block,
        validators=allowlist.validators,
        allowlist=allowlist.digest,
        rules=rules_digest,
        competitions=rules.competitions,
        tasks=lookback_tasks(epoch_block, rules),
    )
