"""The image that a model runs in: found, built from its Dockerfile, or pulled by the digest that it names.

Times are in seconds. A stranger's file may name neither an image that the engine already has from others nor a
registry inside the operator's network.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import threading
import time
from collections.abc import Mapping

from soundsright.adapters.containers.build import BuildLimits, BuiltImage, free_bytes, make_room, pull_fault
from soundsright.adapters.containers.builder import Build
from soundsright.adapters.containers.engine import Engine, Stream, engine_faults
from soundsright.adapters.sandboxes import Run
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
    ModelCrashed,
    ProtocolViolation,
)
from soundsright.core.submission import FetchedModel

IMAGE_FILE = "IMAGE"
"""A repository may hold, instead of a Dockerfile, this file with one line: `repository@sha256:…`."""
_IMAGE_LINE = re.compile(r"[a-z0-9][a-z0-9._/:-]{0,254}@sha256:[0-9a-f]{64}")
_OWN_PLACES = ("docker.io/", "index.docker.io/", "localhost/")
"""Where engines look for the images that they have themselves."""
_IMAGE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}")
_MAX_IMAGE_LINE_BYTES = 1_024
_WATCH_S = 0.2


def image_of(
    engine: Engine,
    model: FetchedModel,
    limits: BuildLimits,
    labels: dict[str, str],
    run: Run,
    *,
    used: Mapping[str, float],
) -> BuiltImage:
    """The model's image, built or found. `used` says when models' images were used last, by content.

    Raises:
        ModelFault: the Dockerfile is refused, its build fails or breaks a limit, or `run` was stopped.
        InfrastructureFault: the engine, its disk, or the way to the base image failed.
    """
    if (model.path / IMAGE_FILE).exists():
        return _image_by_digest(engine, model, limits, run)
    instructions = _checked(model, limits)
    tag = f"soundsright/model:{model.content_hash[:40]}-{limits.network}"
    with engine_faults():
        found = engine.client.images.list(filters={"reference": tag})
    if found:
        return BuiltImage(str(found[0].id))
    make_room(engine, limits, used)
    build = Build(engine, model, limits, tag, labels, base_images(instructions))
    with run.ended_by(build.cancel):
        built = build.run()
    run.check()
    return built


def _checked(model: FetchedModel, limits: BuildLimits) -> tuple[Instruction, ...]:
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
    """A stranger's file names no image that the engine has of others, and no door of the operator's own network."""
    plain = base.reference.lower()
    for prefix in _OWN_PLACES:
        plain = plain.removeprefix(prefix)
    if plain.startswith("soundsright/") or _IMAGE_ID.fullmatch(plain):
        raise ProtocolViolation(f"{where}: {base.reference[:100]} is no image of a registry")
    if base.host is None or base.host in limits.registries:
        return
    name = base.host.rpartition(":")[0] if re.search(r":\d+$", base.host) else base.host
    inner = "." not in name
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name.strip("[]"))
        inner = True
    if inner:
        raise ProtocolViolation(f"{where}: {base.host[:100]} is no public registry")


def _image_by_digest(engine: Engine, model: FetchedModel, limits: BuildLimits, run: Run) -> BuiltImage:
    import docker.errors

    path = model.path / IMAGE_FILE
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_IMAGE_LINE_BYTES:
        raise ProtocolViolation(f"{IMAGE_FILE} is not a file of one line")
    name = path.read_text(encoding="utf-8", errors="replace").strip()
    if not _IMAGE_LINE.fullmatch(name):
        raise ProtocolViolation(f"{IMAGE_FILE} holds {name[:100]!a}, not `repository@sha256:…`")
    base = BaseImage(1, name)
    _check_base(base, limits, IMAGE_FILE)
    started, pulled = time.monotonic(), False
    with engine_faults():
        try:
            image = engine.client.images.get(name)
        except docker.errors.ImageNotFound:
            _pull(engine, base, limits, run)
            image, pulled = engine.client.images.get(name), True
        digests = image.attrs.get("RepoDigests") or []
        size = int(image.attrs.get("Size", 0))
    if name.partition("@")[2] not in {digest.partition("@")[2] for digest in digests}:
        raise EngineUnavailable(
            f"The engine gave {digests or 'no digest'} for {name}", "Remove that image and try again."
        )
    if size > limits.max_image_bytes:
        if pulled:
            with engine_faults():
                engine.client.images.remove(name, force=True)
        raise ModelCrashed(f"the image has {size} bytes, more than {limits.max_image_bytes}")
    return BuiltImage(str(image.id), time.monotonic() - started)


def _pull(engine: Engine, base: BaseImage, limits: BuildLimits, run: Run) -> None:
    """Pull, within the limits of a build. A thread of its own reads, since none that waits can be woken."""
    import docker.errors
    from docker.auth import get_config_header, resolve_repository_name

    repository, _, digest = base.reference.partition("@")
    registry = resolve_repository_name(repository)[0]
    header = get_config_header(engine.client.api, registry) if registry in limits.registries else None
    stream = Stream(
        engine,
        "/images/create",
        {"fromImage": repository, "tag": digest},
        headers={"X-Registry-Auth": header} if header else {},
        timeout_s=limits.timeout_s + 60,
    )
    said: list[str] = []
    faults: list[InfrastructureFault] = []
    done, stopped = threading.Event(), threading.Event()

    def read() -> None:
        try:
            with engine_faults():
                try:
                    said.extend(str(event["error"]) for event in stream if event.get("error"))
                except docker.errors.APIError as e:
                    said.append(str(e.explanation or e))
        except InfrastructureFault as fault:
            faults.append(fault)
        finally:
            done.set()

    threading.Thread(target=read, name="pull", daemon=True).start()
    until = time.monotonic() + limits.timeout_s
    free = free_bytes(engine)
    with run.ended_by(stopped.set):
        while not done.wait(_WATCH_S):
            if stopped.is_set() or time.monotonic() > until or (free and free() < limits.min_free_bytes):
                stream.cancel()
                break
    run.check()
    if not done.is_set():
        if time.monotonic() <= until:
            raise EngineUnavailable("The engine's disk is full: a pull was broken off", "Free space there.")
        raise pull_fault([base], f"not within {limits.timeout_s:g} s", limits)
    if faults:
        raise faults[0]
    if said:
        raise pull_fault([base], said[-1], limits)
