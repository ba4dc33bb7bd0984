"""The build of a model's image: a stage of its own, bounded in time, disk and log, and cached by content.

Times in seconds, sizes in bytes. The classic builder is used: it runs each step as a container that can be watched
and stopped. The build sees the model's own files and nothing else: no build argument, secret or proxy of the host.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from soundsright.adapters.docker_engine import CONTENT_LABEL, LABEL, Engine, engine_faults
from soundsright.core.dockerfile import Instruction, command_of, parse_dockerfile, read_dockerfile
from soundsright.core.dockerfile_checks import dockerfile_refusals
from soundsright.core.errors import (
    EngineUnavailable,
    InfrastructureFault,
    ModelCrashed,
    ModelFault,
    ModelTimeout,
    ProtocolViolation,
    UsageError,
)
from soundsright.core.submission import FetchedModel

NETWORKS = ("none", "default")
IMAGE_FILE = "IMAGE"
"""A repository may hold, instead of a Dockerfile, this file with one line: `repository@sha256:…`."""

_IMAGE_LINE = re.compile(r"[a-z0-9][a-z0-9._/:-]{0,254}@sha256:[0-9a-f]{64}")
_RUNNING_IN = re.compile(r"---> Running in ([0-9a-f]{12,64})")
_NOT_THERE = re.compile(r"manifest unknown|pull access denied|repository does not exist|not found: manifest", re.I)
_UNREACHED = re.compile(r"dial tcp|lookup |TLS handshake|i/o timeout|connection refused|no such host|EOF$", re.I)
_WATCH_S = 1.0
_MAX_IMAGE_LINE_BYTES = 1_024


@dataclass(frozen=True)
class BuildLimits:
    """`network` is `none` or `default`. `min_free_bytes` is what a build must leave on the engine's disk."""

    network: str = "default"
    timeout_s: float = 1_800.0
    memory_bytes: int = 8_000_000_000
    max_image_bytes: int = 20_000_000_000
    max_layer_bytes: int = 10_000_000_000
    min_free_bytes: int = 2_000_000_000
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


def image_of(engine: Engine, model: FetchedModel, limits: BuildLimits, labels: dict[str, str]) -> BuiltImage:
    """The model's image, built or found.

    Raises:
        ModelFault: the Dockerfile is refused, or its build fails or breaks a limit.
        InfrastructureFault: the engine, its disk, or the way to the base image failed.
    """
    if (model.path / IMAGE_FILE).exists():
        return _image_by_digest(engine, model)
    instructions = _checked(model)
    tag = f"soundsright/model:{model.content_hash[:40]}-{limits.network}"
    with engine_faults():
        found = engine.client.images.list(filters={"reference": tag})
    if found:
        return BuiltImage(str(found[0].id))
    return _Build(engine, model, limits, tag, labels, instructions).run()


def _checked(model: FetchedModel) -> tuple[Instruction, ...]:
    instructions = read_dockerfile(model.path)
    text = (model.path / "Dockerfile").read_text(encoding="utf-8")
    assert instructions == parse_dockerfile(text)
    refusals = dockerfile_refusals(text, instructions)
    if refusals:
        raise ProtocolViolation("; ".join(map(str, refusals))[:2_000])
    command_of(instructions)
    return instructions


def _image_by_digest(engine: Engine, model: FetchedModel) -> BuiltImage:
    import docker.errors

    path = model.path / IMAGE_FILE
    if path.is_symlink() or path.stat().st_size > _MAX_IMAGE_LINE_BYTES:
        raise ProtocolViolation(f"{IMAGE_FILE} is not a file of one line")
    name = path.read_text(encoding="utf-8", errors="replace").strip()
    if not _IMAGE_LINE.fullmatch(name):
        raise ProtocolViolation(f"{IMAGE_FILE} holds {name[:100]!a}, not `repository@sha256:…`")
    started = time.monotonic()
    with engine_faults():
        try:
            image = engine.client.images.get(name)
        except docker.errors.ImageNotFound:
            try:
                image = engine.client.images.pull(name)
            except docker.errors.APIError as e:
                raise _pull_fault(name, str(e.explanation or e)) from e
    digests = image.attrs.get("RepoDigests") or []
    if name.partition("@")[2] not in {digest.partition("@")[2] for digest in digests}:
        raise EngineUnavailable(
            f"The engine gave {digests or 'no digest'} for {name}", "Remove that image and try again."
        )
    return BuiltImage(str(image.id), time.monotonic() - started)


def _pull_fault(name: str, text: str) -> ModelFault | InfrastructureFault:
    if _NOT_THERE.search(text):
        return ModelCrashed(f"there is no image {name}: {text[:200]}")
    return EngineUnavailable(
        f"The image {name} cannot be pulled: {text[:200]}", "Check the engine's network, or pull it beforehand."
    )


class _Build:
    """One build: its stream is read here while a second thread watches the clock and the disk."""

    def __init__(
        self,
        engine: Engine,
        model: FetchedModel,
        limits: BuildLimits,
        tag: str,
        labels: dict[str, str],
        instructions: tuple[Instruction, ...],
    ) -> None:
        self._engine = engine
        self._model = model
        self._limits = limits
        self._tag = tag
        self._labels = {LABEL: "model", CONTENT_LABEL: model.content_hash, **labels}
        self._bases = [i.value.split()[0] for i in instructions if i.name == "FROM" and i.value]
        self._log = ""
        self._step: str | None = None
        self._stopped: Exception | None = None
        self._done = threading.Event()

    def run(self) -> BuiltImage:
        started = time.monotonic()
        watch = threading.Thread(target=self._watch, args=(started,), name="build-watch", daemon=True)
        watch.start()
        try:
            with engine_faults():
                image_id = self._read(self._stream())
        finally:
            self._done.set()
            watch.join()
        with engine_faults():
            image = self._engine.client.images.get(image_id)
            size = int(image.attrs.get("Size", 0))
            if size > self._limits.max_image_bytes:
                self._engine.client.images.remove(image.id, force=True)
                raise ModelCrashed(f"the image has {size} bytes, more than {self._limits.max_image_bytes}")
        return BuiltImage(str(image.id), time.monotonic() - started, self._log)

    def _stream(self) -> Iterator[dict[str, Any]]:
        api = self._engine.client.api
        return api.build(  # type: ignore[no-any-return]
            path=str(self._model.path),
            tag=self._tag,
            decode=True,
            rm=True,
            forcerm=True,
            pull=False,
            network_mode=None if self._limits.network == "default" else self._limits.network,
            container_limits={"memory": self._limits.memory_bytes, "memswap": self._limits.memory_bytes},
            labels=self._labels,
            timeout=int(self._limits.timeout_s) + 60,
        )

    def _read(self, stream: Iterator[dict[str, Any]]) -> str:
        """Read the stream to its end, whatever it says: one that is dropped half-way leaves its connection open."""
        image_id, error = "", ""
        for event in stream:
            text = str(event.get("stream", event.get("status", "")))
            if (running := _RUNNING_IN.search(text)) is not None:
                self._step = running[1]
            self._log = (self._log + text)[-self._limits.log_bytes :]
            if isinstance(event.get("aux"), dict):
                image_id = str(event["aux"].get("ID", image_id))
            error = str(event.get("error", error))
        if self._stopped is not None:
            raise self._stopped
        if error:
            raise self._fault(error)
        if not image_id:
            raise EngineUnavailable("The engine ended the build without an image", "Try again.")
        return image_id

    def _fault(self, text: str) -> Exception:
        shown = "".join(c if c.isprintable() else " " for c in text)[:300]
        if re.search("no space left on device", text, re.I):
            return EngineUnavailable(f"The engine's disk is full: {shown}", "Free space there.")
        if "returned a non-zero code" not in text and (_UNREACHED.search(text) or _NOT_THERE.search(text)):
            return _pull_fault(" or ".join(self._bases), shown)
        last = [line for line in self._log.splitlines() if line.strip()][-1:]
        hint = "" if self._limits.network == "default" else "; builds here have no network"
        return ModelCrashed(f"the build failed: {shown}{hint} ({''.join(last)[:200]})")

    def _watch(self, started: float) -> None:
        """Stop the running step when a limit is broken; the stream then ends with an error."""
        free = self._free_bytes()
        while not self._done.wait(_WATCH_S):
            reason = self._broken(started, free)
            if reason is not None:
                self._stopped = reason
                while not self._done.wait(0.2):
                    self._kill_step()
                return

    def _broken(self, started: float, free: Callable[[], int] | None) -> Exception | None:
        if time.monotonic() - started > self._limits.timeout_s:
            return ModelTimeout("build", self._limits.timeout_s)
        if free is not None and free() < self._limits.min_free_bytes:
            return InfrastructureFault(
                f"Less than {self._limits.min_free_bytes / 1e9:g} GB are free on the engine's disk",
                "Free space there, such as by `docker image prune`.",
            )
        if self._step is not None and self._layer_bytes(self._step) > self._limits.max_layer_bytes:
            return ModelCrashed(f"a build step wrote more than {self._limits.max_layer_bytes} bytes")
        return None

    def _free_bytes(self) -> Callable[[], int] | None:
        """How much is free where the engine keeps its images, where that can be seen from here."""
        with contextlib.suppress(InfrastructureFault, OSError), engine_faults():
            root = self._engine.client.info().get("DockerRootDir", "")
            shutil.disk_usage(root)
            return lambda: shutil.disk_usage(root).free
        return None

    def _layer_bytes(self, container: str) -> int:
        import docker.errors
        import requests

        api = self._engine.client.api
        with contextlib.suppress(docker.errors.DockerException, requests.RequestException, ValueError):
            facts = api.get(api._url("/containers/{0}/json", container), params={"size": "true"}).json()
            return int(facts.get("SizeRw") or 0)
        return 0

    def _kill_step(self) -> None:
        import docker.errors
        import requests

        if self._step is not None:
            with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
                self._engine.client.api.kill(self._step)


def remove_images(engine: Engine, keep: frozenset[str]) -> int:
    """Remove the images that this harness built of models whose content hash is not to be kept; says how many."""
    removed = 0
    with engine_faults():
        for image in engine.client.images.list(filters={"label": f"{LABEL}=model"}):
            if image.labels.get(CONTENT_LABEL) not in keep:
                engine.client.images.remove(image.id, force=True)
                removed += 1
    return removed
