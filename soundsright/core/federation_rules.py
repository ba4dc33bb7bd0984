"""An organiser's rules for a federation, whose validators take turns at judging and add up each other's verdicts.

Blocks and tasks are counted. Parts are fractions from 0 to 1.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from soundsright.core.canonical import canonical_json
from soundsright.core.competition import Competition, is_competition_name
from soundsright.core.errors import UsageError
from soundsright.core.federation import MAX_VIEW_TASKS
from soundsright.core.profiles import Profile
from soundsright.core.rulesets import Ruleset

MAX_COMPETITIONS_OF_A_TASK = 16


@dataclass(frozen=True)
class FederationRules:
    """Everything that decides whose turn it is and who wins.

    Task number t begins with block t x `interval_blocks`. If its first validator is silent, the next one has its
    turn after `grace_blocks`; 0 stands for half the interval. Of the tasks that ended within `lookback_blocks`
    before an epoch's block, the newest `settle_margin` do not count yet, and the `window_tasks` before them do.

    A miner is eligible if it was judged in the part `completeness` of the window's tasks, by the part
    `min_validators` of the active validators, each of which judged it in the part `completeness` of its own tasks.
    `dominance` is the lead in the pass rate that the profiles `doc` and `code` ask for. If they cannot read more
    than the part `unreadable` of the buckets, the last winner stays. Each task has `clips` clips of each
    competition in `competitions`. With `pay_on_public`, recordings that anybody may have heard pay too.

    Raises:
        UsageError: a value is outside its range, a competition is named twice or has no name of a competition, or
            a lookback has more tasks than a view can list.

    >>> FederationRules().grace, FederationRules(grace_blocks=20).grace
    (50, 20)
    """

    profile: Profile = Profile.SOUNDSRIGHT
    interval_blocks: int = 100
    grace_blocks: int = 0
    epoch_blocks: int = 180
    window_tasks: int = 100
    settle_margin: int = 2
    lookback_blocks: int = 30_000
    completeness: float = 0.8
    min_validators: float = 0.5
    dominance: float = 0.05
    unreadable: float = 0.2
    clips: int = 8
    pay_on_public: bool = False
    competitions: tuple[str, ...] = ("DENOISING_16000HZ", "DEREVERBERATION_16000HZ")

    def __post_init__(self) -> None:
        for item in fields(self):
            if item.name in ("profile", "competitions", "pay_on_public"):
                continue
            value, (low, high) = getattr(self, item.name), _RANGES[item.name]
            if not (math.isfinite(value) and low <= value <= high):
                raise UsageError(f"{item.name} is {value!r}", f"Write a number from {low:g} to {high:g}.")
        if type(self.pay_on_public) is not bool:
            raise UsageError(f"pay_on_public is {self.pay_on_public!r}", "Write true or false.")
        # The task of the block where the lookback begins counts too.
        if self.lookback_blocks // self.interval_blocks >= MAX_VIEW_TASKS:
            raise UsageError(
                f"lookback_blocks {self.lookback_blocks} is {MAX_VIEW_TASKS} tasks or more of"
                f" {self.interval_blocks} blocks",
                "Lower lookback_blocks, or raise interval_blocks.",
            )
        if not 1 <= len(self.competitions) <= MAX_COMPETITIONS_OF_A_TASK:
            raise UsageError(
                f"competitions has {len(self.competitions)} names", f"Name 1 to {MAX_COMPETITIONS_OF_A_TASK}."
            )
        for name in self.competitions:
            if not is_competition_name(name):
                raise UsageError(
                    f"{name[:100]!r} is not a name of a competition", "Write one as DENOISING_16000HZ."
                )
            if self.competitions.count(name) > 1:
                raise UsageError(f"competitions has {name} twice", "Keep one of them.")

    @property
    def grace(self) -> int:
        """The number of blocks after which the turn passes to the next validator; at least 1."""
        return effective_grace(self.interval_blocks, self.grace_blocks)

    @property
    def half_epoch(self) -> int:
        """The number of blocks from an epoch's block until which its views are committed."""
        return self.epoch_blocks // 2

    @property
    def canonical_json(self) -> str:
        """The rules as JSON with sorted keys and no spaces. The order of the competitions does not matter."""
        return canonical_json({**asdict(self), "competitions": sorted(self.competitions)})

    @property
    def digest(self) -> str:
        """The SHA-256 of `canonical_json`, which identifies the rules."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()

    def digest_with(self, ruleset: Ruleset, competitions: Sequence[Competition]) -> str:
        """The digest of everything that decides a winner: the `rules` of verdicts and views.

        It is that of these rules, of the ruleset that tests a lead, and of the metrics of each competition.

        Raises:
            UsageError: a competition of these rules is not among `competitions`.
        """
        metrics = {competition.id: dict(competition.metric_weights) for competition in competitions}
        for name in self.competitions:
            if name not in metrics:
                raise UsageError(
                    f"competitions names {name}, which is not defined", f"Choose from {', '.join(sorted(metrics))}."
                )
        facts = {
            "federation": self.digest,
            "metrics": {name: metrics[name] for name in self.competitions},
            "ruleset": ruleset.digest,
        }
        return hashlib.sha256(canonical_json(facts).encode()).hexdigest()


_MOST = 1_000_000
_PART = (0, 1)
_RANGES: Mapping[str, tuple[float, float]] = {
    "interval_blocks": (1, _MOST),
    "grace_blocks": (0, _MOST),
    "epoch_blocks": (2, _MOST),
    "window_tasks": (1, MAX_VIEW_TASKS),
    "settle_margin": (0, MAX_VIEW_TASKS),
    "lookback_blocks": (1, 100 * _MOST),
    "completeness": _PART,
    "min_validators": _PART,
    "dominance": _PART,
    "unreadable": _PART,
    "clips": (1, 1_000),
}


def effective_grace(interval_blocks: int, grace_blocks: int) -> int:
    """The number of blocks of one turn: `grace_blocks`, or half the interval if that is 0; at least 1.

    Raises:
        ValueError: it is negative.

    >>> effective_grace(100, 0), effective_grace(100, 20), effective_grace(1, 0)
    (50, 20, 1)
    """
    if grace_blocks < 0:
        raise ValueError(f"a turn cannot last {grace_blocks} blocks")
    return grace_blocks or max(interval_blocks // 2, 1)


def federation_rules(profile: Profile = Profile.SOUNDSRIGHT, **changes: object) -> FederationRules:
    """The rules of a profile, with changes by the organiser. All profiles have the same numbers.

    >>> federation_rules(Profile.CODE, clips=4).clips
    4
    """
    return FederationRules(profile, **changes)  # type: ignore[arg-type]
