"""One build of a model's image: it has limits, any thread can cancel it, and a failed build leaves nothing behind.

Times are in seconds, sizes in bytes. It uses the engine's classic builder, which runs each step as a container
whose size can be watched.
"""

from __future__ import annotations

import contextlib
import json
import re
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any
from urllib.parse import urlsplit

from soundsright.adapters.containers.build_limits import BuildLimits, BuiltImage
from soundsright.adapters.containers.engine import Engine, engine_faults
from soundsright.adapters.containers.engine_stream import EngineStream
from soundsright.adapters.containers.image_faults import DISK_FULL, FREE_SPACE, pull_fault, too_large_sentence
from soundsright.adapters.containers.image_storage import free_bytes_reader
from soundsright.adapters.containers.labels import CONTENT_LABEL, LABEL
from soundsright.adapters.sandboxes import STOPPED
from soundsright.core.content import files_below
from soundsright.core.dockerfile import BaseImage
from soundsright.core.errors import (
    EngineUnavailable,
    InfrastructureFault,
    ModelCrashed,
    ModelTimeout,
    printable,
)
from soundsright.core.submission import FetchedModel

_RUNNING_IN = re.compile(r"---> Running in ([0-9a-f]{12,64})")
_STEP = re.compile(r"^step \d+/\d+ ?: (\w+) ?(.*)", re.I | re.M)
_LAYER = re.compile(r"^ ?---> ([0-9a-f]{12,64})$", re.M)
_CPU_SHARES = 64
"""A sixteenth of a container's default, so that a build does not slow a model that runs at the same time."""
_WATCH_S = 1.0
_REMOVE_TIMEOUT_S = 10.0
_MTIME_S = 1_600_000_000
"""The time of every file in a build: the same for every hub, and after 1980, where ZIP archives begin."""


class ImageBuild:
    """One build. `run` reads the engine's reply while a second thread watches the limits. `cancel` ends it."""

    def __init__(
        self,
        engine: Engine,
        model: FetchedModel,
        limits: BuildLimits,
        tag: str,
        labels: dict[str, str],
        bases: Sequence[BaseImage],
    ) -> None:
        self._engine = engine
        self._model = model
        self._limits = limits
        self._tag = tag
        self._labels = {LABEL: "model", CONTENT_LABEL: model.content_hash, **labels}
        self._bases = bases
        self._log = ""
        self._step_container: str | None = None
        self._new_layers: list[str] = []
        self._stop_reason: Exception | None = None
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._stream: EngineStream | None = None

    def run(self) -> BuiltImage:
        """Build the image.

        Raises:
            ModelFault: the build fails, exceeds a limit, or was cancelled.
            InfrastructureFault: the engine, its disk, or the connection to the base image's registry failed.
        """
        started_s = time.monotonic()
        watch = threading.Thread(target=self._watch, args=(started_s,), name="build-watch", daemon=True)
        watch.start()
        try:
            with tempfile.TemporaryFile() as context:
                _write_context(self._model, context)
                image_id = self._image_id_of_build(context)
            return self._checked_image(image_id, started_s)
        except BaseException:
            self._remove_remains()
            raise
        finally:
            self._done.set()
            watch.join()

    def cancel(self) -> None:
        """End the build, from any thread."""
        self._stop(ModelCrashed(STOPPED))

    def _stop(self, reason: Exception) -> None:
        with self._lock:
            self._stop_reason = self._stop_reason or reason
            if self._stream is not None:
                self._stream.cancel()

    def _image_id_of_build(self, context: IO[bytes]) -> str:
        headers = {"Content-Type": "application/x-tar"}
        with engine_faults():
            headers |= self._credentials()
            stream = EngineStream(
                self._engine,
                "/build",
                self._parameters(),
                headers=headers,
                body=context,
                timeout_s=self._limits.timeout_s + 60,
            )
        with self._lock:
            self._stream = stream
        try:
            with engine_faults():
                return self._read_reply(stream)
        except InfrastructureFault:
            if self._stop_reason is not None:
                raise self._stop_reason from None
            raise

    def _credentials(self) -> dict[str, str]:
        """The header with the operator's credentials for the trusted registries.

        The engine uses them to pull. No step of the build sees them.
        """
        from docker.auth import encode_header, resolve_index_name

        entries = self._engine.client.api._auth_configs.get_all_credentials()
        trusted = {
            name: entry
            for name, entry in entries.items()
            if urlsplit(name if "//" in name else f"//{name}").netloc in self._limits.registries
            or resolve_index_name(name) in self._limits.registries
        }
        return {"X-Registry-Config": encode_header(trusted).decode()} if trusted else {}

    def _parameters(self) -> dict[str, Any]:
        return {
            "t": self._tag,
            "rm": True,
            "forcerm": True,
            "memory": self._limits.memory_bytes,
            "memswap": self._limits.memory_bytes,
            "cpushares": _CPU_SHARES,
            "labels": json.dumps(self._labels),
            # Programs that know this variable write it instead of the time, if the Dockerfile has an ARG for it.
            "buildargs": json.dumps({"SOURCE_DATE_EPOCH": str(_MTIME_S)}),
            **({} if self._limits.network == "default" else {"networkmode": self._limits.network}),
        }

    def _read_reply(self, stream: Iterable[dict[str, Any]]) -> str:
        """Read the engine's reply to its end. Returns the id of the image."""
        image_id, error = "", ""
        if self._stop_reason is not None:
            raise self._stop_reason
        for event in stream:
            text = str(event.get("stream", event.get("status", "")))
            if (running := _RUNNING_IN.search(text)) is not None:
                self._step_container = running[1]
            self._log = (self._log + text)[-self._limits.log_bytes :]
            self._note_layer(text)
            if isinstance(event.get("aux"), dict):
                image_id = str(event["aux"].get("ID", image_id))
            error = str(event.get("error", error))
        if self._stop_reason is not None:
            raise self._stop_reason
        if error:
            raise self._fault(error)
        if not image_id:
            raise EngineUnavailable(
                "The engine ended the build and named no image",
                "Try again. If it fails again, read the engine's log.",
            )
        return image_id

    def _note_layer(self, text: str) -> None:
        """Remember each layer that this build creates, but no layer of a base image or of the engine's cache."""
        layer = _LAYER.search(text)
        if layer is not None:
            step = list(_STEP.finditer(self._log))[-1:]
            since_step = self._log[step[0].end() :] if step else ""
            if step and step[0][1].upper() != "FROM" and "Using cache" not in since_step:
                self._new_layers.append(layer[1])

    def _checked_image(self, image_id: str, started_s: float) -> BuiltImage:
        with engine_faults():
            image = self._engine.client.images.get(image_id)
            size_bytes = int(image.attrs.get("Size", 0))
            if size_bytes > self._limits.max_image_bytes:
                self._engine.client.images.remove(image.id, force=True)
                raise ModelCrashed(too_large_sentence(size_bytes, self._limits))
        return BuiltImage(str(image.id), time.monotonic() - started_s, self._log)

    def _fault(self, engine_message: str) -> Exception:
        """The fault for a build that failed with that message of the engine."""
        reason = printable(" ".join(engine_message.split()))[:300]
        step = list(_STEP.finditer(self._log))[-1:]
        instruction, arguments = (step[0][1].upper(), step[0][2]) if step else ("", "")
        # The Dockerfile can print these words itself, so check the disk as well.
        if DISK_FULL.search(engine_message) and self._disk_is_nearly_full():
            return EngineUnavailable(f"The engine's disk is full: {reason}", FREE_SPACE)
        if instruction == "FROM":
            image = next((word for word in arguments.split() if not word.startswith("--")), "$")
            # The log shows the line before variables are replaced. If it has one, it can mean any base image.
            return pull_fault(self._bases if "$" in image else [BaseImage(0, image)], engine_message, self._limits)
        if instruction == "COPY" and "--from=" in arguments:
            # A file that is missing in an earlier stage is a fault of the submission, not of a pull.
            pulled = [base for base in self._bases if f"--from={base.reference}" in arguments]
            if pulled:
                return pull_fault(pulled, engine_message, self._limits)
        last_line = "".join([line for line in self._log.splitlines() if line.strip()][-1:])
        hint = "" if self._limits.network == "default" else "; this validator's builds have no network"
        return ModelCrashed(f"the build failed: {reason}{hint} ({printable(last_line)[:200]})")

    def _disk_is_nearly_full(self) -> bool:
        free_bytes = free_bytes_reader(self._engine)
        return free_bytes is None or free_bytes() < 2 * self._limits.min_free_bytes

    def _watch(self, started_s: float) -> None:
        """End the build when it exceeds a limit."""
        free_bytes = free_bytes_reader(self._engine)
        while not self._done.wait(_WATCH_S):
            reason = self._exceeded_limit(started_s, free_bytes)
            if reason is not None:
                self._stop(reason)
                return

    def _exceeded_limit(self, started_s: float, free_bytes: Callable[[], int] | None) -> Exception | None:
        if time.monotonic() - started_s > self._limits.timeout_s:
            return ModelTimeout("build", self._limits.timeout_s)
        if free_bytes is not None and free_bytes() < self._limits.min_free_bytes:
            return InfrastructureFault(
                f"Less than {self._limits.min_free_bytes / 1e9:g} GB are free on the engine's disk", FREE_SPACE
            )
        if self._step_container is not None:
            written_bytes = self._written_bytes(self._step_container)
            if written_bytes > self._limits.max_layer_bytes:
                return ModelCrashed(f"a build step wrote more than {self._limits.max_layer_bytes} bytes")
        return None

    def _written_bytes(self, container: str) -> int:
        """The bytes that a build step has written so far; 0 if the engine does not report them."""
        with contextlib.suppress(InfrastructureFault, ValueError), engine_faults():
            api = self._engine.client.api
            info = api.get(api._url("/containers/{0}/json", container), params={"size": "true"}).json()
            return int(info.get("SizeRw") or 0)
        return 0

    def _remove_remains(self) -> None:
        """Remove the container of the last step, if it still exists, and the layers of this build."""
        import docker.errors

        with contextlib.suppress(InfrastructureFault), engine_faults():
            self._remove_step_container()
            for layer in reversed(self._new_layers):
                with contextlib.suppress(docker.errors.APIError):
                    self._engine.client.api.remove_image(layer, noprune=True)

    def _remove_step_container(self) -> None:
        """Kill the step's container and try to remove it until it is gone. The engine may remove it meanwhile."""
        import docker.errors

        if self._step_container is None:
            return
        api = self._engine.client.api
        deadline = time.monotonic() + _REMOVE_TIMEOUT_S
        with contextlib.suppress(docker.errors.APIError):
            api.kill(self._step_container)
        while time.monotonic() < deadline:
            try:
                api.remove_container(self._step_container, force=True, v=True)
            except docker.errors.APIError as e:
                if e.response is not None and e.response.status_code == 404:
                    return
            time.sleep(0.05)


def _write_context(model: FetchedModel, file: IO[bytes]) -> None:
    """Write the model's files as an archive that is the same for every hub.

    A `.dockerignore` has no effect, because matching the patterns of an untrusted file could take forever.
    """

    def normalised(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = _MTIME_S
        member.mode = 0o755 if member.mode & 0o100 else 0o644
        return member

    with tarfile.open(fileobj=file, mode="w") as archive:
        for path in files_below(model.path):
            archive.add(path, path.relative_to(model.path).as_posix(), recursive=False, filter=normalised)
    file.seek(0)
