"""Connections from the harness to a model inside a sandbox.

A sandbox has no network connection to the outside. The model listens on a Unix socket in a small tmpfs of the
sandbox, so that it cannot fill the host's disk. The harness reaches that socket through `/proc/PID/root`. The model
controls that path, so the harness follows no symbolic link: a link could lead to any socket of the host.
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
from soundsright.adapters.sandboxes.environment import SOCKET

TCP_PORT = 6500
"""The port on which published models listen."""

_SOCKET_ATTEMPTS = 10
"""After this many failed attempts on the socket, start a helper for the port. Most models open a socket."""
_CLOSE_TIMEOUT_S = 10.0
_LISTEN_STATE = "0A"
_CONNECTOR = Path(__file__).with_name("port_connector.py")


def _handle_inside(pid: int, path: PurePosixPath, flags: int = 0) -> int:
    """A file descriptor for an absolute path inside the root of a process. It follows no link.

    Raises:
        OSError: if the path does not exist, or a part of it is a link.
    """
    handle = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)
    *folders, last = path.parts[1:]
    steps = [*((folder, os.O_PATH | os.O_DIRECTORY) for folder in folders), (last, flags or os.O_PATH)]
    for name, step_flags in steps:
        try:
            below = os.open(name, step_flags | os.O_NOFOLLOW, dir_fd=handle)
        finally:
            os.close(handle)
        handle = below
    return handle


def unix_connection(address: str, timeout_s: float) -> socket.socket:
    """A new connection to a Unix socket.

    Raises:
        OSError: if nothing listens there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


class SandboxNamespaces:
    """The file system and the network of a running sandbox, reached through one of its processes.

    `pid` returns that process's ID on the host, or None before it has started.
    """

    def __init__(self, pid: Callable[[], int | None]) -> None:
        self.pid = pid

    def open_folder(self, path: PurePosixPath) -> int:
        """A file descriptor for a folder of the sandbox.

        Raises:
            OSError: if the folder does not exist yet.
        """
        return _handle_inside(self._started_pid(), path, os.O_RDONLY | os.O_DIRECTORY)

    def connect_to_socket(self, timeout_s: float) -> socket.socket:
        """A new connection to the model's Unix socket.

        Raises:
            OSError: if the model does not listen there yet.
        """
        handle = _handle_inside(self._started_pid(), SOCKET)
        try:
            if not stat.S_ISSOCK(os.fstat(handle).st_mode):
                raise FileNotFoundError(f"{SOCKET} is not a socket")
            return unix_connection(f"/proc/self/fd/{handle}", timeout_s)
        finally:
            os.close(handle)

    def listening_ports(self) -> tuple[int, ...]:
        """The TCP ports on which a program of the sandbox listens. Empty if this user cannot see them."""
        ports = set()
        for name in ("tcp", "tcp6"):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{self._started_pid()}/net/{name}").read_text().splitlines()[1:]:
                    _, local, _, state, *_ = line.split()
                    if state == _LISTEN_STATE:
                        ports.add(int(local.rpartition(":")[2], 16))
        return tuple(sorted(ports))

    def _started_pid(self) -> int:
        pid = self.pid()
        if pid is None:
            raise FileNotFoundError("the sandbox has not started")
        return pid


class NamespacePort:
    """A TCP port on the loopback interface of a sandbox, reached by a helper that enters its network namespace."""

    def __init__(self, pid: int, port: int) -> None:
        self._lock = threading.Lock()
        self._channel, helper_end = socket.socketpair()
        with helper_end:
            self._helper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_CONNECTOR), str(pid), str(port)],
                stdin=helper_end.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.defpath},
                start_new_session=True,
            )

    def connect(self, timeout_s: float) -> socket.socket:
        """A new connection to the port.

        Raises:
            OSError: if nothing listens there, or the helper has ended.
        """
        with self._lock:
            self._channel.settimeout(timeout_s)
            self._channel.send(b"?")
            reply, handles, _, _ = socket.recv_fds(self._channel, 1, 1)
        if reply != b"+" or not handles:
            raise ConnectionRefusedError("nothing listens on the model's port")
        return socket.socket(fileno=handles[0])

    def close(self) -> None:
        """End the helper."""
        self._channel.close()
        self._helper.wait(_CLOSE_TIMEOUT_S)


class ModelConnector:
    """Connects to a model on its Unix socket or, as published models listen, on TCP port 6500.

    The first of the two that works is used from then on.
    """

    def __init__(self, pid: Callable[[], int | None], connect_by_socket: Connect) -> None:
        self._pid = pid
        self._connect_by_socket = connect_by_socket
        self._port: NamespacePort | None = None
        self._working: Connect | None = None
        self._failures = 0

    def connect(self, timeout_s: float) -> socket.socket:
        """A new connection.

        Raises:
            OSError: if the model listens on neither yet.
        """
        if self._working is not None:
            return self._working(timeout_s)
        try:
            connection = self._connect_by_socket(timeout_s)
            self._working = self._connect_by_socket
        except OSError:
            self._failures += 1
            pid = self._pid()
            if self._failures < _SOCKET_ATTEMPTS or pid is None:
                raise
            if self._port is None:
                self._port = NamespacePort(pid, TCP_PORT)
            connection = self._port.connect(timeout_s)
            self._working = self._port.connect
        return connection

    def close(self) -> None:
        """End the helper, if one was started."""
        if self._port is not None:
            self._port.close()
