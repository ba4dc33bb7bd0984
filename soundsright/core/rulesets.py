"""The rules of payment as data, with small pure functions of them.

Means are in the metric's own unit, higher is better. Margins are relative, or in dB where a rule says so. Ages are
in blocks of 12 s. Shares are percent of a round's emission.

A `Ruleset` has every number that a payment depends on, and a digest. Validators with the same digest, the same
clips and the same scores pay the same.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import UsageError


@dataclass(frozen=True)
class Margin:
    """The lead that a challenger needs over a champion. It falls linearly with the champion's age.

    It is `start` at age 0, and `end` at the age `over_blocks` and later.

    Raises:
        ValueError: if a number is negative or not finite, or the margin grows with age.
    """

    start: float
    end: float
    over_blocks: int

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) and v >= 0 for v in (self.start, self.end)) or self.start < self.end:
            raise ValueError(
                f"a margin falls from start to end, both at least 0; here start is {self.start} and end {self.end}"
            )
        if self.over_blocks < 1:
            raise ValueError(f"a margin falls over at least one block, not {self.over_blocks}")

    def at(self, age_blocks: int) -> float:
        """The margin at that age.

        >>> Margin(0.0035, 0.0015, 50_400).at(25_200)
        0.0025
        """
        fraction = min(max(age_blocks, 0), self.over_blocks) / self.over_blocks
        return self.start - (self.start - self.end) * fraction


@dataclass(frozen=True)
class StandIn:
    """A metric that can rise without enhancement, and the metric `by` that stands in for it.

    The gain over the unprocessed input is measured on `by`. An entry must reach `fraction` of the best gain there,
    or of the gain that the ruleset's `reference` names.
    """

    metric: str
    by: str
    fraction: float


@dataclass(frozen=True)
class NoLoss:
    """A metric that is paid only to entries that keep what they have on the metrics `on`.

    On each of them, an entry must beat the unprocessed input, and must not be significantly worse than the
    reference: the champion, or without one the median of the honest entries. The test is paired and one-sided, with
    p at most `alpha`. On fewer than `least_clips` clips a loss can stay unseen, so only the champion is paid. At
    its default of 0, it is not part of the canonical JSON.

    Raises:
        ValueError: if there is no other metric, `alpha` is not between 0 and 1, or `least_clips` is negative.
    """

    metric: str
    on: tuple[str, ...]
    alpha: float
    least_clips: int = 0

    def __post_init__(self) -> None:
        if self.least_clips < 0:
            raise ValueError(f"least_clips {self.least_clips} is negative")
        if not self.on or self.metric in self.on:
            raise ValueError(f"{self.metric}: `on` must list other metrics")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha {self.alpha} is not between 0 and 1")


class Reference(StrEnum):
    """The gain of which a `StandIn` requires a fraction."""

    BEST = "best"
    """The best gain of all entries."""
    CHAMPION_OR_MEDIAN = "champion_or_median"
    """The champion's gain. Without a champion, the median gain of the entries that beat the unprocessed input."""


class Age(StrEnum):
    """The start from which the age of a champion is counted."""

    COMMITMENT = "commitment"
    """The blocks from the champion's commitment to the challenger's."""
    TITLE = "title"
    """The blocks from the round in which the champion took the title to this round."""


class Remainder(StrEnum):
    """The value to which shares of the remainder are proportional."""

    MEAN = "mean"
    GAIN = "gain"
    """The mean gain over the unprocessed input, clip by clip."""


@dataclass(frozen=True)
class Ruleset:
    """Every number of the rules. Without `alpha` there is no test. Without `additive_db` all margins are relative.

    `gates` lists the metrics for which another metric stands in. `summary` is for people and not in the digest.

    The fields from `reference` on came with version 4. At their defaults they change nothing and are left out of
    the canonical JSON, so that older rulesets keep their digests:

    - `no_loss` lists the metrics that are paid only to entries that lose nothing on others.
    - If `title_follows_model` is True, a title's age belongs to the model: another hotkey with the same model does
      not make the title young.
    - If `copies_share_once` is True, suspected copies get no share of a remainder beside their original.
    - If `tests_count_able_only` is True, Holm's correction counts only entries that beat the unprocessed input, and
      suspected copies only against each other.
    - `memorised_alpha` is the level of the test for memorised recordings; None means no test.
    - If `holds_impossible` is True, an entry with impossible scores is paid only after the organiser releases it.

    The fields from `tests_new_material` on came with version 5, under the same condition:

    - If `tests_new_material` is True, a test takes the larger of two p-values: over these clips, and for new
      material, where clips that share a noise, a prompt or a room count together.
    - If `corrects_small_sets` is True, sets of up to 12 clips are tested with the correction for skewness too.
    - `serious_p` and `hopeless_p` say which challengers count in Holm's correction. A challenger whose p-value
      against the champion is above `hopeless_p` does not count. If more than two are left, only those up to
      `serious_p` count. The p-values of those that count are divided by that limit, because they were chosen by
      it. None counts every challenger.
    - `failures_unseen` is the number of failed clips that a challenger's lead must survive, beyond those of the
      set.

    Raises:
        ValueError: if a number is out of its range.
    """

    name: str
    margin: Margin
    age: Age
    remainder: Remainder
    additive_db: Margin | None = None
    additive_metrics: tuple[str, ...] = ()
    copy_tightening: float = 0.0
    copy_tightening_limit: float = 1.0
    alpha: float | None = None
    must_beat_unprocessed: bool = False
    gates: tuple[StandIn, ...] = ()
    remainder_cap: float = 1.0
    emission_hold_blocks: int = 0
    emission_decay_blocks: int = 1
    emission_floor: float = 1.0
    absent_champion_is_paid: bool = False
    champion_keeps_title_with_new_model: bool = False
    reference: Reference = Reference.BEST
    no_loss: tuple[NoLoss, ...] = ()
    title_follows_model: bool = False
    copies_share_once: bool = False
    tests_count_able_only: bool = False
    memorised_alpha: float | None = None
    holds_impossible: bool = False
    tests_new_material: bool = False
    corrects_small_sets: bool = False
    serious_p: float | None = None
    hopeless_p: float = 1.0
    failures_unseen: int = 0
    summary: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name in ("alpha", "memorised_alpha", "serious_p"):
            level = getattr(self, name)
            if level is not None and not 0 < level < 1:
                raise ValueError(f"{name} {level} is not between 0 and 1")
        for name in ("remainder_cap", "emission_floor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} is not between 0 and 1")
        if not (self.serious_p or 0.0) < self.hopeless_p <= 1:
            raise ValueError(f"hopeless_p {self.hopeless_p} must be above serious_p, and at most 1")
        if self.serious_p is not None and self.alpha is not None and self.serious_p < self.alpha:
            raise ValueError(f"serious_p {self.serious_p} is below alpha, so challengers that win would not count")
        if self.copy_tightening < 0 or self.copy_tightening_limit < 1:
            raise ValueError("copy_tightening must be at least 0, and copy_tightening_limit at least 1")
        if self.failures_unseen < 0:
            raise ValueError(f"failures_unseen {self.failures_unseen} is negative")
        if self.emission_hold_blocks < 0 or self.emission_decay_blocks < 1:
            raise ValueError("emission_hold_blocks must be at least 0, and emission_decay_blocks at least 1")

    @property
    def canonical_json(self) -> str:
        """The rules as JSON with sorted keys and no spaces, without the summary."""
        facts = asdict(self)
        del facts["summary"]
        for added in _ADDED:
            if facts[added.name] == added.default:
                del facts[added.name]
        for no_loss in facts.get("no_loss", ()):
            if not no_loss["least_clips"]:
                del no_loss["least_clips"]
        return canonical_json(facts)

    @property
    def digest(self) -> str:
        """The SHA-256 of `canonical_json`, which identifies the rules."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()

    def stand_in_of(self, metric: str) -> StandIn | None:
        """The metric that stands in for this one, or None."""
        return next((stand_in for stand_in in self.gates if stand_in.metric == metric), None)

    def no_loss_of(self, metric: str) -> NoLoss | None:
        """What an entry must not lose to be paid for this metric, or None."""
        return next((no_loss for no_loss in self.no_loss if no_loss.metric == metric), None)

    def margin_over(self, metric: str, champion_mean: float, age_blocks: int, copies: int = 0) -> float:
        """The lead that a mean needs over `champion_mean`, in the metric's unit.

        >>> SOUNDSRIGHT_V2.margin_over("PESQ", 2.0, age_blocks=0)
        0.007
        >>> SOUNDSRIGHT_V3.margin_over("SI_SDR", -3.0, age_blocks=0)
        0.1
        """
        tightened = min(1.0 + self.copy_tightening * max(copies, 0), self.copy_tightening_limit)
        if self.additive_db is not None and metric in self.additive_metrics:
            return self.additive_db.at(age_blocks) * tightened
        return abs(champion_mean) * self.margin.at(age_blocks) * tightened

    def emission_fraction(self, title_age_blocks: int) -> float:
        """The part of a prize that a champion of that age gets. The rest burns.

        >>> SOUNDSRIGHT_V2.emission_fraction(10**6), SOUNDSRIGHT_V3.emission_fraction(0)
        (1.0, 1.0)
        """
        past = max(title_age_blocks - self.emission_hold_blocks, 0)
        return 1.0 - (1.0 - self.emission_floor) * min(past / self.emission_decay_blocks, 1.0)


_ADDED = tuple(
    each
    for each in fields(Ruleset)
    if each.name
    in {
        "reference",
        "no_loss",
        "title_follows_model",
        "copies_share_once",
        "tests_count_able_only",
        "memorised_alpha",
        "holds_impossible",
        "tests_new_material",
        "corrects_small_sets",
        "serious_p",
        "hopeless_p",
        "failures_unseen",
    }
)
"""The fields that came with version 4 and version 5."""


SOUNDSRIGHT_V2 = Ruleset(
    name="soundsright-v2",
    margin=Margin(0.0035, 0.0015, 50_400),
    age=Age.COMMITMENT,
    remainder=Remainder.MEAN,
    absent_champion_is_paid=True,
    champion_keeps_title_with_new_model=True,
    summary="The published rules, version 2.1: the means decide, and a relative margin protects the champion.",
)

SOUNDSRIGHT_V3 = Ruleset(
    name="soundsright-v3",
    margin=Margin(0.0035, 0.0015, 50_400),
    age=Age.TITLE,
    remainder=Remainder.GAIN,
    additive_db=Margin(0.1, 0.04, 50_400),
    additive_metrics=("SI_SDR", "SI_SIR", "SI_SAR"),
    copy_tightening=0.25,
    copy_tightening_limit=2.0,
    alpha=0.05,
    must_beat_unprocessed=True,
    gates=(StandIn("SI_SAR", by="SI_SDR", fraction=0.5), StandIn("SI_SIR", by="SI_SDR", fraction=0.0)),
    remainder_cap=0.5,
    emission_hold_blocks=50_400,
    emission_decay_blocks=151_200,
    emission_floor=0.5,
    summary="A margin and a paired test decide, and entries must beat the unprocessed input.",
)

SOUNDSRIGHT_V4 = replace(
    SOUNDSRIGHT_V3,
    name="soundsright-v4",
    reference=Reference.CHAMPION_OR_MEDIAN,
    no_loss=(
        NoLoss("SI_SIR", on=("SI_SDR", "ESTOI"), alpha=0.005),
        NoLoss("SI_SAR", on=("SI_SDR", "ESTOI"), alpha=0.005),
    ),
    title_follows_model=True,
    copies_share_once=True,
    tests_count_able_only=True,
    memorised_alpha=0.001,
    holds_impossible=True,
    summary="Version 3, and nobody is paid for memorised, copied or impossible results.",
)

SOUNDSRIGHT_V5 = replace(
    SOUNDSRIGHT_V4,
    name="soundsright-v5",
    no_loss=tuple(replace(each, least_clips=20) for each in SOUNDSRIGHT_V4.no_loss),
    tests_new_material=True,
    corrects_small_sets=True,
    serious_p=0.5,
    hopeless_p=0.999,
    failures_unseen=1,
    summary="The default: version 4, and a title changes hands only for a lead that new material would show too.",
)

RULESETS = (SOUNDSRIGHT_V5, SOUNDSRIGHT_V4, SOUNDSRIGHT_V3, SOUNDSRIGHT_V2)
"""The rulesets that ship with the package, the default first."""

DEFAULT_RULESET = RULESETS[0].name


def ruleset_of(facts: Mapping[str, Any]) -> Ruleset:
    """The ruleset whose `canonical_json` has these values.

    Raises:
        ValueError: a value is missing, unknown or out of its range.

    >>> import json
    >>> ruleset_of(json.loads(SOUNDSRIGHT_V4.canonical_json)) == SOUNDSRIGHT_V4
    True
    """
    try:
        values = dict(facts)
        values |= {name: Margin(**values[name]) for name in ("margin", "additive_db") if values.get(name)}
        values |= {"age": Age(values["age"]), "remainder": Remainder(values["remainder"])}
        values["reference"] = Reference(values.get("reference", Reference.BEST))
        values["additive_metrics"] = tuple(values.get("additive_metrics", ()))
        values["gates"] = tuple(StandIn(**each) for each in values.get("gates", ()))
        values["no_loss"] = tuple(
            NoLoss(**(each | {"on": tuple(each["on"])})) for each in values.get("no_loss", ())
        )
        return Ruleset(**values)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"these are not the values of a ruleset ({type(error).__name__}: {error})") from error


def ruleset_by_name(name: str) -> Ruleset:
    """The ruleset of that name.

    Raises:
        UsageError: if there is none.

    >>> ruleset_by_name("soundsright-v2") is SOUNDSRIGHT_V2
    True
    """
    for ruleset in RULESETS:
        if ruleset.name == name:
            return ruleset
    raise UsageError(f"Unknown ruleset {name!r}", f"Choose one of {', '.join(r.name for r in RULESETS)}.")
