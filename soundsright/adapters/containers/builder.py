"""One build of an image: watched, bounded, stopped from any thread, and gone without a trace where it fails.

Times in seconds, sizes in bytes. The classic builder is used: it runs each step as a container that can be watched.
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

from soundsright.adapters.containers.build import DISK_FULL, BuildLimits, BuiltImage, free_bytes, pull_fault
from soundsright.adapters.containers.engine import CONTENT_LABEL, LABEL, Engine, Stream, engine_faults
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
"""A sixteenth of what a container has by default: a build beside a running model must not slow it."""
_WATCH_S = 1.0
_GONE_WITHIN_S = 10.0
_MTIME_S = 1_600_000_000
"""Of every file in a build: archives that a build makes know no times before 1980."""


class Build:
    """Its stream is read by `run` while a second thread watches the clock and the disk; `cancel` ends it."""

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
        self._step: str | None = None
        self._made: list[str] = []
        self._stopped: Exception | None = None
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._stream: Stream | None = None

    def run(self) -> BuiltImage:
        """Build.

        Raises:
            ModelFault: the build fails, breaks a limit, or was cancelled.
            InfrastructureFault: the engine, its disk, or the way to the base image failed.
        """
        started = time.monotonic()
        watch = threading.Thread(target=self._watch, args=(started,), name="build-watch", daemon=True)
        watch.start()
        image_id = ""
        try:
            with tempfile.TemporaryFile() as context:
                _write_context(self._model, context)
                image_id = self._read(context)
            return self._checked(image_id, started)
        except BaseException:
            self._clean()
            raise
        finally:
            self._done.set()
            watch.join()

    def cancel(self) -> None:
        """End the build, from any thread."""
        self._stop(ModelCrashed("stopped by the harness"))

    def _stop(self, reason: Exception) -> None:
        with self._lock:
            self._stopped = self._stopped or reason
            if self._stream is not None:
                self._stream.cancel()

    def _read(self, context: IO[bytes]) -> str:
        headers = {"Content-Type": "application/x-tar"}
        with engine_faults():
            # What pulls from private registries need goes to the engine, and into no build: for those vouched for.
            headers |= self._credentials()
            stream = Stream(
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
                return self._followed(stream)
        except InfrastructureFault:
            if self._stopped is not None:
                raise self._stopped from None
            raise

    def _credentials(self) -> dict[str, str]:
        from docker.auth import encode_header, resolve_index_name

        known = self._engine.client.api._auth_configs.get_all_credentials()
        vouched = {
            name: entry
            for name, entry in known.items()
            if urlsplit(name if "//" in name else f"//{name}").netloc in self._limits.registries
            or resolve_index_name(name) in self._limits.registries
        }
        return {"X-Registry-Config": encode_header(vouched).decode()} if vouched else {}

    def _parameters(self) -> dict[str, Any]:
        return {
            "t": self._tag,
            "rm": True,
            "forcerm": True,
            "memory": self._limits.memory_bytes,
            "memswap": self._limits.memory_bytes,
            "cpushares": _CPU_SHARES,
            "labels": json.dumps(self._labels),
            **({} if self._limits.network == "default" else {"networkmode": self._limits.network}),
        }

    def _followed(self, stream: Iterable[dict[str, Any]]) -> str:
        image_id, error = "", ""
        if self._stopped is not None:
            raise self._stopped
        for event in stream:
            text = str(event.get("stream", event.get("status", "")))
            if (running := _RUNNING_IN.search(text)) is not None:
                self._step = running[1]
            self._log = (self._log + text)[-self._limits.log_bytes :]
            self._note_layer(text)
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

    def _note_layer(self, text: str) -> None:
        """Remember what this build made: no layer of a base image, and none that was there before."""
        layer = _LAYER.search(text)
        if layer is not None:
            step = list(_STEP.finditer(self._log))[-1:]
            since = self._log[step[0].end() :] if step else ""
            if step and step[0][1].upper() != "FROM" and "Using cache" not in since:
                self._made.append(layer[1])

    def _checked(self, image_id: str, started: float) -> BuiltImage:
        with engine_faults():
            image = self._engine.client.images.get(image_id)
            size = int(image.attrs.get("Size", 0))
            if size > self._limits.max_image_bytes:
                self._engine.client.images.remove(image.id, force=True)
                raise ModelCrashed(f"the image has {size} bytes, more than {self._limits.max_image_bytes}")
        return BuiltImage(str(image.id), time.monotonic() - started, self._log)

    def _fault(self, text: str) -> Exception:
        shown = printable(" ".join(text.split()))[:300]
        step = list(_STEP.finditer(self._log))[-1:]
        name, rest = (step[0][1].upper(), step[0][2]) if step else ("", "")
        # The words alone may be the Dockerfile's own, given back.
        if DISK_FULL.search(text) and self._disk_is_short():
            return EngineUnavailable(f"The engine's disk is full: {shown}", "Free space there.")
        if name == "FROM":
            named = next((word for word in rest.split() if not word.startswith("--")), "$")
            # As it was written: where that is a variable, whatever the build starts from may be meant.
            return pull_fault(self._bases if "$" in named else [BaseImage(0, named)], text, self._limits)
        if name == "COPY" and "--from=" in rest:
            # From an earlier stage, what is missing is missing in the submission.
            outside = [base for base in self._bases if f"--from={base.reference}" in rest]
            if outside:
                return pull_fault(outside, text, self._limits)
        last = [line for line in self._log.splitlines() if line.strip()][-1:]
        hint = "" if self._limits.network == "default" else "; builds here have no network"
        return ModelCrashed(f"the build failed: {shown}{hint} ({printable(''.join(last))[:200]})")

    def _disk_is_short(self) -> bool:
        free = free_bytes(self._engine)
        return free is None or free() < 2 * self._limits.min_free_bytes

    def _watch(self, started: float) -> None:
        """End the build when a limit is broken."""
        free = free_bytes(self._engine)
        while not self._done.wait(_WATCH_S):
            reason = self._broken(started, free)
            if reason is not None:
                self._stop(reason)
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

    def _layer_bytes(self, container: str) -> int:
        with contextlib.suppress(InfrastructureFault, ValueError), engine_faults():
            api = self._engine.client.api
            facts = api.get(api._url("/containers/{0}/json", container), params={"size": "true"}).json()
            return int(facts.get("SizeRw") or 0)
        return 0

    def _clean(self) -> None:
        """Remove the step's container, if the engine has not yet, and the layers that nobody will ask for."""
        with contextlib.suppress(InfrastructureFault), engine_faults():
            self._end_step()
            for layer in reversed(self._made):
                with contextlib.suppress(*_refusals()):
                    self._engine.client.api.remove_image(layer, noprune=True)

    def _end_step(self) -> None:
        """Wait until an engine that was left alone has ended the step; else end it."""
        if self._step is None:
            return
        api = self._engine.client.api
        until = time.monotonic() + _GONE_WITHIN_S
        with contextlib.suppress(*_refusals()):
            api.kill(self._step)
        while time.monotonic() < until:
            try:
                api.remove_container(self._step, force=True, v=True)
            except _refusals() as e:
                if e.response is not None and e.response.status_code == 404:
                    return
            time.sleep(0.05)


def _refusals() -> tuple[Any, ...]:
    import docker.errors

    return (docker.errors.APIError,)


def _write_context(model: FetchedModel, file: IO[bytes]) -> None:
    """The model's files as an archive, the same from whatever hub they came. What was published is what is built.

    A `.dockerignore` is a file like any other: matching a stranger's patterns could take the harness for ever.
    """

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = _MTIME_S
        member.mode = 0o755 if member.mode & 0o100 else 0o644
        return member

    with tarfile.open(fileobj=file, mode="w") as archive:
        for path in files_below(model.path):
            archive.add(path, path.relative_to(model.path).as_posix(), recursive=False, filter=plain)
    file.seek(0)
