"""The winners of an epoch: from the committed views of all validators, or from the own reading. Blocks are counted.

In the profile `soundsright` only what the views have settled counts, so every validator that decides at all decides
the same. In the profiles `doc` and `code` a validator counts what it can read. It keeps the last winner if too many
buckets are unreadable.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from soundsright.core.errors import InfrastructureFault, RequestRefused
from soundsright.core.federation import Verdict, View
from soundsright.core.profiles import Profile
from soundsright.ranking import (
    Settled,
    Undecided,
    UndecidedReason,
    Unusable,
    federation_decisions,
    has_majority,
    keeps_last_winner,
    majority,
    settle,
    window,
)
from soundsright.services.federation.bucket_reader import ObjectOf
from soundsright.services.federation.epoch_views import listed, read_views
from soundsright.services.federation.mirror import Sought
from soundsright.services.federation.object_keys import verdict_key
from soundsright.services.federation.own_view import checked_epoch, unread_validators
from soundsright.services.federation.private_corpora import agreed_sources
from soundsright.services.federation.stated import Stated, hotkeys_of
from soundsright.services.federation.table_making import canonical_verdicts
from soundsright.services.federation.verdict import MAX_VERDICT_BYTES
from soundsright.services.federation.weights_context import FederationMemory, WeightsContext
from soundsright.services.federation.winners import EpochWinners, payable

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NoWinners:
    """An epoch that nobody will ever decide, and why. The last weights stay."""

    epoch_block: int
    sentence: str


class Deciding:
    """Decides epochs, and records their winners. Use one thread."""

    def __init__(self, context: WeightsContext, memory: FederationMemory, stated: Stated) -> None:
        self._context = context
        self._memory = memory
        self._stated = stated

    def decide(self, epoch: int, finalized: int) -> EpochWinners | NoWinners:
        """The winners of an epoch. A decision that is recorded stays.

        Raises:
            InfrastructureFault: they are unknown here, and can be decided later. The last weights stay.
            UsageError: a record of the state is damaged.
        """
        recorded = self._memory.winners.of_epoch(epoch)
        if recorded is not None:
            return recorded
        if self._context.rules.profile is Profile.SOUNDSRIGHT:
            decided = self._by_views(epoch)
        else:
            decided = self._by_own_reading(epoch, finalized)
        if isinstance(decided, NoWinners):
            return decided
        kept = self._memory.winners.keep(decided)
        _log.info("an epoch is decided", extra={"action": "epoch_decided", "epoch": epoch, "tasks": kept.tasks})
        return kept

    def _by_views(self, epoch: int) -> EpochWinners | NoWinners:
        context, memory, rules = self._context, self._memory, self._context.rules
        read = read_views(context, memory, epoch)
        usable, counting = read.usable, self._stated.attested(epoch)
        views = {hotkey: view if hotkey in counting else None for hotkey, view in read.views.items()}
        orders = memory.tasks.orders(epoch)
        _check_orders(orders, views.values(), len(read.validators), rules.settle_margin + rules.window_tasks)
        result = settle(rules, context.rules_digest, read.validators, epoch, views, orders)
        if isinstance(result, Undecided):
            return _undecided(result)
        if not result.window:
            return NoWinners(epoch, f"No task counts yet in epoch {epoch}. The last weights stay.")
        verdicts = self._settled(result, usable)
        few = _too_few(epoch, read.validators, verdicts)
        if few is not None:
            return few
        hotkeys = {row.hotkey for verdict in verdicts for row in verdict.rows}
        incumbents = hotkeys_of(self._stated.marks(epoch + rules.epoch_blocks), hotkeys)
        return self._decided(epoch, verdicts, read.validators, incumbents)

    def _settled(self, result: Settled, views: Mapping[str, View]) -> list[Verdict]:
        """The verdicts of the window. Those that are not here are fetched from whoever lists them.

        Raises:
            InfrastructureFault: one cannot be read.
        """
        memory = self._memory
        sought = []
        for task, canonical in result.window.items():
            digest = canonical.digest
            if digest is None or memory.verdicts.of_digest(digest) is not None:
                continue
            author = canonical.validator
            holders = [
                hotkey for hotkey, view in views.items() if view.verdicts.get(task, {}).get(author) == digest
            ]
            original = ObjectOf(author, verdict_key(task, author), MAX_VERDICT_BYTES)
            sought.append(Sought(digest, MAX_VERDICT_BYTES, original, tuple(holders)))
        missing = memory.mirror.fetch(sought, self._accept)
        if missing:
            raise InfrastructureFault(
                f"{len(missing)} of {len(result.digests)} verdicts that count cannot be read",
                "They are read again.",
            )
        found = []
        for task, canonical in result.window.items():
            verdict = None if canonical.digest is None else memory.verdicts.of_digest(canonical.digest)
            # Only a majority that lies can settle a verdict of another task. It counts for nobody, as elsewhere.
            if verdict is not None and (verdict.verdict.task, verdict.verdict.validator) == (
                task,
                canonical.validator,
            ):
                found.append(verdict.verdict)
        return found

    def _accept(self, digest: str, raw: bytes) -> bool:
        try:
            return self._memory.verdicts.take(raw).digest == digest
        except RequestRefused:
            return False

    def _by_own_reading(self, epoch: int, finalized: int) -> EpochWinners | NoWinners:
        memory, rules = self._memory, self._context.rules
        allowlist = listed(memory, epoch)
        results = checked_epoch(memory, epoch, finalized)
        unread = unread_validators(results)
        if keeps_last_winner(rules, len(unread), len(allowlist.validators)):
            raise InfrastructureFault(
                f"{len(unread)} of {len(allowlist.validators)} buckets cannot be read, such as that of {unread[0]}",
                "The last weights stay.",
            )
        proofs = memory.proofs.within(memory.epoch_facts(epoch, allowlist).tasks)
        canonical = canonical_verdicts(memory.tasks.orders(epoch), results, proofs)
        counting = window(canonical, epoch, rules)
        if not counting:
            raise InfrastructureFault(f"No task counts yet in epoch {epoch}", "The last weights stay.")
        verdicts = [found.verdict for task in counting if (found := canonical[task]) is not None]
        return _too_few(epoch, allowlist.validators, verdicts) or self._decided(
            epoch, verdicts, allowlist.validators, {}
        )

    def _decided(
        self, epoch: int, verdicts: Sequence[Verdict], validators: Collection[str], incumbents: Mapping[str, str]
    ) -> EpochWinners:
        context, corpora = self._context, self._memory.corpora
        agreed, public = agreed_sources(verdicts, validators), context.rules.pay_on_public
        decisions = federation_decisions(
            context.rules,
            context.organiser.ruleset,
            context.organiser.competitions,
            [payable(each, corpora, pays_on_public=public, agreed=agreed) for each in verdicts],
            incumbents,
            epoch_block=epoch,
            floors=context.floors,
        )
        winners = {name: decision.winner for name, decision in decisions.items()}
        return EpochWinners(epoch, winners, len(verdicts))


def _too_few(epoch: int, validators: Collection[str], verdicts: Sequence[Verdict]) -> NoWinners | None:
    """The end of an epoch if no strict majority of all validators has a verdict in its window; else None."""
    voters = {verdict.validator for verdict in verdicts}
    if has_majority(validators, voters):
        return None
    return NoWinners(
        epoch,
        f"In epoch {epoch} the verdicts of {len(voters & set(validators))} validators count, and"
        f" {majority(len(validators))} are a majority. The last weights stay.",
    )


def _undecided(result: Undecided) -> NoWinners:
    """The end of an epoch that nobody decides.

    Raises:
        InfrastructureFault: only this machine cannot decide it, because it lacks views.
    """
    if result.reason is UndecidedReason.FEW_VIEWS:
        return NoWinners(
            result.epoch_block,
            f"Epoch {result.epoch_block} has {result.usable} usable views, and {result.needed} are a majority. "
            "Nobody decides it, and the last weights stay.",
        )
    raise InfrastructureFault(
        f"The views of {', '.join(result.unread)} on epoch {result.epoch_block} cannot be read, and could change"
        " the result",
        "They are read again, and until then the last weights stay.",
    )


def _check_orders(
    orders: Mapping[int, Sequence[str]], views: Iterable[View | Unusable | None], validators: int, newest: int
) -> None:
    """Check that the turns of the newest tasks are known that a majority lists.

    Raises:
        InfrastructureFault: the list of validators that held then is not known here.
    """
    listed = Counter(task for view in views if isinstance(view, View) for task in view.verdicts)
    tasks = sorted(task for task, views_of in listed.items() if views_of >= majority(validators))[-newest:]
    unknown = [task for task in tasks if task not in orders]
    if unknown:
        raise InfrastructureFault(
            f"The list of validators that held for task {min(unknown)} is not known here", "It is read again."
        )
