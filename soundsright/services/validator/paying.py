"""A validator without rounds: it runs other systems, such as the executor, and sets the weights that they pay.

Blocks are counted, times are in seconds. Its state is that of a validator with rounds, so its last payees survive a
restart, and only one of the two can run on it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from soundsright.core.errors import InfrastructureFault
from soundsright.core.ports import Neuron
from soundsright.services.http import EmptyView
from soundsright.services.validator.payment import Payment
from soundsright.services.validator.setup import PaymentContext
from soundsright.services.validator.subsystems import Subsystem
from soundsright.services.validator.ticking import keep_ticking

DRY_RUN_POLL_S = 0.2


class PayingService(EmptyView):
    """Asks its systems and sets weights until it is stopped. It is also the `View` of the health-check API.

    Raises:
        UsageError: two systems have one name, or a share belongs to a system that does not run here.
    """

    def __init__(self, context: PaymentContext, subsystems: Sequence[Subsystem]) -> None:
        self._chain = context.chain
        self._health = context.health
        self._poll_s = context.poll_s
        self._every_blocks = context.weights_every_blocks
        self._names = [subsystem.name for subsystem in subsystems]
        self._payment = Payment(context, subsystems, rounds=False)
        self._scores: list[float] | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. After a failure the service tries again, with growing pauses."""
        try:
            keep_ticking(self.tick, stop, self._health, poll_s=self._poll_s)
        finally:
            self.close()

    def tick(self) -> None:
        """Look at the chain once, ask each system, and set the weights if they are due.

        Raises:
            InfrastructureFault: the chain or the state does not answer.
        """
        self._health.add("iterations")
        finalized, neurons = self._asked()
        self._health.set("chain.head_block", finalized)
        emission = self._payment.emission(finalized, neurons)
        if emission is not None:
            weights = {neuron.uid: emission.weights.get(neuron.hotkey, 0.0) for neuron in neurons}
            self._scores = [weights.get(uid, 0.0) for uid in range(max(weights, default=-1) + 1)]
        self._payment.set_weights_if_due(finalized, neurons, every_blocks=self._every_blocks)

    def first_weights(self, stop: threading.Event) -> Mapping[str, float]:
        """The weights that would be set now. The chain is only read. Empty if `stop` was set before they are known.

        Raises:
            InfrastructureFault: a system, the chain or the state does not answer.
        """
        while not stop.is_set():
            finalized, neurons = self._asked()
            problems = self._health.problems()
            if failed := [name for name in self._names if name in problems]:
                raise InfrastructureFault(f"{failed[0]}: {problems[failed[0]]}", "No weights would be set now.")
            emission = self._payment.emission(finalized, neurons)
            if emission is not None:
                return emission.weights
            stop.wait(DRY_RUN_POLL_S)
        return {}

    def close(self) -> None:
        """Close all systems."""
        self._payment.close()

    def _asked(self) -> tuple[int, tuple[Neuron, ...]]:
        """Ask each system. Returns the latest final block, and the present neurons."""
        finalized, neurons = self._chain.finalized().number, self._chain.neurons()
        self._payment.tick(finalized, neurons)
        return finalized, neurons

    def scores(self) -> list[float] | None:
        """The weights of the present block by uid."""
        return self._scores
