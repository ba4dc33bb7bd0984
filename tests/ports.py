"""Ports of this machine for programs that are told where to listen and do so later."""

from __future__ import annotations

import itertools
import os
import socket

_FIRST, _EACH = 20_000, 1_000
_turns = itertools.count(os.getpid())


def free_port() -> int:
    """A port that nobody listens on, and that this process has not had lately.

    It lies below those that Linux gives to whoever asks for any, and in the part of this worker of pytest-xdist: so
    nobody takes it before the program does that it is meant for.
    """
    first = _FIRST + _EACH * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 12)
    for turn in itertools.islice(_turns, _EACH):
        port = first + turn % _EACH
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port is free from {first} to {first + _EACH - 1}")
