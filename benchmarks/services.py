"""What a miner costs while it waits, and how fast its health-check API answers.

    python benchmarks/services.py

Starts a private chain in this process and a miner in its own, on loopback. Prints seconds from the start to the
first answer, the miner's memory when idle (resident, MB), and the latency of its API beside two busy processes.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from soundsright.adapters.http_auth_client import request
from soundsright.adapters.http_auth_keys import Hotkey
from soundsright.adapters.hub_folder import FolderHub
from soundsright.core.errors import PeerUnavailable
from soundsright.testing.fakechain_http import served_chain

REQUESTS = 400
IDLE_S = 4.0
MAIN = "import sys; from soundsright.cli.main import run; from soundsright.cli.miner import command; run(command)"
SPIN = "import os; os.nice(10)\nwhile True: sum(i * i for i in range(10_000))"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(code: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = Hotkey.of_seed("miner")
        key.write(folder / "wallets" / "w" / "hotkeys" / "h")
        source = folder / "model"
        source.mkdir()
        (source / "Dockerfile").write_text("FROM scratch\n")
        model = FolderHub(folder / "hub", folder / "cache").publish("me", "model", source)
        port = free_port()
        with served_chain(folder / "chain.db") as (chain, url):
            chain.register(key.address)
            environment = {
                **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                "SUBTENSOR_CHAIN_ENDPOINT": url,
                "WALLET": "w",
                "HOTKEY": "h",
                "WALLET_PATH": str(folder / "wallets"),
                "STATE_FOLDER": str(folder / "state"),
                "SOUNDSRIGHT_HUB": str(folder / "hub"),
                "HEALTHCHECK_API_HOST": "127.0.0.1",
                "HEALTHCHECK_API_PORT": str(port),
                "AXON_PORT": str(free_port()),
                "LOG_LEVEL": "ERROR",
                "DENOISING_16000HZ_HF_MODEL_NAMESPACE": model.namespace,
                "DENOISING_16000HZ_HF_MODEL_NAME": model.name,
                "DENOISING_16000HZ_HF_MODEL_REVISION": model.revision,
            }
            started_s = time.monotonic()
            with running(MAIN, environment) as miner:
                api = f"http://127.0.0.1:{port}"
                while not answers(api):
                    assert miner.poll() is None, "the miner ended"
                    time.sleep(0.01)
                print(f"first answer after        {time.monotonic() - started_s:6.2f} s")
                time.sleep(IDLE_S)
                print(f"memory when idle          {psutil.Process(miner.pid).memory_info().rss / 1e6:6.1f} MB")
                with running(SPIN, environment), running(SPIN, environment):
                    times_ms = sorted(latency_ms(api) for _ in range(REQUESTS))
                print(f"API, median               {statistics.median(times_ms):6.1f} ms")
                print(f"API, 99th percentile      {times_ms[int(0.99 * REQUESTS)]:6.1f} ms")


def answers(api: str) -> bool:
    try:
        return request(api, "GET", "/livez", timeout_s=1).status == 200
    except PeerUnavailable:
        return False


def latency_ms(api: str) -> float:
    started_s = time.perf_counter()
    request(api, "GET", "/healthcheck/metrics", timeout_s=10)
    return (time.perf_counter() - started_s) * 1e3


if __name__ == "__main__":
    main()
