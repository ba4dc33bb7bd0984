"""Services with S3's API on this machine, and a proxy in front of them that plants faults.

`rclone` checks keys and signatures, but overwrites an object that a put must create. `moto` takes any key, and
refuses to overwrite.
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
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.adapters.buckets import BucketPlace
from tests.ports import free_port

BUCKET = "verdicts"
ACCESS, SECRET = "ACCESSKEY0001", "notASecretOfAnybody0001"


def place(endpoint: str, **changes: Any) -> BucketPlace:
    """The place of the test's bucket at a service."""
    values: dict[str, Any] = {
        "bucket": BUCKET,
        "region": "us-east-1",
        "access_key": ACCESS,
        "secret_key": SECRET,
    } | changes
    return BucketPlace(endpoint=endpoint, **values)


@contextlib.contextmanager
def rclone(folder: Path, *options: str) -> Iterator[str]:
    """`rclone serve s3` over a folder that has the bucket. Gives its address."""
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    program = Path(sys.executable).parent / "rclone"
    port = free_port()
    command = [str(program), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS},{SECRET}"]
    with _running([*command, "--config", "/dev/null", *options, str(folder)], port) as url:
        yield url


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """`moto_server` with the bucket. Gives its address."""
    port = free_port()
    program = Path(sys.executable).parent / "moto_server"
    with _running([str(program), "-H", "127.0.0.1", "-p", str(port)], port) as url:
        urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT"), timeout=10).close()
        yield url


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[str]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ends_s = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, f"{command[0]} ended"
            assert time.monotonic() < ends_s, f"{command[0]} does not listen"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Canned:
    """An answer of the proxy's own. `length` lies about its length; `delay_s` comes before it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    delay_s: float = 0.0


Fault = Callable[[str, str], "Canned | str | None"]
"""The fault for a request of that method and path: an answer, `cut` for none, `lost` for one that is lost after the
service has done its work, or None to pass the request on."""


@dataclass
class Proxy:
    """A proxy in front of a service. `fault` decides what happens to each request; `seen` has them all."""

    url: str
    fault: Fault = lambda method, path: None
    seen: list[tuple[str, str]] = field(default_factory=list)

    def once(self, *faults: Canned | str | None) -> None:
        """Plant these faults, one for each of the next requests. Later requests pass."""
        waiting = list(faults)
        self.fault = lambda method, path: waiting.pop(0) if waiting else None

    def always(self, fault: Canned | str | None) -> None:
        """Plant this fault for all requests."""
        self.fault = lambda method, path: fault


class _QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that gives up resets its connection."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """Passes a request on, or answers it with the proxy's fault. `proxy` sets the values."""

    standing: Proxy
    upstream: str
    delay_s: float
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.standing.seen.append((self.command, self.path))
        fault = self.standing.fault(self.command, self.path)
        time.sleep(self.delay_s)
        if isinstance(fault, Canned):
            self.answer(fault)
            return
        answer = None if fault == "cut" else self.answer_of_the_service(body)
        if answer is None or fault == "lost":
            self.close_connection = True
            return
        self.answer(answer)

    def answer_of_the_service(self, body: bytes) -> Canned:
        connection = http.client.HTTPConnection(self.upstream, timeout=20)
        connection.request(self.command, self.path, body or None, dict(self.headers.items()))
        reply = connection.getresponse()
        data = reply.read()
        connection.close()
        headers = {k: v for k, v in reply.getheaders() if k.lower() not in ("transfer-encoding", "connection")}
        headers.setdefault("Content-Length", str(len(data)))
        return Canned(reply.status, data, headers)

    def answer(self, canned: Canned) -> None:
        time.sleep(canned.delay_s)
        self.send_response_only(canned.status)
        for name, value in canned.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in canned.headers:
            length = len(canned.body) if canned.length is None else canned.length
            self.send_header("Content-Length", str(length))
        self.end_headers()
        with contextlib.suppress(OSError):
            if self.command != "HEAD":
                self.wfile.write(canned.body)
        if canned.length is not None:
            self.close_connection = True

    do_GET = do_PUT = do_HEAD = handle_any

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def proxy(upstream: str, *, delay_s: float = 0.0) -> Iterator[Proxy]:
    """A proxy in front of a service, with the same delay for each request."""

    class Handler(_Handler):
        pass

    server = _QuietServer(("127.0.0.1", 0), Handler)
    standing = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    Handler.standing, Handler.upstream, Handler.delay_s = standing, upstream.removeprefix("http://"), delay_s
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield standing
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
