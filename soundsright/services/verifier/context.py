"""Everything that a verifier works with: the rules, the ports, and the folder for its banks.

Blocks are counted, times are in seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.material import PUBLIC_MATERIAL, Material
from soundsright.core.ports import (
    Clock,
    Counters,
    ModelHub,
    Neuron,
    Pool,
    Provers,
    Records,
    Runner,
    SandboxLimits,
    StateStore,
)
from soundsright.core.tiers_rules import TiersRules
from soundsright.services.http import Health
from soundsright.services.rounds import PRIVATE_FOLDER, StandingEntry

SCOPE = "tiers"
"""The scope of the state that has the intervals, so that they are not among the rounds of a validator."""
VPERMIT_TAO_LIMIT = 4_096.0


@dataclass(frozen=True)
class VerifierContext:
    """The rules and the ports of a verifier.

    `state` is scoped already, and `counters` belong to the tiers alone: an interval closes all of them. `entries`
    gives the entries that the last round did not refuse, or None if no round has finished. `material` gives the
    recordings for clips that are drawn now. `announce` receives the text that commits to a bank, before its
    interval begins. A hotkey with a permit and a stake above `vpermit_tao_limit` is a validator, and never asked.
    `workers` is the size of the pool.
    """

    rules: TiersRules
    hotkey: str
    entries: Callable[[], Sequence[StandingEntry] | None]
    provers: Provers
    hub: ModelHub
    sandbox: Runner
    pool: Pool
    clock: Clock
    state: StateStore
    records: Records
    counters: Counters
    folder: Path
    health: Health
    material: Callable[[], Material] = lambda: PUBLIC_MATERIAL
    announce: Callable[[str], None] | None = None
    sandbox_limits: SandboxLimits = SandboxLimits()
    fetch_limits: FetchLimits = FetchLimits()
    batch_audio_s: float = 24.0
    vpermit_tao_limit: float = VPERMIT_TAO_LIMIT
    workers: int = 1
    kept_failures: int = 5
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def banks_folder(self) -> Path:
        """The folder with the clips and the own answers of each interval. Only its owner can read it."""
        return self.folder / PRIVATE_FOLDER / "banks"

    @property
    def failures_folder(self) -> Path:
        """The folder with the last failed answers of each prover, beside the verifier's own."""
        return self.folder / PRIVATE_FOLDER / "failures"

    def may_be_asked(self, neuron: Neuron) -> bool:
        """Whether a registered hotkey can be a prover: it names an endpoint, and is no large validator."""
        is_validator = neuron.permit and neuron.stake > self.vpermit_tao_limit
        return neuron.endpoint is not None and neuron.hotkey != self.hotkey and not is_validator
