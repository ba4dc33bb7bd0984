"""What a validator is given: the rules of its subnet, and the machine that runs its rounds. Blocks are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from soundsright.core.competition import Competition
from soundsright.core.entry_rules import NO_RULES, EntryRules
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import ModelHub, Pool, Sandbox
from soundsright.core.rulesets import Ruleset
from soundsright.core.schedule import Schedule
from soundsright.core.submission import CommitmentKind
from soundsright.services.rounds import Event, RoundOutcome
from soundsright.services.validator.retention import KEPT_ROUNDS, ArtifactStore

Publish = Callable[[RoundOutcome, Path], Mapping[str, Mapping[str, object]]]
"""Writes a round's results into a folder, and gives each miner's feedback by hotkey."""


@dataclass(frozen=True)
class Rules:
    """What validators of one subnet must have the same, and when this one sets weights: 0 for the chain's tempo."""

    competitions: tuple[Competition, ...]
    clips: int
    metrics: tuple[str, ...]
    ruleset: Ruleset
    floors: Mapping[str, float]
    schedule: Schedule
    corpus_root: Path | None = None
    burn_hotkey: str = ""
    weights_every_blocks: int = 0
    commitment: CommitmentKind = CommitmentKind.DIGEST
    entry_rules: EntryRules = NO_RULES
    fetch_limits: FetchLimits = FetchLimits()
    exclude_near_copies: bool = False


@dataclass
class Work:
    """Where and with what rounds are run. Of `kept_rounds` rounds the audio, models and envelopes are kept."""

    hub: ModelHub
    sandbox: Sandbox
    pool: Pool
    folder: Path
    slots: int
    workers: int
    publish: Publish
    artifacts: ArtifactStore
    kept_rounds: int = KEPT_ROUNDS
    observe: Callable[[Event], None] = field(default=lambda _event: None)
