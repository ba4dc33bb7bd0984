"""The own view of an epoch: read what the peers have published, list it, and commit to it. Blocks are counted."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.federation import View
from soundsright.core.federation_commitments import UNKNOWN_WINNER, validators_bits, view_commitment_in
from soundsright.core.ports import Account
from soundsright.services.federation.allowlist import Allowlist
from soundsright.services.federation.bucket_reader import Unknown
from soundsright.services.federation.epoch_views import listed, read_views
from soundsright.services.federation.set_checks import NOT_DRAWN
from soundsright.services.federation.stated import RecordedPaid, marks_of
from soundsright.services.federation.verdict_reader import Found, ReadVerdict
from soundsright.services.federation.view_publishing import ViewPublisher
from soundsright.services.federation.weights_context import FederationMemory, WeightsContext

EARLY_EPOCHS = 3
"""The commitments of verdicts that are younger are looked up at once: later, a chain may no longer know them."""

_log = logging.getLogger(__name__)


class OwnView:
    """Publishes one view in each epoch, in its first half. Use one thread."""

    def __init__(self, context: WeightsContext, account: Account, memory: FederationMemory) -> None:
        self._context = context
        self._own = account.address
        self._publisher = ViewPublisher(
            account,
            context.own,
            context.chain,
            memory.contents,
            memory.mirror,
            context.records,
            valid_signature=context.valid_signature,
        )
        self._memory = memory
        self._done = -1

    def is_due(self, epoch: int, finalized: int) -> bool:
        """Whether the view of the epoch is still to be committed, and in time."""
        return self._done != epoch and finalized < epoch + self._context.rules.half_epoch

    def publish(self, epoch: int, finalized: int) -> None:
        """Publish the view and commit to it. If some buckets cannot be read, wait for a quarter of an epoch first.

        Raises:
            InfrastructureFault: something is not ready, or fails. Call it again.
            UsageError: the own bucket has another view of this hotkey, or a record is damaged.
        """
        if not self.is_due(epoch, finalized):
            return
        context, memory = self._context, self._memory
        allowlist = listed(memory, epoch)
        own = self._own
        if own not in allowlist.validators:
            self._done = epoch
            _log.warning(
                "this hotkey is not on the list of validators", extra={"action": "no_view", "epoch": epoch}
            )
            return
        until = epoch + context.rules.half_epoch
        view = self._publisher.own_view(epoch) or self._made(epoch, finalized, allowlist)
        read = self._read(epoch - context.rules.epoch_blocks, finalized)
        result = self._publisher.publish(view, until, read, self._winners(epoch))
        if result.code == "too_late":
            self._done = epoch
            return
        if not result.ok and not result.unknown and not result.retryable:
            raise UsageError(
                f"The chain refuses the view of {own}: {result.message or result.code}", "Check this hotkey."
            )
        if not self._is_committed(epoch):
            raise InfrastructureFault(
                f"The view of epoch {epoch} is not in a final block yet", "It is looked for again."
            )
        self._done = epoch
        memory.mirror.end_epoch()
        _log.info("the view of an epoch is committed", extra={"action": "view_committed", "epoch": epoch})

    def _read(self, before: int, finalized: int) -> str:
        """The validators whose views of the epoch before were read and mirrored, as the commitment has them.

        Raises:
            InfrastructureFault: one cannot be read yet, and there is time to read it again; or something fails.
        """
        context = self._context
        if before < 0:
            return "0"
        try:
            found = read_views(context, self._memory, before)
        except InfrastructureFault:
            if self._has_time(before + context.rules.epoch_blocks, finalized):
                raise
            return "0"
        if found.unread and self._has_time(before + context.rules.epoch_blocks, finalized):
            raise InfrastructureFault(f"The view of {found.unread[0]} cannot be read", "It is read again.")
        return validators_bits(found.usable.keys(), found.validators)

    def _has_time(self, epoch: int, finalized: int) -> bool:
        return finalized < epoch + self._context.rules.epoch_blocks // 4

    def _winners(self, epoch: int) -> tuple[str, ...]:
        """The marks of the winners that this validator decided last, or else of those that it pays."""
        rules = self._context.rules
        decided = self._memory.winners.of_epoch(epoch - 2 * rules.epoch_blocks)
        paid = RecordedPaid(self._context.records).last()
        marks = marks_of(decided.winners) if decided is not None else {} if paid is None else paid.marks
        return tuple(marks.get(competition, UNKNOWN_WINNER) for competition in sorted(rules.competitions))

    def _is_committed(self, epoch: int) -> bool:
        """Whether the commitment stands in a final block: a reorganisation can drop a younger one."""
        chain = self._context.chain
        final = chain.snapshot(chain.finalized().number)
        texts = (each.digest for each in final.commitments if each.hotkey == self._own)
        return any(view is not None and view.epoch_block == epoch for view in map(view_commitment_in, texts))

    def _made(self, epoch: int, finalized: int, allowlist: Allowlist) -> View:
        context, memory = self._context, self._memory
        results = checked_epoch(memory, epoch, finalized)
        facts = memory.epoch_facts(epoch, allowlist)
        if self._has_time(epoch, finalized):
            _check_read(results, facts.tasks.stop - context.rules.settle_margin)
        since = epoch - EARLY_EPOCHS * context.rules.epoch_blocks
        found = (result.verdict for result in results.values() if isinstance(result, Found))
        memory.corpora.look(verdict for verdict in found if verdict.block >= since)
        verdicts: dict[int, dict[str, str]] = {}
        for (task, validator), result in sorted(results.items()):
            if isinstance(result, Found):
                verdicts.setdefault(task, {})[validator] = result.digest
        last = memory.winners.last()
        incumbents = {} if last is None else dict(last.incumbents)
        return View(
            epoch,
            self._own,
            allowlist.digest,
            context.rules_digest,
            verdicts,
            memory.proofs.within(facts.tasks),
            {name: hotkey for name, hotkey in incumbents.items() if name in context.rules.competitions},
        )


def checked_epoch(memory: FederationMemory, epoch: int, finalized: int) -> dict[tuple[int, str], ReadVerdict]:
    """The verdicts as `read_epoch` reads them, after a comparison of their sets. Raises as `read_epoch`."""
    return memory.sets.checked(read_epoch(memory, epoch, finalized), memory.own)


def read_epoch(memory: FederationMemory, epoch: int, finalized: int) -> dict[tuple[int, str], ReadVerdict]:
    """The verdicts of all tasks that can count in an epoch, each from the validators that had a turn.

    Equivocations that it meets are proved and published.

    Raises:
        InfrastructureFault: the chain, the own bucket, this machine's disk or its state fails.
    """
    facts = memory.tasks.lookback(epoch)
    wanted = [(each, validator) for each in facts.values() for validator in memory.tasks.turns(each)]
    results = dict(memory.verdicts.read(wanted, finalized=finalized))
    memory.proofs.prove(memory.verdicts.equivocations)
    return results


def _check_read(results: Mapping[tuple[int, str], ReadVerdict], newest: int) -> None:
    """Check that all was read, and that the sets of all tasks before `newest` were compared.

    Raises:
        InfrastructureFault: something is missing.
    """
    for (task, validator), each in sorted(results.items()):
        if each is NOT_DRAWN and task < newest:
            raise InfrastructureFault(f"The sets of task {task} are not drawn yet", "The sampler draws them.")
        if isinstance(each, Unknown) and each is not NOT_DRAWN:
            raise InfrastructureFault(f"The bucket of {validator} cannot be read", "It is read again.")


def unread_validators(results: Mapping[tuple[int, str], ReadVerdict]) -> tuple[str, ...]:
    """The validators of whom something could not be read."""
    return tuple(sorted({validator for (_, validator), each in results.items() if isinstance(each, Unknown)}))
