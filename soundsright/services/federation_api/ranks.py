"""The ranks of a competition, counted from the samples of the canonical verdicts in the window of tasks.

Each validator's own count decides its weights. This one is for display, and uses the samples as they were sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import numpy as np

from soundsright.core.federation import MAX_MEAN, MEAN_DIGITS
from soundsright.core.federation_rules import FederationRules
from soundsright.core.profiles import Profile
from soundsright.ranking import (
    Passed,
    canonical_sampler,
    counting_rates,
    epoch_block,
    judged_enough,
    mean_of_rates,
    outvoted_validators,
    pooled_rate,
    window,
)
from soundsright.services.federation_api.answers import RankRow, ScoreRow, Stats
from soundsright.services.federation_api.samples import Sample
from soundsright.services.federation_api.store import FederationStore, StoredSample


@dataclass(frozen=True)
class Ranks:
    """The ranks of one competition. `judged` is the number of tasks in which each miner was judged."""

    by_miner: Mapping[str, RankRow]
    judged: Mapping[str, int]
    scores: tuple[ScoreRow, ...]
    stats: Stats


def canonical_of(task: int, sampled_by: Sequence[str], validators: Sequence[str]) -> str | None:
    """The validator whose samples of a task count: the first in the order of turns that sent any."""
    if not validators:
        return None
    numbers = {validators.index(hotkey) for hotkey in sampled_by if hotkey in validators}
    found = canonical_sampler(task, numbers, len(validators))
    return None if found is None else validators[found]


def ranks_of(
    store: FederationStore,
    rules: FederationRules,
    validators: Sequence[str],
    block: int,
    compared: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Ranks]:
    """The ranks of each competition, as of the epoch of a block.

    `compared` has by competition the metrics in which a winner must be above the unprocessed input.
    """
    produced = {}
    for task in store.tasks():
        sampled_by = list(dict.fromkeys(stored.validator for stored in store.of_task(task)))
        canonical = canonical_of(task, sampled_by, validators)
        if canonical is not None:
            produced[task] = canonical
    tasks = window(produced, epoch_block(block, rules.epoch_blocks), rules)
    counting = [each for each in store.of_tasks(tasks) if each.validator == produced[each.sample.task]]
    own_tasks = {validator: sum(produced[task] == validator for task in tasks) for validator in validators}
    by_competition: dict[str, list[StoredSample]] = {competition: [] for competition in rules.competitions}
    for each in counting:
        if each.sample.competition in by_competition:
            by_competition[each.sample.competition].append(each)
    return {
        name: _ranks(name, found, tasks, own_tasks, rules, compared.get(name, ()))
        for name, found in by_competition.items()
    }


def _ranks(
    competition: str,
    counting: Sequence[StoredSample],
    tasks: Sequence[int],
    own_tasks: Mapping[str, int],
    rules: FederationRules,
    compared: Sequence[str],
) -> Ranks:
    counts = [_counts(samples, own_tasks, rules, compared) for samples in _entrants(counting, rules).values()]
    counts.sort(key=lambda each: each.order)
    by_miner = {
        each.newest.miner: RankRow(
            miner_hotkey=each.newest.miner,
            uid=each.newest.uid,
            rank=rank,
            passed_count=sum(passed for passed, _ in each.by_validator.values()),
            pass_rate=float(each.rate),
            block=each.newest.block,
            eligible=each.is_eligible,
        )
        for rank, each in enumerate(counts, start=1)
    }
    judged = {each.newest.miner: sum(judged for _, judged in each.by_validator.values()) for each in counts}
    stats = Stats(
        competition=competition,
        miners=len(counts),
        eligible=sum(each.is_eligible for each in counts),
        tasks=len(tasks),
        first_task=tasks[0] if tasks else None,
        last_task=tasks[-1] if tasks else None,
        validators=sum(count > 0 for count in own_tasks.values()),
    )
    return Ranks(by_miner, judged, tuple(score for each in counts for score in _scores(each)), stats)


def _entrants(counting: Sequence[StoredSample], rules: FederationRules) -> dict[str, list[StoredSample]]:
    """By miner, the samples of the model of its newest task, oldest first.

    In the profile `soundsright`, a new model starts without the tasks of the one before. In the others, all of a
    miner's tasks count.
    """
    by_miner: dict[str, list[StoredSample]] = {}
    for each in sorted(counting, key=lambda each: each.sample.task):
        by_miner.setdefault(each.sample.miner, []).append(each)
    if rules.profile is not Profile.SOUNDSRIGHT:
        return by_miner
    return {
        miner: [each for each in samples if _entry(each.sample) == _entry(samples[-1].sample)]
        for miner, samples in by_miner.items()
    }


def _entry(sample: Sample) -> tuple[str, int]:
    return sample.model, sample.block


@dataclass(frozen=True)
class _Counts:
    """The numbers that decide the rank of a miner. `by_validator` has the numbers of passed and of judged tasks."""

    newest: Sample
    by_validator: Mapping[str, Passed]
    rate: Fraction | float
    is_eligible: bool
    beats_unprocessed: bool

    @property
    def order(self) -> tuple[object, ...]:
        return not (self.is_eligible and self.beats_unprocessed), -self.rate, self.newest.block, self.newest.miner


def _counts(
    samples: Sequence[StoredSample], own_tasks: Mapping[str, int], rules: FederationRules, compared: Sequence[str]
) -> _Counts:
    by_validator: dict[str, Passed] = {}
    for each in samples:
        passed, judged = by_validator.get(each.validator, (0, 0))
        by_validator[each.validator] = (passed + each.sample.passed, judged + 1)
    active = sorted(hotkey for hotkey, count in own_tasks.items() if count > 0)
    outvoted = outvoted_validators(len(active), rules.profile)
    rates = [by_validator[hotkey] for hotkey in sorted(by_validator)]
    counting = counting_rates(rates, outvoted)
    in_tasks = np.array([[by_validator.get(hotkey, (0, 0))[1] for hotkey in active]], dtype=np.int64)
    tasks = np.array([own_tasks[hotkey] for hotkey in active], dtype=np.int64)
    return _Counts(
        _commitment(samples),
        by_validator,
        pooled_rate(rates) if rules.profile is Profile.CODE else mean_of_rates(counting),
        bool(judged_enough(in_tasks, tasks, rules, active=len(active), outvoted=outvoted)[0]),
        all(_gain(samples, metric, outvoted) > 0 for metric in compared),
    )


def _gain(samples: Sequence[StoredSample], metric: str, outvoted: int) -> Fraction:
    """The mean over validators of the gain over the unprocessed input; 1 if no sample says the input's mean."""
    gains: dict[str, Passed] = {}
    for each in samples:
        before, after = each.sample.unprocessed.get(metric), each.sample.means.get(metric)
        if before is None or after is None or max(abs(before), abs(after)) > MAX_MEAN:
            continue
        total, judged = gains.get(each.validator, (0, 0))
        gains[each.validator] = (total + _whole(after) - _whole(before), judged + 1)
    by_validator = [gains[hotkey] for hotkey in sorted(gains)]
    return mean_of_rates(counting_rates(by_validator, outvoted)) if by_validator else Fraction(1)


def _whole(mean: float) -> int:
    """A mean in the last digit to which verdicts round."""
    whole: int = round(mean * 10**MEAN_DIGITS)
    return whole


def _commitment(samples: Sequence[StoredSample]) -> Sample:
    """The last sample with the commitment that most samples name; of equally many, with the earliest."""
    named = Counter((each.sample.block, each.sample.model, each.sample.uid) for each in samples)
    chosen = min(named, key=lambda each: (-named[each], each))
    return next(
        each.sample
        for each in reversed(samples)
        if (each.sample.block, each.sample.model, each.sample.uid) == chosen
    )


def _scores(counts: _Counts) -> list[ScoreRow]:
    return [
        ScoreRow(
            miner_hotkey=counts.newest.miner,
            validator_hotkey=validator,
            tasks=judged,
            passed_count=passed,
            pass_rate=passed / judged,
        )
        for validator, (passed, judged) in sorted(counts.by_validator.items())
    ]
