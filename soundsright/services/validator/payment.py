"""Which weights a validator sets: those of its last round, or of all its systems by their shares.

If the rounds have the whole emission, their last weights are set under the round's id, and nothing is recorded
here. Otherwise the weights of all systems are combined and set under their digest. The stream `emission` then has a
record for each change. Blocks are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from soundsright.core.emission import COMPETITIONS
from soundsright.core.errors import UsageError
from soundsright.core.ports import Neuron, Records
from soundsright.ranking import KnownPayees
from soundsright.services.records import (
    EMISSION_STREAM,
    PayeesStatus,
    RecordedEmission,
    SystemPayees,
    recorded_emission,
)
from soundsright.services.rounds import steps
from soundsright.services.validator.setup import PaymentContext
from soundsright.services.validator.subsystems import (
    Subsystem,
    Subsystems,
    Watched,
    append_at,
    record_payees,
    recorded_payees,
)
from soundsright.services.validator.weights import WeightKeeper

FIRST_PAYEES_BLOCKS = 720
"""Number of blocks for which weights wait for the first payees of a system."""

_Decided = tuple[str, steps.PayeesStep] | None
"""The id of the last decided round, and what it pays."""


class Payment:
    """Asks the systems of a validator, combines what they pay, and sets the weights when they are due.

    Without `rounds`, the validator runs no competitions.

    Raises:
        UsageError: two systems have one name, or a share belongs to a system that does not run here.
    """

    def __init__(self, context: PaymentContext, subsystems: Sequence[Subsystem], *, rounds: bool = True) -> None:
        self._rules = rules = context.emission
        self._state = context.state
        self._health = context.health
        self._burn_hotkey = context.burn_hotkey
        self._weights = WeightKeeper(context.chain, context.account.address, context.clock, context.health)
        self._records: Records | None = None if rules.is_default else _records_of(context)
        self._subsystems = Subsystems(
            subsystems,
            paying=() if rules.is_default else rules.paying,
            records=self._records,
            clock=context.clock,
            health=context.health,
            first_pause_s=context.poll_s,
        )
        runs = {subsystem.name for subsystem in subsystems} | ({COMPETITIONS} if rounds else set())
        if missing := [name for name in rules.paying if name not in runs]:
            raise UsageError(
                f"[emission] gives {missing[0]} a share of {rules.paying[missing[0]]:g}, and this validator does"
                f" not run {missing[0]}",
                "Take the share out of the organiser's file, or use a version that has this system.",
            )
        self._emission: RecordedEmission | None = None
        self._recorded = None if self._records is None else recorded_emission(self._records)
        self._waits_for = ""

    def tick(self, finalized: int, neurons: Sequence[Neuron]) -> None:
        """Ask each system once. A system that fails stops nothing else.

        Raises:
            StateUnavailable: what a system answered cannot be recorded.
        """
        self._subsystems.tick(finalized, neurons)

    def close(self) -> None:
        """Close all systems."""
        self._subsystems.close()

    def set_weights_if_due(self, head: int, neurons: Sequence[Neuron], *, every_blocks: int) -> None:
        """Set the weights: changed ones at once, the same ones every tempo, because a chain forgets old weights.

        Raises:
            ChainUnavailable: the chain does not answer.
            StateUnavailable: the state does not answer.
        """
        decided = steps.latest(self._state, steps.PAYEES)
        set_block = None
        if self._records is not None:
            emission = self._current_emission(self._records, head, decided, neurons)
            if emission is not None:
                set_block = self._weights.tend(
                    emission.digest, emission.weights, head, neurons, every_blocks=every_blocks
                )
        elif decided is not None:
            round_id, payees = decided
            set_block = self._weights.set_if_due(
                round_id, payees.by_hotkey, head, neurons, every_blocks=every_blocks
            )
        if set_block is not None and decided is not None:
            steps.write(self._state, decided[0], steps.WEIGHTS_SET, steps.WeightsSetStep(set_block))

    def emission(self, head: int, neurons: Sequence[Neuron]) -> RecordedEmission | None:
        """The weights of all systems at a block. None while the first payees of a system are awaited.

        Raises:
            StateUnavailable: the state does not answer.
            ValueError: the rounds have the whole emission.
        """
        if self._records is None:
            raise ValueError("the rounds have the whole emission")
        return self._current_emission(self._records, head, steps.latest(self._state, steps.PAYEES), neurons)

    def _current_emission(
        self, records: Records, block: int, decided: _Decided, neurons: Sequence[Neuron]
    ) -> RecordedEmission | None:
        """The emission at a block, recorded if it changed. None while the first payees of a system are awaited."""
        systems = self._systems(records, block, decided)
        if systems is None:
            return None
        registered = any(neuron.hotkey == self._burn_hotkey for neuron in neurons)
        burn_hotkey = self._burn_hotkey if registered else ""
        # Combining costs more than anything else here, so it is done only after a change.
        before = self._emission
        if before is None or (before.systems, before.burn_hotkey) != (systems, burn_hotkey):
            emission = RecordedEmission(block, systems, burn_hotkey)
            if self._recorded is None or self._recorded.facts() != emission.facts():
                append_at(records, EMISSION_STREAM, block, emission.facts())
                self._recorded = emission
            self._emission = emission
            self._show(emission)
        return self._emission

    def _systems(self, records: Records, block: int, decided: _Decided) -> tuple[SystemPayees, ...] | None:
        """The present payments of each system; None if there are first payees to wait for."""
        known = self._subsystems.known
        known[COMPETITIONS] = self._of_rounds(records, block, decided)
        systems = tuple(
            self._counted(name, share, known.get(name), block) for name, share in self._rules.paying.items()
        )
        awaited = [system.name for system in systems if self._is_awaited(known.get(system.name), block)]
        for system in systems:
            silent = system.status is PayeesStatus.KNOWN or system.name in awaited
            self._health.problem(f"{system.name}.payees", None if silent else _burning(system))
        self._report_wait(", ".join(awaited))
        return None if awaited else systems

    def _counted(self, name: str, share: float, known: KnownPayees | Watched | None, block: int) -> SystemPayees:
        if not isinstance(known, KnownPayees):
            return SystemPayees(name, share, {}, PayeesStatus.UNKNOWN)
        if not known.counts_at(block, self._rules.stale_blocks):
            return SystemPayees(name, share, {}, PayeesStatus.STALE, known.block)
        return SystemPayees(name, share, known.by_hotkey)

    def _is_awaited(self, known: KnownPayees | Watched | None, block: int) -> bool:
        if isinstance(known, KnownPayees):
            return False
        return known is None or block - known.block <= min(FIRST_PAYEES_BLOCKS, self._rules.stale_blocks)

    def _of_rounds(self, records: Records, block: int, decided: _Decided) -> KnownPayees | Watched:
        """The payments of the rounds. Their payees count until the next round is decided, however late that is."""
        if decided is not None:
            return KnownPayees(decided[1].by_hotkey, block)
        watched = recorded_payees(records, COMPETITIONS)
        if watched is None:
            watched = Watched(block)
            record_payees(records, COMPETITIONS, watched)
        return watched

    def _report_wait(self, awaited: str) -> None:
        """Report once that weights wait."""
        if awaited and awaited != self._waits_for:
            self._health.event(
                "success",
                f"Weights wait for the first payees of {awaited}, for {FIRST_PAYEES_BLOCKS} blocks at most",
                action="weights_wait",
            )
        self._waits_for = awaited

    def _show(self, emission: RecordedEmission) -> None:
        """Give the emission to Prometheus: a series for each system."""
        for system in emission.systems:
            burned = emission.burns_of(system)
            self._health.series("emission.share", system.name, system.share)
            self._health.series("emission.burned", system.name, burned)
        self._health.series("emission.burned", "none", emission.unassigned if emission.burn_hotkey else 0.0)


def _records_of(context: PaymentContext) -> Records:
    if context.records is None:
        raise ValueError("shares of the emission need the records of the state")
    return context.records


def _burning(system: SystemPayees) -> str:
    if system.status is PayeesStatus.STALE:
        return f"The last payees of {system.name} are of block {system.block}, so its share burns"
    return f"The payees of {system.name} were never known, so its share burns"
