"""What an organiser decides about its competitions, and what each round measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.competition import Competition
from soundsright.core.entry_rules import NO_RULES, EntryRules
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.rulesets import Ruleset
from soundsright.core.schedule import Schedule
from soundsright.core.submission import CommitmentKind


@dataclass(frozen=True)
class CompetitionRules:
    """One organiser's decisions. All validators of the competitions must have the same.

    `schedule` is None if the organiser leaves the start of rounds to others. `commitment` is the form in which
    entries are on the chain until they close. `entry_rules` and `fetch_limits` decide which entries are refused. If
    `exclude_near_copies` is True, an entry whose output is nearly an earlier entry's is refused, not only reported.
    """

    competitions: tuple[Competition, ...]
    ruleset: Ruleset
    schedule: Schedule | None = None
    commitment: CommitmentKind = CommitmentKind.DIGEST
    entry_rules: EntryRules = NO_RULES
    fetch_limits: FetchLimits = FetchLimits()
    exclude_near_copies: bool = False


@dataclass(frozen=True)
class Measures:
    """The set that each round draws for a competition, and what is measured on it.

    `metrics` are all that are measured, and include those that pay. `floors` are the scores of a failed clip, by
    metric. `corpus_root` is the folder of the recordings; None means the ones that ship.
    """

    clips: int
    metrics: tuple[str, ...]
    floors: Mapping[str, float]
    corpus_root: Path | None = None
