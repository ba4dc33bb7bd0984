"""One pull of an image by its digest: it has limits, any thread can cancel it, and a refused one leaves nothing.

Times are in seconds, sizes in bytes. An engine does not tell an image's size before a pull. It reports the size of
each layer as soon as the layer's download begins, so a pull is cancelled when the sum exceeds `max_image_bytes`.
Layers are compressed: while they are unpacked, the disk's free space is watched as well.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.adapters.containers.engine import Engine, engine_faults
from soundsright.adapters.containers.engine_stream import EngineStream
from soundsright.adapters.containers.image_faults import FREE_SPACE, pull_fault, too_large_sentence
from soundsright.adapters.containers.image_storage import free_bytes_reader, names_of
from soundsright.adapters.sandboxes import StopToken
from soundsright.core.dockerfile import BaseImage
from soundsright.core.errors import (
    EngineUnavailable,
    ImageNotPulled,
    InfrastructureFault,
    SoundsRightError,
    printable,
)

_POLL_S = 0.2
_SETTLE_S = 0.7
_MAX_LAYERS = 1_000
"""Layers whose sizes are counted. Engines accept far fewer."""


def pulled_before(engine: Engine, image: BaseImage, limits: BuildLimits) -> str | None:
    """The id of an image that the engine has already under this name; None if it has none.

    Raises:
        ModelFault: this machine cannot run the image, or it is too large.
        InfrastructureFault: the engine failed, or has another image under this name.
    """
    import docker.errors

    with engine_faults():
        try:
            attributes = engine.client.images.get(image.reference).attrs
        except docker.errors.ImageNotFound:
            return None
    if (fault := _fault_of_image(engine, image, attributes, limits)) is not None:
        raise fault
    return str(attributes["Id"])


def pull_image(engine: Engine, image: BaseImage, limits: BuildLimits, token: StopToken) -> str:
    """Pull an image within the limits of a build, and check it. Returns its id.

    Raises:
        ModelFault: the image does not exist, cannot be used here, or is too large; the registry that the submission
            chose fails; or the run was stopped.
        InfrastructureFault: the engine or its disk failed, or (`RegistryUnavailable`) a trusted registry.
    """
    with engine_faults():
        unnamed_before = _unnamed_images(engine)
    try:
        _download(engine, image, limits, token)
    except _Cancelled as cancelled:
        _remove(engine, image)
        if cancelled.has_layers:
            _remove_unnamed(engine, unnamed_before)
            _remove(engine, image)
        raise cancelled.reason from None
    with engine_faults():
        attributes = engine.client.images.get(image.reference).attrs
    if (fault := _fault_of_image(engine, image, attributes, limits)) is not None:
        _remove(engine, image)
        raise fault
    return str(attributes["Id"])


class _Cancelled(Exception):
    """A pull that was cancelled for a reason. If it has layers, the engine may have ended it nevertheless."""

    def __init__(self, reason: Exception, *, has_layers: bool) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.has_layers = has_layers


def _unnamed_images(engine: Engine) -> frozenset[str]:
    """The ids of images that came from elsewhere and have no name. Images of a build have a parent."""
    rows = engine.client.api.images(filters={"dangling": True})
    return frozenset(str(row["Id"]) for row in rows if not row.get("ParentId") and not names_of(row))


def _remove_unnamed(engine: Engine, before: frozenset[str]) -> None:
    """Remove the image that a cancelled pull left without a name.

    An engine stores an image first and names it a moment later. So only an image that stays without a name for
    `_SETTLE_S` is removed.
    """
    import docker.errors

    with contextlib.suppress(InfrastructureFault), engine_faults():
        time.sleep(_SETTLE_S)
        early = _unnamed_images(engine) - before
        time.sleep(_SETTLE_S)
        for image_id in early & _unnamed_images(engine):
            with contextlib.suppress(docker.errors.APIError):
                engine.client.images.remove(image_id)


def _remove(engine: Engine, image: BaseImage) -> None:
    """Remove an image by this name, if it is there. An engine can end a pull just before it is cancelled.

    The engine keeps the image if it has it under another name too.
    """
    import docker.errors

    with (
        contextlib.suppress(InfrastructureFault),
        engine_faults(),
        contextlib.suppress(docker.errors.ImageNotFound),
    ):
        engine.client.images.remove(image.reference)


def _fault_of_image(
    engine: Engine, image: BaseImage, attributes: Mapping[str, Any], limits: BuildLimits
) -> SoundsRightError | None:
    """Why an image that the engine has is not the one that was asked for, or cannot be used."""
    name, digests = image.reference, attributes.get("RepoDigests") or []
    if name.partition("@")[2] not in {digest.partition("@")[2] for digest in digests}:
        return EngineUnavailable(
            f"The engine has {digests or 'no digest'} for the image {name}",
            f"Remove that image with `docker rmi {name}`, then try again.",
        )
    platform = "/".join(str(attributes.get(key, ""))[:40] for key in ("Os", "Architecture"))
    if platform != engine.platform:
        return ImageNotPulled(
            f"the image {name[:200]} is for {printable(platform)}; this machine runs images for {engine.platform}"
        )
    size_bytes = int(attributes.get("Size", 0))
    return _too_large(size_bytes, limits) if size_bytes > limits.max_image_bytes else None


def _too_large(size_bytes: int, limits: BuildLimits) -> ImageNotPulled:
    return ImageNotPulled(too_large_sentence(size_bytes, limits))


def _download(engine: Engine, image: BaseImage, limits: BuildLimits, token: StopToken) -> None:
    """Let the engine pull an image.

    Raises:
        _Cancelled: the pull exceeded a limit, or the run was stopped.
        ModelFault, InfrastructureFault: the engine or the registry ended it.
    """
    stream = _pull_stream(engine, image, limits)
    free_bytes = free_bytes_reader(engine)
    watch = _PullWatch(limits, free_bytes)
    reader = _PullReader(stream)
    reader.start()
    stopped = threading.Event()
    reason: SoundsRightError | None = None
    with token.on_stop(stopped.set):
        while reason is None and not stopped.is_set() and not reader.done.wait(_POLL_S):
            reason = watch.exceeded(image, reader.layer_bytes())
        if not reader.done.is_set():
            stream.cancel()
            reader.done.wait(_POLL_S)
    try:
        token.check()
    except SoundsRightError as stop:
        reason = stop
    if reason is not None:
        raise _Cancelled(reason, has_layers=reader.has_layers)
    if reader.error:
        raise pull_fault([image], reader.error, limits, disk_is_full=watch.disk_is_nearly_full())
    if reader.fault is not None:
        raise reader.fault


def _pull_stream(engine: Engine, image: BaseImage, limits: BuildLimits) -> EngineStream:
    from docker.auth import get_config_header, resolve_repository_name

    repository, _, digest = image.reference.partition("@")
    registry = resolve_repository_name(repository)[0]
    header = get_config_header(engine.client.api, registry) if registry in limits.registries else None
    return EngineStream(
        engine,
        "/images/create",
        {"fromImage": repository, "tag": digest},
        headers={"X-Registry-Auth": header} if header else {},
        timeout_s=limits.timeout_s + 60,
    )


class _PullWatch:
    """The limits of one pull that runs."""

    def __init__(self, limits: BuildLimits, free_bytes: Callable[[], int] | None) -> None:
        self._limits = limits
        self._free_bytes = free_bytes
        self._free_at_start = free_bytes() if free_bytes is not None else 0
        self._deadline = time.monotonic() + limits.timeout_s

    def exceeded(self, image: BaseImage, layer_bytes: int) -> SoundsRightError | None:
        """The fault for the limit that the pull exceeds now; None if it exceeds none."""
        if layer_bytes > self._limits.max_image_bytes:
            return _too_large(layer_bytes, self._limits)
        if self._free_bytes is not None:
            free = self._free_bytes()
            taken_bytes = self._free_at_start - free - layer_bytes
            # A small compressed layer can fill a disk. The submission is to blame for what its own image takes.
            # Other programs use the disk too, so the pull is tried again.
            if taken_bytes > self._limits.max_image_bytes:
                return ImageNotPulled(
                    f"the pull took {taken_bytes} bytes of disk; an image may have at most"
                    f" {self._limits.max_image_bytes}",
                    passing=True,
                )
            if free < self._limits.min_free_bytes:
                return EngineUnavailable(
                    f"The engine's disk is nearly full, so the pull of {image.reference[:200]} was cancelled",
                    FREE_SPACE,
                )
        if time.monotonic() > self._deadline:
            return pull_fault([image], f"it took longer than {self._limits.timeout_s:g} s", self._limits)
        return None

    def disk_is_nearly_full(self) -> bool:
        """Whether an engine that reports a full disk can be believed. A registry can send the same words."""
        return self._free_bytes is None or self._free_bytes() < 2 * self._limits.min_free_bytes


class _PullReader(threading.Thread):
    """Reads the reply to a pull in its own thread, because a read that waits cannot be interrupted."""

    def __init__(self, stream: EngineStream) -> None:
        super().__init__(name="pull", daemon=True)
        self._stream = stream
        self._bytes_by_layer: dict[str, int] = {}
        self.done = threading.Event()
        self.error = ""
        self.has_layers = False
        self.fault: InfrastructureFault | None = None

    def layer_bytes(self) -> int:
        """The bytes of all layers whose download has begun, as far as the registry has told or sent them."""
        return sum(list(self._bytes_by_layer.values()))

    def run(self) -> None:
        import docker.errors

        try:
            with engine_faults():
                try:
                    for event in self._stream:
                        self.error = str(event.get("error") or self.error)
                        self._note_progress(event)
                except docker.errors.APIError as e:
                    self.error = str(e.explanation or e)
        except InfrastructureFault as fault:
            self.fault = fault
        finally:
            self.done.set()

    def _note_progress(self, event: Mapping[str, Any]) -> None:
        detail, layer = event.get("progressDetail"), str(event.get("id", ""))
        # The first event of a layer. An image whose layers have not begun cannot be complete.
        self.has_layers = self.has_layers or event.get("status") == "Pulling fs layer"
        if event.get("status") != "Downloading" or not isinstance(detail, Mapping):
            return
        if layer in self._bytes_by_layer or len(self._bytes_by_layer) < _MAX_LAYERS:
            with contextlib.suppress(TypeError, ValueError):
                told = max(int(detail.get("total") or 0), int(detail.get("current") or 0))
                self._bytes_by_layer[layer] = max(told, self._bytes_by_layer.get(layer, 0))
