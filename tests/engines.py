"""Container engines for tests: the one that runs on this machine, or one that the tests start."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from soundsright.adapters.containers.engine import Engine

BASE = "soundsright-base:test"
"""The base image of the tests' models: this machine's Python with the packages that models/gtcrn needs."""

_PACKAGES = ("numpy", "soundfile", "fastapi", "uvicorn", "python-multipart", "soxr", "onnxruntime")
_SCRIPT = Path(__file__).parents[1] / "scripts" / "base_image.sh"
_START_TIMEOUT_S = 60.0
_PODMAN_CONTAINERS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "none"
"""


class NoEngine(Exception):
    """No engine can be used, for the reason in the message."""


@contextmanager
def container_engine() -> Iterator[Engine]:
    """An engine that answers and has the base image.

    Raises:
        NoEngine: if none runs and the tests cannot start one.
    """
    engine = Engine()
    reason = engine.available()
    if reason is None:
        _ensure_base(os.environ.get("DOCKER_HOST", ""))
        yield engine
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        raise NoEngine(f"{reason}; starting one needs root and dockerd")
    if os.environ.get("PYTEST_XDIST_WORKER"):
        raise NoEngine(f"{reason}; parallel workers start none: start one and set DOCKER_HOST")
    folder = platformdirs.user_cache_path("soundsright", ensure_exists=True) / "test-engine"
    folder.mkdir(exist_ok=True)
    url = f"unix://{folder}/docker.sock"
    words = ["dockerd", "-H", url, "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [*words, "--pidfile", str(folder / "pid")], stdout=log, stderr=log, start_new_session=True
        )
    with _answering(daemon, url, folder / "log") as engine:
        yield engine


@contextmanager
def podman_engine() -> Iterator[Engine]:
    """Podman through Docker's API, with the base image, its own storage and its own socket.

    Raises:
        NoEngine: if it is not installed or does not start.
    """
    if os.geteuid() != 0:
        raise NoEngine("only root can start Podman for the tests")
    for program in ("podman", "runc"):
        if shutil.which(program) is None:
            raise NoEngine(f"{program} is not installed")
    folder = platformdirs.user_cache_path("soundsright", ensure_exists=True) / "test-podman"
    folder.mkdir(exist_ok=True)
    (folder / "containers.conf").write_text(_PODMAN_CONTAINERS)
    storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/data"\nrunroot = "{folder}/run"\n'
    (folder / "storage.conf").write_text(storage)
    environment = {
        **os.environ,
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
    }
    url = f"unix://{folder}/{os.getpid()}.sock"
    with (folder / "log").open("wb") as log:
        words = ["podman", "system", "service", "--time=0", url]
        # Podman's monitors write files into their working directory.
        service = subprocess.Popen(
            words, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    with _answering(service, url, folder / "log") as engine:
        yield engine


@contextmanager
def _answering(daemon: subprocess.Popen[bytes], url: str, log: Path) -> Iterator[Engine]:
    """The engine of a daemon that is starting, with the base image. The daemon ends with the context."""
    engine = Engine(url)
    try:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while engine.available() is not None:
            if daemon.poll() is not None or time.monotonic() > deadline:
                assert isinstance(daemon.args, list)
                raise NoEngine(f"{os.fsdecode(daemon.args[0])} does not start; see its log {log}")
            time.sleep(0.1)
        _ensure_base(url)
        yield engine
    finally:
        engine.forget()
        daemon.terminate()
        daemon.wait(60)


class OwnEngine:
    """A Docker Engine that a test can kill and start again. It has the runtime `runsc` if that is installed.

    Its base image is `BUSYBOX`, a shell of 2 MB.
    """

    BUSYBOX = "soundsright-busybox:test"

    def __init__(self, folder: Path) -> None:
        for program in ("dockerd", "busybox"):
            if shutil.which(program) is None:
                raise NoEngine(f"{program} is not installed")
        if os.geteuid() != 0:
            raise NoEngine("starting an engine needs root")
        self._folder = folder
        self._daemon: subprocess.Popen[bytes] | None = None
        self.engine = Engine(f"unix://{folder}/docker.sock")
        # The ptrace platform without gVisor's own network also works inside a virtual machine.
        (folder / "runsc").write_text('#!/bin/sh\nexec runsc --platform=ptrace --network=none "$@"\n')
        (folder / "runsc").chmod(0o755)

    @property
    def data(self) -> Path:
        """The folder in which the engine keeps images."""
        return self._folder / "data"

    def start(self) -> None:
        folder = self._folder
        words = ["dockerd", "-H", f"unix://{folder}/docker.sock", "--pidfile", str(folder / "pid")]
        words += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
        words += ["--iptables=false", "--add-runtime", f"runsc={folder / 'runsc'}"]
        (folder / "pid").unlink(missing_ok=True)
        with (folder / "log").open("ab") as log:
            self._daemon = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while self.engine.available() is not None:
            if self._daemon.poll() is not None or time.monotonic() > deadline:
                raise NoEngine(f"dockerd does not start: {(folder / 'log').read_text()[-500:]}")
            time.sleep(0.05)
        if not self.engine.client.images.list(self.BUSYBOX):
            self.engine.client.api.import_image_from_data(_busybox(), *self.BUSYBOX.split(":"))

    def signal(self, number: int) -> None:
        """Send the daemon a signal that ends it, and wait until it has ended."""
        assert self._daemon is not None
        self._daemon.send_signal(number)
        self._daemon.wait(60)
        self.engine.forget()
        # The helper may survive a killed engine. The next engine would wait for it.
        helper = self._folder / "exec" / "containerd" / "containerd.pid"
        if helper.exists():
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(helper.read_text()), signal.SIGKILL)
            helper.unlink()

    def close(self) -> None:
        if self._daemon is not None and self._daemon.poll() is None:
            self.signal(signal.SIGTERM)


def _busybox() -> bytes:
    """A tar archive of a root file system with a shell."""
    program = Path(shutil.which("busybox") or "")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(program.resolve(), "bin/busybox")
        for name in ("sh", "cp", "mv", "sleep", "touch", "cat", "ls"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return out.getvalue()


def _ensure_base(url: str) -> None:
    """Make the base image, unless the engine has one of the same content."""
    environment = {**os.environ, **({"DOCKER_HOST": url} if url else {}), "PYTHON": sys.executable}
    environment["FROM_ENVIRONMENT"] = "1"
    client = shutil.which("docker") or shutil.which("podman")
    if client is None:
        raise NoEngine("the base image needs a `docker` or `podman` client, and neither is installed")
    tag = (
        "soundsright-base:"
        + hashlib.sha256("".join((_SCRIPT.read_text(), sys.version, *_PACKAGES)).encode()).hexdigest()[:16]
    )
    environment["CLIENT"] = client
    if subprocess.run([client, "image", "inspect", tag], env=environment, capture_output=True).returncode != 0:
        subprocess.run([str(_SCRIPT), tag, *_PACKAGES], env=environment, check=True, capture_output=True)
    subprocess.run([client, "tag", tag, BASE], env=environment, check=True, capture_output=True)
