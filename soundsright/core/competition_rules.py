"""An organiser's decisions about its competitions, and the measurements of each round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from soundsright.core.competition import Competition
from soundsright.core.emission import DEFAULT_EMISSION, EmissionRules
from soundsright.core.entry_rules import NO_RULES, EntryRules
from soundsright.core.errors import UsageError
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.federation_rules import FederationRules
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.material import MIXED_NOISE, PUBLIC_MATERIAL, Material
from soundsright.core.rulesets import DEFAULT_RULESET, Ruleset
from soundsright.core.schedule import Schedule
from soundsright.core.stopping import Stopping
from soundsright.core.submission import CommitmentKind
from soundsright.core.tiers_rules import TiersRules

SPEECH_OF_ROUNDS = ("recordings", "espeak-ng", "flite", "openai")
"""The speech of a round's sets: recorded, or spoken for this round by a synthesiser."""


@dataclass(frozen=True)
class CompetitionRules:
    """One organiser's decisions. All validators of its competitions must use the same.

    `schedule` is None if the organiser does not decide when rounds start. `commitment` is the form in which entries
    are on the chain until they close. `entry_rules` and `fetch_limits` decide which entries are refused. If
    `exclude_near_copies` is True, an entry whose output is nearly an earlier entry's is refused, not only reported.
    `speech` is the speech of every round, such as `espeak-ng` or `recordings`; empty if each validator chooses.
    `noise` is one of `NOISE_OF_ROUNDS`. `emission` are the shares of all systems. `executor`, `federation`
    and `tiers` are None if the organiser has no rules for images, for validators that take turns, or for served
    models.

    Raises:
        UsageError: entries of a competition may stop early, but the ruleset has no test.
    """

    competitions: tuple[Competition, ...]
    ruleset: Ruleset
    schedule: Schedule | None = None
    commitment: CommitmentKind = CommitmentKind.DIGEST
    entry_rules: EntryRules = NO_RULES
    fetch_limits: FetchLimits = FetchLimits()
    exclude_near_copies: bool = False
    speech: str = ""
    noise: str = MIXED_NOISE
    emission: EmissionRules = DEFAULT_EMISSION
    executor: ExecutorRules | None = None
    federation: FederationRules | None = None
    tiers: TiersRules | None = None

    def __post_init__(self) -> None:
        early = [c.id for c in self.competitions if c.stopping is Stopping.SEQUENTIAL]
        if early and self.ruleset.alpha is None:
            raise UsageError(
                f'{early[0]}: stopping = "sequential" needs rules with a test, and {self.ruleset.name} has none',
                f'Choose other rules, such as {DEFAULT_RULESET}, or stopping = "full".',
            )


@dataclass(frozen=True)
class Measures:
    """The set that each round draws for a competition, and the metrics that are measured on it.

    `metrics` include those that pay. `floors` are the scores of a failed clip, by metric. `material` names
    the recordings.
    """

    clips: int
    metrics: tuple[str, ...]
    floors: Mapping[str, float]
    material: Material = PUBLIC_MATERIAL


class FederationAgreement:
    """The base of classes that have what all validators of a federation share: its rules, and the organiser's."""

    organiser: CompetitionRules
    rules: FederationRules

    @property
    def rules_digest(self) -> str:
        """The digest of everything that decides a winner, as verdicts and views have it.

        Raises:
            UsageError: the organiser lacks a competition of the rules.
        """
        return self.rules.digest_with(self.organiser.ruleset, self.organiser.competitions)
