"""The contents of the owner's API: the samples and reports of validators, counted by the rules of the federation.

It decides nothing. Each validator computes its weights from the buckets. Blocks are counted.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundsright.core.errors import RequestRefused
from soundsright.core.federation_rules import FederationRules
from soundsright.ranking import failover_order, turn, winners_shares
from soundsright.services.federation_api.answers import (
    Health,
    Link,
    MinerPage,
    MinerRow,
    MinerScore,
    Overview,
    RankRow,
    SampleRow,
    ScoreRow,
    Stats,
    TaskPage,
    ValidatorRow,
    WeightsPage,
)
from soundsright.services.federation_api.heads import Heads
from soundsright.services.federation_api.lists import Validator
from soundsright.services.federation_api.media import Media
from soundsright.services.federation_api.opinions import (
    majority_winners,
    miner_rows,
    unknown_miner,
)
from soundsright.services.federation_api.ranks import Ranks, canonical_of, ranks_of
from soundsright.services.federation_api.samples import Report, Sample
from soundsright.services.federation_api.store import FederationStore, StoredSample

MAX_LISTED = 500
"""The highest number of samples in one answer."""
_EARLY_TASKS = 1
"""Tasks by which a sample may be ahead of the block that was read last: a head is up to 12 seconds old."""


@dataclass(frozen=True)
class _CountedRanks:
    key: tuple[object, ...]
    ranks: dict[str, Ranks]


class FederationShown:
    """The answers of the API. Any thread may call it.

    A validator whose last report or sample is older than `stale_s` is offline, and its report does not count.
    `digest` is that of everything that decides a winner, as verdicts have it. `compared` has by competition the
    metrics in which a winner must be above the unprocessed input.
    """

    def __init__(
        self,
        store: FederationStore,
        rules: FederationRules,
        heads: Heads,
        media: Media,
        *,
        stale_s: float,
        digest: str = "",
        compared: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.store = store
        self._rules = rules
        self._heads = heads
        self._media = media
        self._stale_s = stale_s
        self._digest = digest or rules.digest
        self._compared = compared or {}
        self._lock = threading.Lock()
        self._counted: _CountedRanks | None = None

    def check_validator(self, hotkey: str) -> None:
        """Check that the hotkey may send.

        Raises:
            RequestRefused: `no_permit`.
        """
        if hotkey not in self.store.validators.members() or hotkey in self.store.blacklist.members():
            raise RequestRefused("no_permit", "Only the validators of this federation may send")

    def check_samples(self, samples: Sequence[Sample]) -> None:
        """Check that a verdict on the samples' task can exist by now, can still count, and has their competitions.

        Raises:
            RequestRefused: `wrong_task` or `wrong_competition`.
            ChainUnavailable: the chain does not answer, so it is unknown which task it is.
        """
        task = samples[0].task
        now = self._heads.block() // self._rules.interval_blocks
        oldest = now - self._rules.lookback_blocks // self._rules.interval_blocks
        if not oldest <= task <= now + _EARLY_TASKS:
            sentence = f"The task {task} is not from {max(0, oldest)} to {now}"
            raise RequestRefused("wrong_task", sentence, status=422)
        if any(sample.competition not in self._rules.competitions for sample in samples):
            sentence = f"A sample is of none of the competitions {', '.join(self._rules.competitions)}"
            raise RequestRefused("wrong_competition", sentence, status=422)

    def health(self) -> Health:
        """Whether the API works. It raises `StateUnavailable` if the database does not answer."""
        self.store.ping()
        block = self._heads.known()
        return Health(status="ok", task=None if block is None else block // self._rules.interval_blocks)

    def overview(self) -> Overview:
        """The present turn, and how much is shown."""
        validators = self.store.validators.validators()
        block = self._heads.known()
        sampler = None
        if block is not None and validators:
            now = turn(block, len(validators), self._rules.interval_blocks, self._rules.grace)
            sampler = validators[now.sampler].hotkey
        miners = self.miners()
        tasks = self.store.tasks()
        return Overview(
            block=block,
            task=None if block is None else block // self._rules.interval_blocks,
            sampler=sampler,
            validators=len(validators),
            online=sum(self._is_online(each.hotkey) for each in validators),
            miners=len(miners),
            active=len(self.active_miners()),
            tasks=len(tasks),
            samples=self.store.count,
            competitions=list(self._rules.competitions),
            profile=self._rules.profile,
            rules=self._digest,
        )

    def miners(self) -> list[MinerRow]:
        """The miners that fresh reports name."""
        return list(self._miner_rows().values())

    def active_miners(self) -> list[MinerRow]:
        """The miners that a strict majority of the fresh reports finds valid, without the blacklist's."""
        return [row for row in self.miners() if row.valid and not row.blacklisted]

    def miner(self, hotkey: str) -> MinerPage:
        """A miner that a report or a sample names.

        Raises:
            RequestRefused: `no_miner`.
        """
        row = self._miner_row(hotkey)
        scores = [
            MinerScore(
                competition=competition,
                passed_count=found.passed_count,
                tasks=ranks.judged[hotkey],
                pass_rate=found.pass_rate,
                rank=found.rank,
                eligible=found.eligible,
            )
            for competition, ranks in self._ranks().items()
            if (found := ranks.by_miner.get(hotkey)) is not None
        ]
        return MinerPage(**row.model_dump(), scores=scores)

    def miner_tasks(self, hotkey: str) -> list[SampleRow]:
        """The samples of a miner, newest first.

        Raises:
            RequestRefused: `no_miner`.
        """
        self._miner_row(hotkey)
        return [sample_row(stored) for stored in self.store.of_miner(hotkey, MAX_LISTED)]

    def validators(self) -> list[ValidatorRow]:
        """The validators, in the order of the rotation, and then those that may no longer write."""
        validators = self.store.validators.validators()
        tasks = self._last_tasks()
        sampled = self.store.sampled_by(tasks)
        hotkeys = [each.hotkey for each in validators]
        primaries = [hotkeys[task % len(hotkeys)] for task in tasks] if hotkeys else []
        rows = [self._validator_row(each, sampled.get(each.hotkey, 0), primaries, True) for each in validators]
        former = sorted(set(sampled) - set(hotkeys))
        rows += [self._validator_row(Validator(each, None), sampled[each], [], False) for each in former]
        return rows

    def validator(self, hotkey: str) -> ValidatorRow:
        """One validator.

        Raises:
            RequestRefused: `no_validator`.
        """
        found = next((row for row in self.validators() if row.hotkey == hotkey), None)
        if found is None:
            raise RequestRefused("no_validator", "No such validator takes part", status=404)
        return found

    def scores(self, competition: str | None) -> list[ScoreRow]:
        """Each validator's results of each miner in the window."""
        return list(self._ranks_in(competition).scores)

    def rank(self, competition: str | None) -> list[RankRow]:
        """The miners by rank."""
        return list(self._ranks_in(competition).by_miner.values())

    def stats(self) -> list[Stats]:
        """The numbers behind the ranks, by competition."""
        return [ranks.stats for ranks in self._ranks().values()]

    def task(self, task: int) -> TaskPage:
        """A task with its samples and audio.

        Raises:
            RequestRefused: `no_task`.
        """
        samples = self.store.of_task(task)
        if not samples:
            raise RequestRefused(
                "no_task", "No validator sent samples of this task, or they are removed", status=404
            )
        hotkeys = [each.hotkey for each in self.store.validators.validators()]
        sampled_by = list(dict.fromkeys(stored.validator for stored in samples))
        media = self._media.of_task(task, tuple(sampled_by))
        return TaskPage(
            task=task,
            order=[hotkeys[index] for index in failover_order(task, len(hotkeys))] if hotkeys else [],
            sampled_by=sampled_by,
            canonical=canonical_of(task, sampled_by, hotkeys),
            samples=[sample_row(stored) for stored in samples],
            media=[Link(validator_hotkey=each.validator, key=each.key, url=each.url) for each in media.links],
            unread=list(media.unread),
        )

    def weights(self) -> WeightsPage:
        """The winners that a strict majority of the fresh reports names."""
        winners = majority_winners(self._fresh_reports(), self._rules.competitions)
        won = {winner.competition: winner.hotkey for winner in winners}
        return WeightsPage(winners=winners, weights=winners_shares(self._rules, won))

    def _validator_row(
        self, validator: Validator, sampled: int, primaries: list[str], permissioned: bool
    ) -> ValidatorRow:
        expected = primaries.count(validator.hotkey)
        return ValidatorRow(
            hotkey=validator.hotkey,
            uid=validator.uid,
            online=self._is_online(validator.hotkey),
            tasks_sampled=sampled,
            expected_turns=expected,
            participation_rate=min(1.0, sampled / expected) if expected else 0.0,
            permissioned=permissioned,
        )

    def _last_tasks(self) -> tuple[int, ...]:
        """The tasks of the last window that have ended, whether anybody sampled them or not."""
        block = self._heads.known()
        newest = self.store.tasks()[-1:] if block is None else (block // self._rules.interval_blocks,)
        if not newest:
            return ()
        end = newest[0] - self._rules.settle_margin
        return tuple(range(max(0, end - self._rules.window_tasks + 1), end + 1))

    def _is_online(self, hotkey: str) -> bool:
        seen_s = self.store.seen_s(hotkey)
        return seen_s is not None and self._is_fresh(seen_s)

    def _is_fresh(self, at_s: float) -> bool:
        return abs(self.store.clock.now() - at_s) <= self._stale_s

    def _fresh_reports(self) -> list[Report]:
        reports = [self.store.report(each.hotkey) for each in self.store.validators.validators()]
        return [each.report for each in reports if each is not None and self._is_fresh(each.received_s)]

    def _miner_rows(self) -> dict[str, MinerRow]:
        return miner_rows(self._fresh_reports(), self.store.blacklist.members())

    def _miner_row(self, hotkey: str) -> MinerRow:
        row = self._miner_rows().get(hotkey)
        if row is not None:
            return row
        samples = self.store.of_miner(hotkey, 1)
        if not samples:
            raise RequestRefused("no_miner", "No report and no sample names this miner", status=404)
        return unknown_miner(hotkey, samples[0].sample.uid, self.store.blacklist.members())

    def _ranks_in(self, competition: str | None) -> Ranks:
        chosen = self._rules.competitions[0] if competition is None else competition
        found = self._ranks().get(chosen)
        if found is None:
            sentence = (
                f"This federation has no such competition; choose one of {', '.join(self._rules.competitions)}"
            )
            raise RequestRefused("no_competition", sentence, status=404)
        return found

    def _ranks(self) -> dict[str, Ranks]:
        """The ranks in each competition. They are counted again only after something has changed."""
        validators = tuple(each.hotkey for each in self.store.validators.validators())
        tasks = self.store.tasks()
        block = self._heads.known()
        if block is None:
            block = ((tasks[-1] + 1) if tasks else 0) * self._rules.interval_blocks
        epoch = block // self._rules.epoch_blocks
        key = (self.store.version, validators, epoch)
        with self._lock:
            counted = self._counted
            if counted is None or counted.key != key:
                ranks = ranks_of(self.store, self._rules, validators, block, self._compared)
                counted = self._counted = _CountedRanks(key, ranks)
        return counted.ranks


def sample_row(stored: StoredSample) -> SampleRow:
    """A sample as it is shown."""
    return SampleRow(number=stored.number, validator_hotkey=stored.validator, **stored.sample.facts())
