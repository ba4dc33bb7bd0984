"""The way into a sandbox that has no way out: a Unix socket that lives in the sandbox's own file system.

The socket's directory is a small tmpfs of the sandbox, so that a model cannot fill the host's disk through it;
the host reaches it through `/proc/PID/root`. The last name on that path is the model's to choose, so nothing is
followed: a link there could lead to any socket of the host.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from soundsright.adapters.protocol import Connect

TCP_PORT = 6500
"""Where published models listen."""

_TRIES_BEFORE_TCP = 10
"""A model that takes its socket is rarely so slow that a helper process is started in vain."""
_CLOSE_PATIENCE_S = 10.0
_LISTEN = "0A"
_CONNECTOR = Path(__file__).with_name("connector.py")


def open_inside(pid: int, path: PurePosixPath, flags: int = 0) -> int:
    """A handle on what lies at an absolute path within the root of a process, with no link followed on the way.

    Raises:
        OSError: if there is none.
    """
    at = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)
    *folders, last = path.parts[1:]
    for part, how in [*((folder, os.O_PATH | os.O_DIRECTORY) for folder in folders), (last, flags or os.O_PATH)]:
        try:
            below = os.open(part, how | os.O_NOFOLLOW, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at


def connect_inside(pid: Callable[[], int | None], address: PurePosixPath) -> Connect:
    """A function that connects to the Unix socket at `address` within the root of the process `pid()`."""

    def connect(timeout_s: float) -> socket.socket:
        inside = pid()
        if inside is None:
            raise FileNotFoundError("the sandbox has not started")
        held = open_inside(inside, address)
        try:
            if not stat.S_ISSOCK(os.fstat(held).st_mode):
                raise FileNotFoundError(f"{address} is no socket")
            return connect_to(f"/proc/self/fd/{held}", timeout_s)
        finally:
            os.close(held)

    return connect


def connect_to(address: str, timeout_s: float) -> socket.socket:
    """A connection to a Unix socket.

    Raises:
        OSError: if there is none.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def listening_ports(pid: int) -> tuple[int, ...]:
    """The TCP ports that are listened on in a process's network; none where that cannot be seen from here."""
    found = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                if state == _LISTEN:
                    found.add(int(local.rpartition(":")[2], 16))
    return tuple(sorted(found))


class Port:
    """A way to a TCP port on the loopback interface of a sandbox, through a helper that enters its network."""

    def __init__(self, pid: int, port: int) -> None:
        self._lock = threading.Lock()
        self._ours, theirs = socket.socketpair()
        with theirs:
            self._helper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_CONNECTOR), str(pid), str(port)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.defpath},
                start_new_session=True,
            )

    def connect(self, timeout_s: float) -> socket.socket:
        """A new connection.

        Raises:
            OSError: if nothing listens there, or the helper is gone.
        """
        with self._lock:
            self._ours.settimeout(timeout_s)
            self._ours.send(b"?")
            answer, handles, _, _ = socket.recv_fds(self._ours, 1, 1)
        if answer != b"+" or not handles:
            raise ConnectionRefusedError("nothing listens on the model's port")
        return socket.socket(fileno=handles[0])

    def close(self) -> None:
        self._ours.close()
        self._helper.wait(_CLOSE_PATIENCE_S)


class Way:
    """To a model that listens on its socket, or, as published models do, on a TCP port: whichever answers first."""

    def __init__(self, pid: Callable[[], int | None], by_socket: Connect) -> None:
        self._pid = pid
        self._by_socket = by_socket
        self._port: Port | None = None
        self._chosen: Connect | None = None
        self._failures = 0

    def connect(self, timeout_s: float) -> socket.socket:
        """A new connection, by the way that has worked before.

        Raises:
            OSError: if neither works yet.
        """
        if self._chosen is not None:
            return self._chosen(timeout_s)
        try:
            connection = self._by_socket(timeout_s)
            self._chosen = self._by_socket
        except OSError:
            self._failures += 1
            pid = self._pid()
            if self._failures < _TRIES_BEFORE_TCP or pid is None:
                raise
            if self._port is None:
                self._port = Port(pid, TCP_PORT)
            connection = self._port.connect(timeout_s)
            self._chosen = self._port.connect
        return connection

    def close(self) -> None:
        if self._port is not None:
            self._port.close()
