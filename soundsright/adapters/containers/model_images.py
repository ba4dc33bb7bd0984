"""The image of a model: it exists already, is built from the Dockerfile, or is pulled by its digest.

Times are in seconds. A model's files are not trusted. They may name neither a local image of the engine nor a
registry inside the operator's network.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import threading
import time
from collections.abc import Mapping

from soundsright.adapters.containers.build_limits import BuildLimits, BuiltImage
from soundsright.adapters.containers.engine import Engine, engine_faults
from soundsright.adapters.containers.engine_stream import EngineStream
from soundsright.adapters.containers.image_build import ImageBuild, image_too_large
from soundsright.adapters.containers.image_faults import FREE_SPACE, pull_fault
from soundsright.adapters.containers.image_storage import free_bytes_reader, remove_unused_images
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
from soundsright.core.errors import (
    EngineUnavailable,
    InfrastructureFault,
    ProtocolViolation,
)
from soundsright.core.sources import is_image_reference
from soundsright.core.submission import FetchedModel

_LOCAL_PREFIXES = ("docker.io/", "index.docker.io/", "localhost/")
"""Prefixes under which engines find their own local images."""
_IMAGE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}")
_POLL_S = 0.2


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
        return _image_by_digest(engine, model, limits, token)
    instructions = _checked_instructions(model, limits)
    tag = _tag(model, limits)
    with engine_faults():
        existing = engine.client.images.list(filters={"reference": tag})
    if existing:
        return BuiltImage(str(existing[0].id))
    remove_unused_images(engine, limits, last_used_s)
    build = ImageBuild(engine, model, limits, tag, labels, base_images(instructions))
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
    name = base.reference.lower()
    for prefix in _LOCAL_PREFIXES:
        name = name.removeprefix(prefix)
    if name.startswith("soundsright/") or _IMAGE_ID.fullmatch(name):
        raise ProtocolViolation(
            f"{where}: {base.reference[:100]} is not an image of a registry; use a public base image"
        )
    if base.host is None or base.host in limits.registries:
        return
    host = base.host.rpartition(":")[0] if re.search(r":\d+$", base.host) else base.host
    is_internal = "." not in host
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host.strip("[]"))
        is_internal = True
    if is_internal:
        raise ProtocolViolation(f"{where}: {base.host[:100]} is not a public registry; use one with a domain name")


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


def _image_by_digest(engine: Engine, model: FetchedModel, limits: BuildLimits, token: StopToken) -> BuiltImage:
    import docker.errors

    name = _image_name(model)
    base = BaseImage(1, name)
    _check_base(base, limits, IMAGE_FILE)
    started_s, was_pulled = time.monotonic(), False
    with engine_faults():
        try:
            image = engine.client.images.get(name)
        except docker.errors.ImageNotFound:
            _pull(engine, base, limits, token)
            image, was_pulled = engine.client.images.get(name), True
        digests = image.attrs.get("RepoDigests") or []
        size_bytes = int(image.attrs.get("Size", 0))
    if name.partition("@")[2] not in {digest.partition("@")[2] for digest in digests}:
        raise EngineUnavailable(
            f"The engine has {digests or 'no digest'} for the image {name}",
            f"Remove that image with `docker rmi {name}`, then try again.",
        )
    if size_bytes > limits.max_image_bytes:
        if was_pulled:
            with engine_faults():
                engine.client.images.remove(name, force=True)
        raise image_too_large(size_bytes, limits)
    return BuiltImage(str(image.id), time.monotonic() - started_s)


def _pull(engine: Engine, base: BaseImage, limits: BuildLimits, token: StopToken) -> None:
    """Pull an image, within the limits of a build.

    Raises:
        ModelFault: the image does not exist, the registry that the model chose fails, or the run was stopped.
        InfrastructureFault: the engine, its disk, or a trusted registry failed.
    """
    from docker.auth import get_config_header, resolve_repository_name

    repository, _, digest = base.reference.partition("@")
    registry = resolve_repository_name(repository)[0]
    header = get_config_header(engine.client.api, registry) if registry in limits.registries else None
    stream = EngineStream(
        engine,
        "/images/create",
        {"fromImage": repository, "tag": digest},
        headers={"X-Registry-Auth": header} if header else {},
        timeout_s=limits.timeout_s + 60,
    )
    reader = _PullReader(stream)
    reader.start()
    deadline = time.monotonic() + limits.timeout_s
    free_bytes = free_bytes_reader(engine)
    stopped = threading.Event()
    with token.on_stop(stopped.set):
        while not reader.done.wait(_POLL_S):
            disk_is_full = free_bytes is not None and free_bytes() < limits.min_free_bytes
            if stopped.is_set() or time.monotonic() > deadline or disk_is_full:
                stream.cancel()
                break
    token.check()
    if not reader.done.is_set():
        if time.monotonic() <= deadline:
            raise EngineUnavailable(
                f"The engine's disk is nearly full, so the pull of {base.reference[:200]} was cancelled", FREE_SPACE
            )
        raise pull_fault([base], f"it took longer than {limits.timeout_s:g} s", limits)
    if reader.fault is not None:
        raise reader.fault
    if reader.errors:
        raise pull_fault([base], reader.errors[-1], limits)


class _PullReader(threading.Thread):
    """Reads the reply to a pull in its own thread, because a read that waits cannot be interrupted."""

    def __init__(self, stream: EngineStream) -> None:
        super().__init__(name="pull", daemon=True)
        self._stream = stream
        self.done = threading.Event()
        self.errors: list[str] = []
        self.fault: InfrastructureFault | None = None

    def run(self) -> None:
        import docker.errors

        try:
            with engine_faults():
                try:
                    self.errors.extend(str(event["error"]) for event in self._stream if event.get("error"))
                except docker.errors.APIError as e:
                    self.errors.append(str(e.explanation or e))
        except InfrastructureFault as fault:
            self.fault = fault
        finally:
            self.done.set()
