"""The fault for an image that cannot be pulled. It blames the submission or the operator.

The submission is to blame if the image does not exist, or if the submission chose the registry. The operator is to
blame if the engine's default registry, or a registry that the operator trusts, fails.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.core.dockerfile import BaseImage
from soundsright.core.errors import EngineUnavailable, InfrastructureFault, ModelCrashed, ModelFault

DISK_FULL = re.compile(r"no space left on device\s*$", re.I)
"""Search at the end of a message only: before its own words, an engine quotes text that the submission chose."""
FREE_SPACE = "Free space there, for example with `docker image prune`."
_NO_SUCH_IMAGE = re.compile(
    r"manifest unknown|manifest .*not found|pull access denied|repository does not exist|not found: manifest"
    r"|no matching manifest|invalid reference format|invalid image name|name unknown",
    re.I,
)
_WRONG_CONTENT = re.compile(r"verification failed|digest did not match|does not match", re.I)


def pull_fault(
    bases: Sequence[BaseImage], engine_message: str, limits: BuildLimits
) -> ModelFault | InfrastructureFault:
    """The fault for a pull of one of these images that failed with that message of the engine."""
    names = " or ".join(base.reference[:200] for base in bases) or "the base image"
    reason = " ".join(engine_message.split())[:300]
    if DISK_FULL.search(engine_message):
        return EngineUnavailable(f"The engine's disk is full: {reason}", FREE_SPACE)
    if _NO_SUCH_IMAGE.search(engine_message):
        return ModelCrashed(f"the image {names} does not exist: {reason}")
    if _WRONG_CONTENT.search(engine_message):
        return EngineUnavailable(
            f"The registry sent the wrong content for {names}: {reason}", "Try again, and read the engine's log."
        )
    if any(base.host is not None and base.host not in limits.registries for base in bases):
        return ModelCrashed(f"the registry that the model chose does not provide {names}: {reason}")
    return EngineUnavailable(
        f"The engine cannot pull {names}: {reason}",
        "Check the engine's network with `docker pull`, or load the image into the engine beforehand.",
    )
