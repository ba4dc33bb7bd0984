"""A helper program that connects to a TCP port inside another process's network namespace.

`NamespacePort` runs it by its path, with the standard library alone. Do not import it. Its arguments are the
process ID and the port. Its stdin is a Unix socket. For each byte that arrives there, it connects to the port on
the loopback interface and sends the connection back with the byte `+`. If it cannot connect, it sends the byte `-`.
"""

import ctypes
import fcntl
import os
import socket
import sys
from pathlib import Path

NS_GET_USERNS = 0xB701
CONNECT_TIMEOUT_S = 5.0


def main() -> None:
    pid, port = sys.argv[1:]
    with Path("/proc", pid, "ns", "net").open("rb") as network:
        # Without privileges, a process may enter a network only from the user namespace that owns it.
        owner = fcntl.ioctl(network.fileno(), NS_GET_USERNS)
        if os.fstat(owner).st_ino != Path("/proc/self/ns/user").stat().st_ino:
            _enter(owner)
        _enter(network.fileno())
    harness = socket.socket(fileno=0)
    while harness.recv(1):
        try:
            with socket.create_connection(("127.0.0.1", int(port)), CONNECT_TIMEOUT_S) as connection:
                socket.send_fds(harness, [b"+"], [connection.fileno()])
        except OSError:
            harness.send(b"-")


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, 0) != 0:
        sys.exit(f"setns: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
