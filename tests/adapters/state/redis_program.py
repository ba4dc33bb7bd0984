"""A Redis server for the tests. Its data is in a private folder, and it listens on a port of the loopback only."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from soundsright.config import RedisServer
from tests.ports import free_port

PASSWORD = "a secret: of/the@tests"
START_TIMEOUT_S = 20.0


def is_installed() -> bool:
    return shutil.which("redis-server") is not None


needs_redis = pytest.mark.skipif(not is_installed(), reason="Redis is not installed (Debian: redis-server)")


class TestServer:
    """A server that can be killed and started again with the same data and port."""

    __test__ = False

    def __init__(self, folder: Path, *options: str, password: str | None = PASSWORD) -> None:
        self.address = RedisServer(
            port=free_port(), password=None if password is None else SecretStr(password), index=1
        )
        self._folder, self._options = folder, options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address with its password."""
        assert self.address.password is not None
        password = quote(self.address.password.get_secret_value(), safe="")
        return f"redis://:{password}@{self.address.host}:{self.address.port}/{self.address.index}"

    def start(self) -> None:
        from redis import Redis
        from redis.exceptions import RedisError

        password = self.address.password.get_secret_value() if self.address.password else None
        secret = [] if password is None else ["--requirepass", password]
        command = ["redis-server", "--port", str(self.address.port), "--dir", str(self._folder), "--save", ""]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *secret, *(self._options or ("--bind", "127.0.0.1"))],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        client = Redis(port=self.address.port, password=password)
        until_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                client.ping()
                break
            except (RedisError, OSError):
                assert time.monotonic() < until_s, (self._folder / "log").read_text()
                time.sleep(0.02)
        client.close()

    def kill(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def server(*options: str, password: str | None = PASSWORD) -> Iterator[TestServer]:
    """A running server. `options` replace the address on which it listens."""
    folder = Path(tempfile.mkdtemp(prefix="sr-redis-"))
    running = TestServer(folder, *options, password=password)
    try:
        running.start()
        yield running
    finally:
        running.kill()
        shutil.rmtree(folder)
