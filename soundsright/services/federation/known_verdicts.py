"""The knowledge of a sampler about the others: the list of validators, and who shows a valid verdict on a task."""

from __future__ import annotations

import logging

from soundsright.core.federation import Verdict
from soundsright.services.federation.allowlist import Allowlist, NoAllowlist
from soundsright.services.federation.bucket_reader import Absent
from soundsright.services.federation.own_view import read_epoch, unread_validators
from soundsright.services.federation.verdict_reader import Found, Refused
from soundsright.services.federation.weights_context import FederationMemory, WeightsContext

_log = logging.getLogger(__name__)


class KnownVerdicts:
    """Reads lists and verdicts for the `allowlist` and the `shown` of a `SamplerContext`. Use one thread."""

    def __init__(self, context: WeightsContext) -> None:
        self._context = context
        self._memory: FederationMemory | None = None

    @property
    def memory(self) -> FederationMemory:
        """The readers, made at the first use, because that reads the state."""
        if self._memory is None:
            self._memory = FederationMemory(self._context)
        return self._memory

    def allowlist(self, block: int) -> Allowlist | None:
        """The list that gives the turns of a block's task; None if there is none.

        Raises:
            ChainUnavailable: the chain does not answer.
            InfrastructureFault: this machine's disk or state fails.
        """
        found = self.memory.lists.of_task(block // self._context.rules.interval_blocks)
        return None if isinstance(found, NoAllowlist) else found

    def shown(self, task: int, validator: str) -> bool | None:
        """Whether a validator shows a valid verdict on a task; None if that is unknown. Raises as `allowlist`."""
        facts = self.memory.tasks.facts(task)
        if facts is None:
            return None
        finalized = self._context.chain.finalized().number
        memory, place = self.memory, (task, validator)
        found = memory.sets.checked(memory.verdicts.read([(facts, validator)], finalized=finalized), memory.own)[
            place
        ]
        if isinstance(found, Found):
            return True
        # A verdict from a later block is one that this machine's view of the chain does not have yet.
        is_certain = isinstance(found, Absent) or (isinstance(found, Refused) and found.code != "from_future")
        return False if is_certain else None

    def places(self) -> list[tuple[int, str]]:
        """The turns of others at the tasks that can still count, as task and validator. Raises as `allowlist`."""
        memory = self.memory
        orders = memory.tasks.orders(self._context.chain.finalized().number)
        memory.verdicts.refresh()
        return [(task, each) for task, order in orders.items() for each in order if each != memory.own]

    def kept(self, task: int, validator: str) -> Verdict | None:
        """The valid verdict of a validator on a task, if it was read before. Raises as `allowlist`."""
        found = self.memory.verdicts.kept(task, validator)
        return None if found is None else found.verdict

    def before(self, task: int) -> list[Verdict]:
        """The valid verdicts of earlier tasks that can be read now. Raises as `allowlist`."""
        memory, context = self.memory, self._context
        block = task * context.rules.interval_blocks - 1
        if block < 0:
            return []
        found = read_epoch(memory, block, context.chain.finalized().number)
        unread = unread_validators(found)
        if unread:
            _log.info("earlier verdicts are unread", extra={"action": "verdicts_unread", "peer": ", ".join(unread)})
        return [each.verdict for each in found.values() if isinstance(each, Found)]
