"""The image of a model: it exists already, is built from the Dockerfile, or is pulled by its digest.

Times are in seconds. A model's files are not trusted. They may name neither a local image of the engine nor a
registry inside the operator's network.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from soundsright.adapters.containers.build_limits import BuildLimits, BuiltImage
from soundsright.adapters.containers.engine import Engine, engine_faults
from soundsright.adapters.containers.image_build import ImageBuild
from soundsright.adapters.containers.image_content import image_content_digest
from soundsright.adapters.containers.image_pull import pull_image, pulled_before
from soundsright.adapters.containers.image_storage import PULLED_REPOSITORY, remove_unused_images
from soundsright.adapters.containers.registry_check import check_registries
from soundsright.adapters.sandboxes import StopToken
from soundsright.core.content import IMAGE_FILE, MAX_IMAGE_FILE_BYTES
from soundsright.core.dockerfile import (
    BaseImage,
    Instruction,
    base_images,
    command_of,
    parse_dockerfile,
    read_dockerfile,
)
from soundsright.core.dockerfile_checks import dockerfile_refusals
from soundsright.core.errors import ProtocolViolation
from soundsright.core.image_names import name_refusal
from soundsright.core.sources import is_image_reference
from soundsright.core.submission import FetchedModel

_CONTENT_FACTOR = 2
"""An export has a header for each file, so it can be larger than the image."""


def model_image(
    engine: Engine,
    model: FetchedModel,
    limits: BuildLimits,
    labels: dict[str, str],
    token: StopToken,
    *,
    last_used_s: Mapping[str, float],
) -> BuiltImage:
    """The model's image, built if it does not exist.

    `last_used_s` gives, for each content hash, when its image was used last; see `remove_unused_images`.

    Raises:
        ModelFault: the Dockerfile is refused, the build fails or exceeds a limit, or the run was stopped.
        InfrastructureFault: the engine, its disk, or the connection to the base image's registry failed.
    """
    if (model.path / IMAGE_FILE).exists():
        return _image_by_digest(engine, model, limits, token, last_used_s)
    instructions = _checked_instructions(model, limits)
    tag = _tag(model, limits)
    with engine_faults():
        existing = engine.client.images.list(filters={"reference": tag})
    if existing:
        return BuiltImage(str(existing[0].id))
    remove_unused_images(engine, limits, last_used_s)
    bases = base_images(instructions)
    check_registries(bases, limits.registries)
    build = ImageBuild(engine, model, limits, tag, labels, bases)
    with token.on_stop(build.cancel):
        image = build.run()
    token.check()
    return image


def image_layers(engine: Engine, model: FetchedModel, limits: BuildLimits) -> tuple[str, ...]:
    """The digests of the layers of a model's image; empty if the engine lacks it or its build runs commands.

    Raises:
        InfrastructureFault: the engine failed.
    """
    import docker.errors

    try:
        if (model.path / IMAGE_FILE).exists():
            name = _image_name(model)
        else:
            if any(instruction.name == "RUN" for instruction in read_dockerfile(model.path)):
                return ()
            name = _tag(model, limits)
    except ProtocolViolation:
        return ()
    with engine_faults():
        try:
            layers = engine.client.images.get(name).attrs.get("RootFS", {}).get("Layers") or ()
        except docker.errors.ImageNotFound:
            return ()
    return tuple(map(str, layers))


def built_content(engine: Engine, model: FetchedModel, limits: BuildLimits) -> str:
    """The digest of the content of the image that was built for a model.

    Raises:
        InfrastructureFault: the engine failed, it has no such image, or the image is too large.
    """
    return image_content_digest(engine, _tag(model, limits), max_bytes=_CONTENT_FACTOR * limits.max_image_bytes)


def _tag(model: FetchedModel, limits: BuildLimits) -> str:
    return f"soundsright/model:{model.content_hash[:40]}-{limits.network}"


def _checked_instructions(model: FetchedModel, limits: BuildLimits) -> tuple[Instruction, ...]:
    instructions = read_dockerfile(model.path)
    text = (model.path / "Dockerfile").read_text(encoding="utf-8")
    assert instructions == parse_dockerfile(text)
    refusals = dockerfile_refusals(text, instructions)
    if refusals:
        raise ProtocolViolation("; ".join(map(str, refusals))[:2_000])
    command_of(instructions)
    for base in base_images(instructions):
        _check_base(base, limits, f"Dockerfile line {base.line}")
    return instructions


def _check_base(base: BaseImage, limits: BuildLimits, where: str) -> None:
    """Check that an image comes from a registry, and that this registry is public or trusted.

    Raises:
        ProtocolViolation: if it is a local image of the engine, or its registry is inside the operator's network.
    """
    if (refusal := name_refusal(base, limits.registries)) is not None:
        raise ProtocolViolation(f"{where}: {refusal}")


def _image_name(model: FetchedModel) -> str:
    """The image that the file `IMAGE` names.

    Raises:
        ProtocolViolation: if the file is not one line `repository@sha256:…`.
    """
    path = model.path / IMAGE_FILE
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_IMAGE_FILE_BYTES:
        raise ProtocolViolation(
            f"{IMAGE_FILE} is not a plain file of at most {MAX_IMAGE_FILE_BYTES} bytes; write one line into it"
        )
    name = path.read_text(encoding="utf-8", errors="replace").strip()
    if not is_image_reference(name):
        raise ProtocolViolation(f"{IMAGE_FILE} has {name[:100]!a}, not `repository@sha256:…`")
    return name


def _image_by_digest(
    engine: Engine,
    model: FetchedModel,
    limits: BuildLimits,
    token: StopToken,
    last_used_s: Mapping[str, float],
) -> BuiltImage:
    base = BaseImage(1, _image_name(model))
    _check_base(base, limits, IMAGE_FILE)
    if (image_id := pulled_before(engine, base, limits)) is not None:
        return BuiltImage(image_id)
    remove_unused_images(engine, limits, last_used_s)
    started_s = time.monotonic()
    check_registries([base], limits.registries)
    image_id = pull_image(engine, base, limits, token)
    with engine_faults():
        engine.client.images.get(image_id).tag(PULLED_REPOSITORY, tag=model.content_hash[:64])
    return BuiltImage(image_id, time.monotonic() - started_s)
