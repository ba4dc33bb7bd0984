"""Images of submissions on this machine: how they are pulled, and when they are removed.

Times are in seconds. A pull is tried again only after a fault that can pass. The submission is blamed if its image
does not exist, cannot be used, or comes from a registry of its own choice that fails in every try. The operator is
told if the engine, its disk, its default registry or a trusted registry fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from soundsright.core.content import image_content_hash
from soundsright.core.errors import (
    EngineUnavailable,
    EntryRefused,
    FaultClass,
    ImageNotPulled,
    InfrastructureFault,
    RegistryUnavailable,
    fault_class,
)
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.ports import ImageKeeper, Runner
from soundsright.core.sources import ImageRef
from soundsright.core.submission import FetchedModel

PULL_FAILED = "pull_failed"
"""The code of an image that cannot be pulled. Its hotkey takes part again with its next submission."""
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 60.0

_log = logging.getLogger(__name__)


def pulled(sandbox: Runner, model: FetchedModel, rules: ExecutorRules, pause: Callable[[float], None]) -> None:
    """Pull a model's image if this machine does not have it, in at most `pull_tries` tries with growing pauses.

    The sandbox ends each try after its own limit, which the operator's command sets to `pull_timeout_s`. `pause`
    waits for that many seconds.

    Raises:
        EntryRefused: `pull_failed`, if the submission is to blame.
        ModelFault: the image cannot be used for another reason, or the sandbox was stopped.
        InfrastructureFault: this machine, or a registry that the operator trusts, is to blame.
    """
    last_fault: ImageNotPulled | InfrastructureFault | None = None
    for number in range(rules.pull_tries):
        if number:
            pause(pause_s(number))
        try:
            sandbox.prepare(model)
            return
        except (ImageNotPulled, InfrastructureFault) as fault:
            last_fault = fault
            if fault_class(fault) not in (FaultClass.TRANSIENT, FaultClass.BUSY):
                break
            _log.warning(
                "try %d of %d to pull the image of %s failed: %s",
                number + 1,
                rules.pull_tries,
                model.submission.source,
                fault,
                extra={"action": "pull_failed_try"},
            )
    assert last_fault is not None
    raise _final(last_fault, model) from last_fault


def pause_s(tries: int) -> float:
    """The pause after that many failed tries.

    >>> [pause_s(tries) for tries in range(1, 6)]
    [5.0, 10.0, 20.0, 40.0, 60.0]
    """
    return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (tries - 1))


def forget_images(sandbox: Runner, keep: Collection[ImageRef]) -> int:
    """Remove the pulled images that no standing submission names. Returns how many were removed.

    A sandbox that keeps no images has none to remove.

    Raises:
        InfrastructureFault: the engine failed.
    """
    if not isinstance(sandbox, ImageKeeper):
        return 0
    return sandbox.forget_images({image_content_hash(image) for image in keep})


def _final(fault: ImageNotPulled | InfrastructureFault, model: FetchedModel) -> EntryRefused | InfrastructureFault:
    """The fault after the last try. A registry that the operator trusts is part of this machine then."""
    if isinstance(fault, ImageNotPulled):
        return EntryRefused("pull_failed", str(fault)[:2_000], {"image": str(model.submission.source)})
    if isinstance(fault, RegistryUnavailable):
        return EngineUnavailable(fault.problem, fault.remedy)
    return fault
