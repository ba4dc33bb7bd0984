"""The fault for an image that cannot be pulled. It blames the submission or the operator.

The submission is to blame if the image does not exist or cannot be unpacked, or if the submission chose the
registry. The operator is to blame if the engine's default registry, or a registry that the operator trusts, fails.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.core.dockerfile import BaseImage
from soundsright.core.errors import (
    EngineUnavailable,
    ImageNotPulled,
    InfrastructureFault,
    ModelFault,
    RegistryUnavailable,
    printable,
)

DISK_FULL = re.compile(r"no space left on device\s*$", re.I)
"""Search at the end of a message only: before its own words, an engine quotes text that the submission chose."""
FREE_SPACE = "Free space there, for example with `docker image prune`."
_NO_SUCH_IMAGE = re.compile(
    r"manifest unknown|manifest .*not found|pull access denied|repository does not exist|not found: manifest"
    r"|invalid reference format|invalid image name|name unknown",
    re.I,
)
_WRONG_PLATFORM = re.compile(
    r"no matching manifest|operating system .* cannot be used|does not match the specified", re.I
)
_WRONG_CONTENT = re.compile(r"verification failed|digest did not match|does not match|filesystem layer verif", re.I)
_UNUSABLE = re.compile(
    r"failed to register layer|max depth exceeded|invalid rootfs|unsupported (?:manifest|media ?type|schema)"
    r"|invalid manifest|mediatype in manifest|cannot unmarshal|unexpected end of JSON|invalid character",
    re.I,
)
_MACHINE = re.compile(
    r"input/output error|read-only file system|cannot allocate memory|quota exceeded|resource busy|no space left"
    r"|too many open files|error parsing HTTP",
    re.I,
)
"""Reasons for the same words that lie outside the image."""
_DENIED = re.compile(r"unauthorized|denied|forbidden", re.I)


def too_large_sentence(size_bytes: int, limits: BuildLimits) -> str:
    return f"the image has {size_bytes} bytes; at most {limits.max_image_bytes} are allowed"


def pull_fault(
    bases: Sequence[BaseImage], engine_message: str, limits: BuildLimits, *, disk_is_full: bool = True
) -> ModelFault | InfrastructureFault:
    """The fault for a pull of one of these images that failed with that message of the engine.

    `disk_is_full` is False if the engine's disk has space, whatever the message says.
    """
    names = " or ".join(base.reference[:200] for base in bases) or "the base image"
    reason = printable(" ".join(engine_message.split()))[:300]
    if disk_is_full and DISK_FULL.search(engine_message):
        return EngineUnavailable(f"The engine's disk is full: {reason}", FREE_SPACE)
    if _WRONG_PLATFORM.search(engine_message):
        return ImageNotPulled(f"the image {names} has no variant for this machine's platform: {reason}")
    if _NO_SUCH_IMAGE.search(engine_message):
        return ImageNotPulled(f"the image {names} does not exist: {reason}")
    wrong_content = _WRONG_CONTENT.search(engine_message) is not None
    if not wrong_content and _UNUSABLE.search(engine_message) and not _MACHINE.search(engine_message):
        return ImageNotPulled(f"the engine cannot unpack the image {names}: {reason}")
    if any(base.host is not None and base.host not in limits.registries for base in bases):
        return ImageNotPulled(
            f"the registry that the model chose does not provide {names}: {reason}",
            passing=not _DENIED.search(engine_message),
        )
    if wrong_content:
        return RegistryUnavailable(
            f"The registry sent the wrong content for {names}: {reason}", "Try again, and read the engine's log."
        )
    return RegistryUnavailable(
        f"The engine cannot pull {names}: {reason}",
        "Check the engine's network with `docker pull`, or load the image into the engine beforehand.",
    )
