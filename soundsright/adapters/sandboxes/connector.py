"""Opens connections inside another process's network namespace and hands them over.

Run as a program, by path, with the standard library alone; never imported. Arguments: the process's number and
the port. stdin is a Unix socket: for each byte that arrives there, a connection to the port on the loopback
interface is opened, and goes back with the byte `+`; or the byte `-` goes back.
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
        # Only in the user namespace that owns a network may a process without privileges enter it.
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
