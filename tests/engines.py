"""The container engine of this machine for tests: the one that runs, or one started for this session."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from soundsright.adapters.docker_engine import Engine

BASE = "soundsright-base:test"
"""What the tests' models are built from: this machine's Python with what models/template needs."""

_PACKAGES = ("numpy", "soundfile", "fastapi", "uvicorn", "python-multipart")
_SCRIPT = Path(__file__).parents[1] / "scripts" / "base_image.sh"
_START_TIMEOUT_S = 60.0


class NoEngine(Exception):
    """Why there is none."""


@contextmanager
def container_engine() -> Iterator[Engine]:
    """An engine that answers and has the base image.

    Raises:
        NoEngine: if none runs and none can be started here.
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
        raise NoEngine(f"{reason}; parallel workers share one that runs already, named by DOCKER_HOST")
    folder = platformdirs.user_cache_path("soundsright", ensure_exists=True) / "test-engine"
    folder.mkdir(exist_ok=True)
    url = f"unix://{folder}/docker.sock"
    words = ["dockerd", "-H", url, "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [*words, "--pidfile", str(folder / "pid")], stdout=log, stderr=log, start_new_session=True
        )
    try:
        engine = Engine(url)
        until = time.monotonic() + _START_TIMEOUT_S
        while engine.available() is not None:
            if daemon.poll() is not None or time.monotonic() > until:
                raise NoEngine(f"dockerd does not start; its log is {folder / 'log'}")
            time.sleep(0.1)
        _ensure_base(url)
        yield engine
    finally:
        engine.forget()
        daemon.terminate()
        daemon.wait(60)


def _ensure_base(url: str) -> None:
    environment = {**os.environ, **({"DOCKER_HOST": url} if url else {}), "PYTHON": sys.executable}
    client = shutil.which("docker") or shutil.which("podman")
    if client is None:
        raise NoEngine("there is no `docker` or `podman` client to make the base image with")
    exact = (
        "soundsright-base:"
        + hashlib.sha256("".join((_SCRIPT.read_text(), sys.version, *_PACKAGES)).encode()).hexdigest()[:16]
    )
    environment["CLIENT"] = client
    if subprocess.run([client, "image", "inspect", exact], env=environment, capture_output=True).returncode != 0:
        subprocess.run([str(_SCRIPT), exact, *_PACKAGES], env=environment, check=True, capture_output=True)
    subprocess.run([client, "tag", exact, BASE], env=environment, check=True, capture_output=True)
