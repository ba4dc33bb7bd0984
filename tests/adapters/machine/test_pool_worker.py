"""A worker process whose parent stops ends without a word, whatever the parent has read."""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
from multiprocessing.connection import Connection

import pytest

TIMEOUT_S = 60


@pytest.mark.parametrize("reads", [True, False])
def test_a_worker_ends_in_silence_when_its_parent_closes_the_socket(reads: bool) -> None:
    parent_end, worker_end = socket.socketpair()
    program = f"from soundsright.adapters.machine.pool_worker import serve; serve({worker_end.fileno()})"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        pass_fds=[worker_end.fileno()],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as worker:
        worker_end.close()
        with Connection(parent_end.detach()) as parent:
            parent.send_bytes(pickle.dumps((len, ("four",), None)))
            assert parent.poll(TIMEOUT_S)
            if reads:
                assert pickle.loads(parent.recv_bytes()) == ("done", 4)
        # An outcome that nobody read makes the socket reset the connection.
        assert worker.stderr is not None
        assert (worker.wait(TIMEOUT_S), worker.stderr.read()) == (0, b"")
