"""What image a model runs in: found, built from its Dockerfile, or pulled by the digest that it names.

Times in seconds, sizes in bytes. The model's own files go into a build and nothing else: no build argument, secret
or proxy of the host. Who is to blame for an image that does not come: the submission, where there is no such image
or the submission chose the registry; the operator, where the engine's own default registry, or one that the
operator vouches for, does not answer.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soundsright.adapters.docker_engine import CONTENT_LABEL, LABEL, Engine, Stream, engine_faults
from soundsright.adapters.sandbox_runs import Run
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
    ModelFault,
    ProtocolViolation,
    UsageError,
)
from soundsright.core.submission import FetchedModel

NETWORKS = ("none", "default")
IMAGE_FILE = "IMAGE"
"""A repository may hold, instead of a Dockerfile, this file with one line: `repository@sha256:…`."""

_IMAGE_LINE = re.compile(r"[a-z0-9][a-z0-9._/:-]{0,254}@sha256:[0-9a-f]{64}")
_OWN_PLACES = ("docker.io/", "index.docker.io/", "localhost/")
"""Where engines look for the images that they have themselves."""
_IMAGE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}")
DISK_FULL = re.compile(r"no space left on device\s*$", re.I)
"""Only at its end is what an engine says its own: before that it quotes what a submission chose."""
_NOT_THERE = re.compile(
    r"manifest unknown|manifest .*not found|pull access denied|repository does not exist|not found: manifest"
    r"|no matching manifest|invalid reference format|invalid image name|name unknown",
    re.I,
)
_OTHER_BYTES = re.compile(r"verification failed|digest did not match|does not match", re.I)
_WATCH_S = 0.2
_MAX_IMAGE_LINE_BYTES = 1_024


@dataclass(frozen=True)
class BuildLimits:
    """`network` is `none` or `default`; `registries` are hosts that the operator vouches for, with their ports.

    `min_free_bytes` is what a build must leave on the engine's disk, `kept_bytes` what the harness's own images may
    take there before those that were not used for longest are removed.
    """

    network: str = "default"
    registries: tuple[str, ...] = ()
    timeout_s: float = 1_800.0
    memory_bytes: int = 8_000_000_000
    max_image_bytes: int = 20_000_000_000
    max_layer_bytes: int = 10_000_000_000
    min_free_bytes: int = 2_000_000_000
    kept_bytes: int = 200_000_000_000
    log_bytes: int = 1_000_000

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise UsageError(f"Build network {self.network!r} is unknown", f"Use one of {', '.join(NETWORKS)}.")


@dataclass(frozen=True)
class BuiltImage:
    """`id` runs it; `build_s` is 0 where the image was there already."""

    id: str
    build_s: float = 0.0
    log: str = ""


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
    from soundsright.adapters.docker_builder import Build

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


def free_bytes(engine: Engine) -> Callable[[], int] | None:
    """How much is free where the engine keeps its images, where that can be seen from here."""
    with contextlib.suppress(InfrastructureFault, OSError), engine_faults():
        root = engine.client.info().get("DockerRootDir", "")
        shutil.disk_usage(root)
        return lambda: shutil.disk_usage(root).free
    return None


def pull_fault(bases: Sequence[BaseImage], text: str, limits: BuildLimits) -> ModelFault | InfrastructureFault:
    """Who is to blame for an image that does not come, given what the engine said of it."""
    names = " or ".join(base.reference[:200] for base in bases) or "the base image"
    said = " ".join(text.split())[:300]
    if DISK_FULL.search(text):
        return EngineUnavailable(f"The engine's disk is full: {said}", "Free space there.")
    if _NOT_THERE.search(text):
        return ModelCrashed(f"there is no image {names}: {said}")
    if _OTHER_BYTES.search(text):
        return EngineUnavailable(
            f"What came for {names} is not that image: {said}", "Try again; see the engine's log."
        )
    if any(base.host is not None and base.host not in limits.registries for base in bases):
        return ModelCrashed(f"the registry that it names does not give {names}: {said}")
    return EngineUnavailable(
        f"The image {names} cannot be pulled: {said}", "Check the engine's network, or pull it beforehand."
    )


def make_room(engine: Engine, limits: BuildLimits, used: Mapping[str, float]) -> None:
    """Remove models' images beyond `kept_bytes`, first those not used for longest."""
    rows: list[dict[str, Any]] = []
    # Some engines refuse to count while containers come and go: the next build asks again.
    with contextlib.suppress(EngineUnavailable), engine_faults():
        rows = engine.client.df().get("Images") or []
    rows = [row for row in rows if (row.get("Labels") or {}).get(LABEL) == "model"]
    contents = {row["Labels"].get(CONTENT_LABEL, ""): row for row in rows}
    room, keep = limits.kept_bytes, set()
    for content in sorted(contents, key=lambda c: (used.get(c, 0.0), contents[c].get("Created", 0)), reverse=True):
        # What an image shares with others would not come free with it.
        room -= max(0, int(contents[content].get("Size", 0)) - max(0, int(contents[content].get("SharedSize", 0))))
        if room < 0:
            break
        keep.add(content)
    if len(keep) < len(contents):
        remove_images(engine, frozenset(keep))


def remove_images(engine: Engine, keep: frozenset[str]) -> int:
    """Remove the images that this harness built of models whose content hash is not to be kept; says how many."""
    import docker.errors

    removed = 0
    with engine_faults():
        for image in engine.client.images.list(filters={"label": f"{LABEL}=model"}):
            if image.labels.get(CONTENT_LABEL) not in keep:
                # One that a container runs in stays: it is in use, perhaps by another harness.
                with contextlib.suppress(docker.errors.APIError):
                    engine.client.images.remove(image.id, force=True)
                    removed += 1
    return removed
