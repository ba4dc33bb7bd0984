"""Free TCP ports for programs that a test starts with a port number."""

from __future__ import annotations

import itertools
import os
import socket

_FIRST_PORT, _PORTS_PER_WORKER = 20_000, 1_000
_turns = itertools.count(os.getpid())


def free_port() -> int:
    """A port on which no program listens, and that this process has not returned lately.

    Linux gives ports above this range to programs that ask for any port, and each worker of pytest-xdist has its
    own part of the range. So no other program takes the port before the test's program does.
    """
    first = _FIRST_PORT + _PORTS_PER_WORKER * (
        int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 12
    )
    for turn in itertools.islice(_turns, _PORTS_PER_WORKER):
        port = first + turn % _PORTS_PER_WORKER
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port is free from {first} to {first + _PORTS_PER_WORKER - 1}")
