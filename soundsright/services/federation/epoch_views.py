"""The views of an epoch as this validator reads them, and the list of its validators. Blocks are counted."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from soundsright.core.errors import InfrastructureFault, SoundsRightError
from soundsright.core.federation import View
from soundsright.ranking import Unusable
from soundsright.services.federation.allowlist import Allowlist, NoAllowlist
from soundsright.services.federation.view_commitments import committed_views
from soundsright.services.federation.weights_context import FederationMemory, WeightsContext

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpochViews:
    """The views of an epoch by validator: None where none was committed. `usable` are those that were read."""

    validators: tuple[str, ...]
    views: Mapping[str, View | Unusable | None]

    @property
    def usable(self) -> dict[str, View]:
        """The views that were read, by validator."""
        return {hotkey: view for hotkey, view in self.views.items() if isinstance(view, View)}

    @property
    def unread(self) -> tuple[str, ...]:
        """The validators whose views are committed, and could not be read."""
        return tuple(hotkey for hotkey, view in self.views.items() if view is Unusable.MISSING)


def read_views(context: WeightsContext, memory: FederationMemory, epoch: int) -> EpochViews:
    """The views of an epoch whose half is over. Copies of them are served, and equivocations in them proved.

    Raises:
        InfrastructureFault: the chain, the own bucket, this machine's disk or its state fails.
    """
    allowlist = listed(memory, epoch)
    committed = committed_views(context.chain, allowlist.validators, epoch, epoch + context.rules.half_epoch)
    found = EpochViews(allowlist.validators, memory.views.read(committed, memory.epoch_facts(epoch, allowlist)))
    usable = found.usable
    _serve(memory, (digest for hotkey, digest in committed.items() if hotkey in usable and digest is not None))
    memory.proofs.prove(memory.contradictions.equivocations(usable))
    memory.proofs.learn(usable)
    return found


def listed(memory: FederationMemory, epoch: int) -> Allowlist:
    """The list of validators as of an epoch's block.

    Raises:
        InfrastructureFault: there is none, or it cannot be read. Then the last weights stay.
    """
    found = memory.lists.as_of(epoch)
    if isinstance(found, NoAllowlist):
        raise InfrastructureFault(found.sentence.rstrip("."), "Until then the last weights stay.")
    return found


def _serve(memory: FederationMemory, views: Iterable[str]) -> None:
    """Serve copies of the views that were read, for validators that cannot read their authors' buckets.

    The own bucket is not needed to decide, so its failure is only logged.
    """
    try:
        memory.mirror.serve(views)
    except SoundsRightError as error:
        _log.warning("views are not served: %s", error, extra={"action": "views_not_served"})
