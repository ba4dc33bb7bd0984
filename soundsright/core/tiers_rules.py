"""An organiser's rules for served models, whose provers climb and fall between eleven tiers.

Rates, factors and shares are fractions, times in seconds, agreements of errors in dB. Requests, attempts and
successes are counted, an interval is counted in blocks.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import UsageError
from soundsright.core.profiles import Profile
from soundsright.core.strict_json import strict_json

TIER_NAMES = (
    "Bronze",
    "Silver",
    "Gold",
    "Platinum",
    "Diamond",
    "Emerald",
    "Ruby",
    "Jade",
    "Master",
    "Grandmaster",
    "Challenger",
)
"""The names of the tiers, the lowest first. New provers begin in the first one."""


def _check(name: str, value: float, low: float, high: float) -> None:
    if type(value) not in (int, float) or not (math.isfinite(value) and low <= value <= high):
        raise UsageError(f"{name} is {value!r}", f"Write a number from {low:g} to {high:g}.")


@dataclass(frozen=True)
class Tier:
    """The numbers of a tier.

    A prover needs the success rate `rate` to come and to stay, and `min_successes` in all to come. It gets up to
    `requests` in an interval. `factor` is the reward of a success. An answer is similar if its cosine with the
    verifier's own answer is at least `cosine` (profiles `doc` and `code`), or if the agreement of their errors is
    at least `agreement_db` (profile `soundsright`).

    Raises:
        UsageError: a value is outside its range.
    """

    name: str
    rate: float
    requests: int
    factor: float
    cosine: float
    min_successes: int
    agreement_db: float

    def __post_init__(self) -> None:
        for name, (low, high) in TIER_RANGES.items():
            _check(f"{self.name}: {name}", getattr(self, name), low, high)


TIER_RANGES: Mapping[str, tuple[float, float]] = {
    "rate": (0.01, 0.999),
    "requests": (1, 10_000_000),
    "factor": (0.0, 100.0),
    "cosine": (0.0, 1.0),
    "min_successes": (0, 1_000_000_000),
    "agreement_db": (0.0, 100.0),
}
"""The numbers of a tier, each with its range."""

_TABLE = tuple(
    Tier(name, *numbers)
    for name, numbers in zip(
        TIER_NAMES,
        (
            (0.70, 500, 0.444, 0.70, 0, 30.0),
            (0.72, 1_000, 0.555, 0.72, 250, 31.5),
            (0.74, 5_000, 0.666, 0.74, 500, 33.0),
            (0.76, 7_500, 0.777, 0.76, 500, 34.5),
            (0.78, 10_000, 0.888, 0.78, 500, 36.0),
            (0.80, 12_500, 0.900, 0.80, 500, 37.5),
            (0.82, 15_000, 0.920, 0.82, 500, 39.0),
            (0.84, 17_500, 0.940, 0.84, 500, 40.5),
            (0.88, 20_000, 0.960, 0.88, 500, 42.0),
            (0.92, 22_500, 0.980, 0.92, 2_000, 43.5),
            (0.98, 25_000, 1.000, 0.95, 4_000, 45.0),
        ),
        strict=True,
    )
)
# The document's own column. Its cosines decide under `doc` and `code`, so nothing was measured for these numbers.
_AGREEMENTS_OF_DOC = {name: 15.0 + 1.5 * number for number, name in enumerate(TIER_NAMES)}
# The original program knows five names. Any other tier gets the factor of the lowest one.
_FACTORS_OF_CODE = {"Silver": 0.555, "Gold": 0.777, "Grandmaster": 0.888, "Challenger": 1.0}


@dataclass(frozen=True)
class TiersRules:
    """Everything that decides who is asked, which answers pass, who moves and who is paid.

    Every `step_s` the verifier asks `sample_size` provers, and waits `timeout_s` for an answer. Each prover has
    `bank_clips` clips in an interval of `interval_blocks`. The part `inference_share` of requests is inference.
    A failure earns `challenge_penalty` or `inference_penalty`. The reward of a success falls with its time: how
    steeply, `steepness` says, and `shift` from which part of the timeout on. A score is a moving average in which a
    new reward counts `alpha`.

    Under `min_attempts` since its last move, nobody moves. `max_gain_db` is the largest difference in level of a
    similar answer. `repeat_clips` clips are run twice. A model whose two answers agree by less than
    `min_repeat_db` is not asked. For the others, the agreement less `repeat_margin_db` limits the threshold of
    every tier. `reserved` of the provers of a step are those that were asked least.

    Raises:
        UsageError: a value is outside its range, or a tier needs a lower rate than the one below it.
    """

    profile: Profile = Profile.SOUNDSRIGHT
    sample_size: int = 10
    timeout_s: float = 12.0
    step_s: float = 12.0
    interval_blocks: int = 360
    alpha: float = 0.05
    challenge_penalty: float = -0.01
    inference_penalty: float = -0.05
    steepness: float = 5.0
    shift: float = 0.6
    min_attempts: int = 20
    bank_clips: int = 20
    inference_share: float = 0.1
    reserved: int = 1
    max_gain_db: float = 0.5
    repeat_clips: int = 4
    min_repeat_db: float = 33.0
    repeat_margin_db: float = 3.0
    table: tuple[Tier, ...] = _TABLE

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            _check(name, getattr(self, name), low, high)
        if tuple(tier.name for tier in self.table) != TIER_NAMES:
            raise UsageError("the table has other tiers", f"Name {', '.join(TIER_NAMES)}.")
        for lower, upper in zip(self.table, self.table[1:], strict=False):
            if upper.rate < lower.rate:
                raise UsageError(
                    f"{upper.name} has the rate {upper.rate:g}, below {lower.rate:g} of {lower.name}",
                    "Give each tier at least the rate of the one below it.",
                )
        if self.repeat_clips > self.bank_clips:
            raise UsageError(
                f"repeat_clips {self.repeat_clips} is more than bank_clips {self.bank_clips}", "Lower repeat_clips."
            )
        if self.reserved > self.sample_size:
            raise UsageError(
                f"reserved {self.reserved} is more than sample_size {self.sample_size}", "Lower reserved."
            )

    def tier(self, name: str) -> Tier:
        """The tier of that name.

        Raises:
            ValueError: no tier has the name.
        """
        return self.table[tier_index(name)]

    @property
    def canonical_json(self) -> str:
        """The rules as JSON with sorted keys and no spaces."""
        return canonical_json(asdict(self))

    @property
    def digest(self) -> str:
        """The SHA-256 of `canonical_json`, which identifies the rules."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()


_MOST = 1_000_000
_RANGES: Mapping[str, tuple[float, float]] = {
    "sample_size": (1, 4_096),
    "timeout_s": (0.1, 3_600),
    "step_s": (0.1, 86_400),
    "interval_blocks": (1, _MOST),
    "alpha": (0.0001, 1),
    "challenge_penalty": (-100, 0),
    "inference_penalty": (-100, 0),
    "steepness": (0, 100),
    "shift": (-10, 10),
    "min_attempts": (0, _MOST),
    "bank_clips": (1, 10_000),
    "inference_share": (0, 1),
    "reserved": (0, 4_096),
    "max_gain_db": (0, 100),
    "repeat_clips": (0, 10_000),
    "min_repeat_db": (0, 100),
    "repeat_margin_db": (0, 100),
}
_OF_PROFILE: Mapping[Profile, Mapping[str, Any]] = {
    Profile.SOUNDSRIGHT: {},
    Profile.DOC: {
        "min_attempts": 0,
        "reserved": 0,
        "min_repeat_db": 12.0,
        "table": {name: {"agreement_db": _AGREEMENTS_OF_DOC[name]} for name in TIER_NAMES},
    },
    Profile.CODE: {
        "sample_size": 48,
        "min_attempts": 0,
        "reserved": 0,
        "min_repeat_db": 12.0,
        "table": {
            name: {
                "factor": _FACTORS_OF_CODE.get(name, 0.444),
                "min_successes": 0,
                "agreement_db": _AGREEMENTS_OF_DOC[name],
            }
            for name in TIER_NAMES
        },
    },
}


def tier_index(name: str) -> int:
    """The place of a tier, 0 for the lowest.

    Raises:
        ValueError: no tier has the name.

    >>> tier_index("Bronze"), tier_index("Challenger")
    (0, 10)
    """
    if name not in TIER_NAMES:
        raise ValueError(f"{name[:100]!r} is not a tier; choose from {', '.join(TIER_NAMES)}")
    return TIER_NAMES.index(name)


def tiers_rules(profile: Profile = Profile.SOUNDSRIGHT, **changes: Any) -> TiersRules:
    """The rules of a profile, with changes by the organiser.

    `table` has changes of tiers by name, each a mapping of numbers by column.

    >>> tiers_rules(Profile.CODE).tier("Master").factor, tiers_rules(sample_size=4).sample_size
    (0.444, 4)
    >>> tiers_rules(table={"Gold": {"rate": 0.75}}).tier("Gold").rate
    0.75
    """
    table = {tier.name: tier for tier in _TABLE}
    for tiers in (_OF_PROFILE[profile].get("table", {}), changes.pop("table", {})):
        for name, numbers in tiers.items():
            table[name] = replace(table[TIER_NAMES[tier_index(name)]], **numbers)
    scalars = {name: value for name, value in _OF_PROFILE[profile].items() if name != "table"}
    return TiersRules(profile, **{**scalars, **changes}, table=tuple(table.values()))


def recorded_tiers_rules(text: str) -> TiersRules:
    """The rules that `canonical_json` gave.

    Raises:
        ValueError: the text is something else.
        UsageError: a value is outside its range.

    >>> recorded_tiers_rules(TiersRules().canonical_json) == TiersRules()
    True
    """
    try:
        values = dict(strict_json(text.encode()))
        table = tuple(Tier(**tier) for tier in values.pop("table"))
        return TiersRules(**{**values, "profile": Profile(values["profile"]), "table": table})
    except (TypeError, KeyError) as error:
        raise ValueError(f"these are no rules of tiers ({type(error).__name__}: {error})") from error


TIERS_KEYS: Mapping[str, str] = {item.name: str(item.type) for item in fields(TiersRules) if item.name != "table"}
"""The keys of the rules besides the table, each with the name of its type."""
