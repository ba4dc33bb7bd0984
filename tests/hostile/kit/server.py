"""A model that needs only the standard library: the six endpoints, and hooks that a hostile model overrides.

It returns each degraded clip unchanged. Tests copy this file beside their `app.py`, which calls `serve(Model())`.
"""

import io
import json
import os
import socket
import socketserver
import zipfile
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


class Model:
    """An honest model. A subclass can replace each hook."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def status(self, request: "Request") -> None:
        request.json({"container_running": True})

    def prepare(self, request: "Request") -> None:
        request.json({"preparations": True})

    def upload(self, request: "Request") -> None:
        self.files.update(request.multipart())
        request.json({"uploaded_files": sorted(self.files), "status": True})

    def enhance(self, request: "Request") -> None:
        request.json({"status": True})

    def enhanced(self) -> dict[str, bytes]:
        """The bytes of each file in the archive, by name."""
        return dict(self.files)

    def archive(self) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, data in self.enhanced().items():
                archive.writestr(name, data)
        return out.getvalue()

    def download(self, request: "Request") -> None:
        request.answer(200, self.archive(), "application/zip")

    def reset(self, request: "Request") -> None:
        self.files.clear()
        request.json({"status": True})


class Request(BaseHTTPRequestHandler):
    """One HTTP request to the model, with ways to reply to it."""

    protocol_version = "HTTP/1.1"
    server: "_UnixServer | _TcpServer"

    def json(self, value: object, status: int = 200) -> None:
        self.answer(status, json.dumps(value).encode(), "application/json")

    def answer(self, status: int, body: bytes, kind: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def multipart(self) -> dict[str, bytes]:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        files = {}
        for part in body.split(b"--" + boundary)[1:-1]:
            head, _, data = part.partition(b"\r\n\r\n")
            name = head.partition(b'filename="')[2].partition(b'"')[0].decode()
            files[name] = data[:-2]
        return files

    def route(self) -> None:
        model = self.server.model
        routes = {
            ("GET", "/status/"): model.status,
            ("POST", "/prepare/"): model.prepare,
            ("POST", "/upload-audio/"): model.upload,
            ("POST", "/enhance/"): model.enhance,
            ("GET", "/download-enhanced/"): model.download,
            ("POST", "/reset/"): model.reset,
        }
        hook = routes.get((self.command, self.path))
        if hook is None:
            self.json({"detail": "Not Found"}, 404)
        else:
            hook(self)

    do_GET = do_POST = route

    def address_string(self) -> str:
        return "harness"

    def log_message(self, *_: object) -> None:
        pass


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    model: Model


class _TcpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    model: Model


def serve(model: Model) -> None:
    """Listen on the socket that the environment names, otherwise on TCP 6500 as published models do."""
    path = os.environ.get("SOUNDSRIGHT_SOCKET")
    if path and not os.environ.get("PUBLISHED"):
        server: _UnixServer | _TcpServer = _UnixServer(path, Request)
    else:
        server = _TcpServer(("0.0.0.0", 6500), Request)
    server.model = model
    server.serve_forever()


def connect(kind: tuple[int, ...], address: str | tuple[str, int], timeout: float = 3.0) -> None:
    with socket.socket(*kind) as s:
        s.settimeout(timeout)
        s.connect(address)


def attempt(what: str, act: Callable[[], object]) -> None:
    """Try something forbidden and write the outcome to the log. An act that returns None has failed."""
    try:
        result = act()
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- any error means that the attempt failed
        print(f"prevented {what}: {type(error).__name__} {error}"[:300], flush=True)
        return
    print(f"prevented {what}: nothing there" if result is None else f"ESCAPED {what}: {result!r}"[:300], flush=True)


def syscall(name: str, *arguments: Any) -> int:
    """Make a system call by name, without the C library's wrappers. Raises OSError as they do."""
    import ctypes
    import platform

    numbers = {
        "x86_64": {
            "ptrace": 101,
            "mount": 165,
            "unshare": 272,
            "setns": 308,
            "add_key": 248,
            "keyctl": 250,
            "bpf": 321,
            "perf_event_open": 298,
            "userfaultfd": 323,
            "io_uring_setup": 425,
            "init_module": 175,
            "reboot": 169,
            "settimeofday": 164,
            "chroot": 161,
            "clone3": 435,
            "process_vm_readv": 310,
            "open_by_handle_at": 304,
            "kexec_load": 246,
            "swapon": 167,
            "sethostname": 170,
            "iopl": 172,
            "syncfs": 306,
            "shmget": 29,
            "msgget": 68,
        },
        "aarch64": {
            "ptrace": 117,
            "mount": 40,
            "unshare": 97,
            "setns": 268,
            "add_key": 217,
            "keyctl": 219,
            "bpf": 280,
            "perf_event_open": 241,
            "userfaultfd": 282,
            "io_uring_setup": 425,
            "init_module": 105,
            "reboot": 142,
            "settimeofday": 170,
            "chroot": 51,
            "clone3": 435,
            "process_vm_readv": 270,
            "open_by_handle_at": 265,
            "kexec_load": 104,
            "swapon": 224,
            "sethostname": 161,
            "iopl": -1,
            "syncfs": 267,
            "shmget": 194,
            "msgget": 186,
        },
    }[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(numbers[name], *arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def control_groups() -> list[str]:
    """The folders of all visible control groups, this process's own first."""
    own = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    groups = [f"/sys/fs/cgroup/{controllers}{path}".rstrip("/") for _, controllers, path in own]
    for root, folders, _ in os.walk("/sys/fs/cgroup"):
        groups.append(root)
        del folders[8:]
        if root.count("/") > 6:
            folders.clear()
    return [path for path in dict.fromkeys(groups) if Path(path).is_dir()][:64]


def stopped(pid: int) -> str | None:
    """The state of a process that no longer runs, or None while it runs."""
    import time

    time.sleep(0.1)
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"
    return state if state in "TtZX" else None


def wav(
    samples: bytes, rate: int = 16000, channels: int = 1, coding: int = 1, bits: int = 16, claim: int | None = None
) -> bytes:
    """A WAV file of raw sample bytes; `claim` is the number of bytes that its header states."""
    import struct

    block = channels * bits // 8
    size = len(samples) if claim is None else claim
    head = struct.pack(
        "<4sI4s4sIHHIIHH",
        b"RIFF",
        36 + size,
        b"WAVE",
        b"fmt ",
        16,
        coding,
        channels,
        rate,
        rate * block,
        block,
        bits,
    )
    return head + struct.pack("<4sI", b"data", size) + samples
