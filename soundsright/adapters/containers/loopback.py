"""A registry of images on this machine's loopback interface: Debian's `docker-registry` in a private folder.

It is for demos and tests. Nobody else can reach it, and it ends with the block that starts it.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.errors import InfrastructureFault, UsageError

_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 10.0
_MAX_STARTS = 5
_CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: '{data}'}}, delete: {{enabled: true}}}}
http: {{addr: '{address}'}}
"""


@dataclass(frozen=True)
class LocalRegistry:
    """A registry that runs. `address` is its `host:port`, `data` the folder with its images."""

    address: str
    data: Path


@contextlib.contextmanager
def local_registry() -> Iterator[LocalRegistry]:
    """Start a registry on 127.0.0.1, and stop it at the end of the block. Its images are removed then.

    Raises:
        UsageError: the program `docker-registry` is not installed.
        InfrastructureFault: it does not start.
    """
    program = shutil.which("docker-registry")
    if program is None:
        raise UsageError(
            "The program docker-registry is not installed",
            "Run `apt-get install docker-registry`, or push your images to a registry that runs elsewhere.",
        )
    with tempfile.TemporaryDirectory(prefix="sr-registry-", ignore_cleanup_errors=True) as folder:
        server, address = _started(program, Path(folder))
        try:
            yield LocalRegistry(address, Path(folder) / "data")
        finally:
            _stop(server)


def _started(program: str, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """The registry's process and address. Another program can take the port first, so try several ports."""
    log = folder / "log"
    for _ in range(_MAX_STARTS):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        config = folder / "config.yml"
        config.write_text(_CONFIG.format(data=folder / "data", address=f"127.0.0.1:{port}"))
        with log.open("wb") as output:
            server = subprocess.Popen(
                [program, "serve", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                start_new_session=True,
            )
        try:
            if _answers(server, port):
                return server, f"127.0.0.1:{port}"
        except BaseException:
            _stop(server)
            raise
        _stop(server)
    raise InfrastructureFault(
        f"docker-registry does not start: {log.read_text(errors='replace')[-300:]}",
        f"Run `{program} serve` with a configuration of your own to see why.",
    )


def _answers(server: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the registry accepts connections. False if its process ends before."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            # Another program may have taken the port. Then this process ends at once.
            time.sleep(0.05)
            return server.poll() is None
        time.sleep(0.02)
    return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
