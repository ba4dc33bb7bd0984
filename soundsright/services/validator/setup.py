"""Everything that a validator needs: the rules of its subnet, the machine that runs its rounds, and its ports.

Blocks are counted, times are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.emission import DEFAULT_EMISSION, EmissionRules
from soundsright.core.ports import (
    Account,
    Clock,
    LiveChain,
    ModelHub,
    Peers,
    Pool,
    Records,
    Sandbox,
    StateStore,
    Timelock,
)
from soundsright.core.schedule import Schedule
from soundsright.services.http import Health
from soundsright.services.records import ValidSignature
from soundsright.services.rounds import Event, RoundOutcome
from soundsright.services.validator.retention import KEPT_ROUNDS, ArtifactStore

POLL_S = 12.0

Publish = Callable[[RoundOutcome, Path], Mapping[str, Mapping[str, object]]]
"""Writes a round's results into a folder, and returns each miner's feedback by hotkey."""


@dataclass(frozen=True)
class SubnetSettings:
    """The settings that all validators of a subnet share.

    `schedule` is the organiser's, or the settings' if the organiser gives none. `weights_every_blocks` is this
    validator's own: the blocks between two settings of weights, 0 for the chain's tempo. Without
    `pay_on_public_corpus`, rounds on recordings that anybody may have heard pay nobody.
    """

    rules: CompetitionRules
    measures: Measures
    schedule: Schedule
    burn_hotkey: str = ""
    emission: EmissionRules = DEFAULT_EMISSION
    weights_every_blocks: int = 0
    pay_on_public_corpus: bool = False


@dataclass
class Work:
    """The machine that runs the rounds. The audio, models and envelopes of `kept_rounds` rounds are kept."""

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


@dataclass(frozen=True)
class PaymentContext:
    """Everything with which a validator sets weights.

    `records` are needed if other systems than the rounds have a share of the emission. `weights_every_blocks` is as
    in `SubnetSettings`.
    """

    emission: EmissionRules
    burn_hotkey: str
    chain: LiveChain
    account: Account
    state: StateStore
    records: Records | None
    clock: Clock
    health: Health
    weights_every_blocks: int = 0
    poll_s: float = POLL_S


@dataclass(frozen=True)
class ValidatorContext:
    """Everything that a validator works with.

    `timelock` is needed if entries are sealed. With `dry_run`, one round is run and `dry_run` receives the weights
    by hotkey instead of the chain; they are empty if nobody is paid. Miners then receive nothing. `endpoint`
    (`host:port`), at which other validators ask for reveals, is published on the chain, unless it is empty.
    `records` are needed if other systems than the rounds have a share of the emission.
    """

    settings: SubnetSettings
    work: Work
    chain: LiveChain
    account: Account
    state: StateStore
    peers: Peers
    clock: Clock
    health: Health
    valid_signature: ValidSignature
    timelock: Timelock | None = None
    records: Records | None = None
    endpoint: str = ""
    poll_s: float = POLL_S
    dry_run: Callable[[Mapping[str, float]], None] | None = None

    @property
    def payment(self) -> PaymentContext:
        """The part of the context that sets weights."""
        settings = self.settings
        return PaymentContext(
            settings.emission,
            settings.burn_hotkey,
            self.chain,
            self.account,
            self.state,
            self.records,
            self.clock,
            self.health,
            settings.weights_every_blocks,
            self.poll_s,
        )
