"""Measures the memory of an idle miner, and the latency of the health-check APIs of a miner and a validator.

    python benchmarks/services.py

A private chain runs in this process, then a fake node for the Bittensor SDK. A miner runs in its own process on
loopback. The output has the seconds from the start to the first answer, the miner's resident memory when idle in
MB, and the latency of its API beside two busy processes. Then a validator runs a round of one model while its API
receives requests.
"""

from __future__ import annotations

import datetime
import json
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

from soundsright.adapters.hubs import FolderHub
from soundsright.adapters.peers import Hotkey, request
from soundsright.core.errors import PeerUnavailable
from soundsright.testing import salted_reveal
from soundsright.testing.fakechain import Ledger, running_node, served_chain

NEURONS = 256
REQUESTS = 400
CLIPS = 30
IDLE_S = 4.0
MAIN = "from soundsright.cli.main import run; from soundsright.cli.commands.{} import command; run(command)"
ROOT = Path(__file__).resolve().parents[1]
BLOCK_S = 3_600.0
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
        settings = {
            "WALLET": "w",
            "HOTKEY": "h",
            "WALLET_PATH": str(folder / "wallets"),
            "STATE_FOLDER": str(folder / "state"),
            "SOUNDSRIGHT_HUB": str(folder / "hub"),
            "HEALTHCHECK_API_HOST": "127.0.0.1",
            "LOG_LEVEL": "ERROR",
            "DENOISING_16000HZ_HF_MODEL_NAMESPACE": model.namespace,
            "DENOISING_16000HZ_HF_MODEL_NAME": model.name,
            "DENOISING_16000HZ_HF_MODEL_REVISION": model.revision,
            # Put the SDK's caches here, not in the home folder.
            "BITTENSOR_RUNTIME_CACHE_DIR": str(folder / "runtime"),
            "BTCLI_TOKEN_SYMBOLS_CACHE": str(folder / "symbols"),
        }
        with served_chain(folder / "chain.db") as (chain, url):
            for hotkey in (key.address, *(f"hotkey-{number}" for number in range(NEURONS - 1))):
                chain.register(hotkey)
            measure("private chain", settings | {"SUBTENSOR_CHAIN_ENDPOINT": url})
        with running_node(Ledger()) as node:
            for name in ("miner", *(f"miner-{number}" for number in range(NEURONS - 1))):
                node.register(Hotkey.of_seed(name).address)
            measure("Bittensor", settings | {"SUBTENSOR_CHAIN_ENDPOINT": node.url, "NETUID": "1"})
        measure_round(folder)


def answering(service: subprocess.Popen[bytes], port: int) -> str:
    """The URL of a service's API, as soon as it answers."""
    api = f"http://127.0.0.1:{port}"
    while not answers(api):
        assert service.poll() is None, "the service has ended"
        time.sleep(0.01)
    return api


def measure(chain: str, settings: dict[str, str]) -> None:
    port = free_port()
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | settings
    environment |= {"HEALTHCHECK_API_PORT": str(port), "AXON_PORT": str(free_port())}
    started_s = time.monotonic()
    print(f"{chain}, {NEURONS} neurons")
    with running(MAIN.format("miner"), environment) as miner:
        api = answering(miner, port)
        print(f"  first answer after      {time.monotonic() - started_s:6.2f} s")
        time.sleep(IDLE_S)
        print(f"  memory when idle        {psutil.Process(miner.pid).memory_info().rss / 1e6:6.1f} MB")
        with running(SPIN, environment), running(SPIN, environment):
            print_latency([latency_ms(api) for _ in range(REQUESTS)])


def measure_round(folder: Path) -> None:
    """Run a whole round of a validator, with blocks of an hour, while its API receives requests without a pause."""
    key, miner = Hotkey.of_seed("validator"), Hotkey.of_seed("miner")
    key.write(folder / "wallets" / "v" / "hotkeys" / "h")
    model = FolderHub(folder / "hub", folder / "cache").publish("me", "gate", ROOT / "models" / "spectral-gate")
    rules = folder / "rules.toml"
    first_day = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(2)
    rules.write_text(
        (ROOT / "soundsright/rulesets/published.toml")
        .read_text()
        .replace('commitment = "sealed"', 'commitment = "plain"')
        .replace("seed_delay_blocks", f"first_day = {first_day}\nseed_delay_blocks")
    )
    port = free_port()
    with served_chain(folder / "rounds.db", block_s=BLOCK_S) as (chain, url):
        chain.register(key.address, stake=1.0, permit=True)
        chain.register(miner.address)
        content = FolderHub(folder / "hub", folder / "cache").content_of(model)
        entry = salted_reveal(model, miner.address, "DENOISING_16000HZ", content)
        chain.publish(miner.address, entry.text(miner.address))
        settings = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
            "SUBTENSOR_CHAIN_ENDPOINT": url,
            "WALLET": "v",
            "HOTKEY": "h",
            "WALLET_PATH": str(folder / "wallets"),
            "STATE_FOLDER": str(folder / "validator"),
            "SOUNDSRIGHT_HUB": str(folder / "hub"),
            "SOUNDSRIGHT_RULESET": str(rules),
            "SOUNDSRIGHT_SANDBOX": "process",
            "SOUNDSRIGHT_TRUST": "true",
            "SOUNDSRIGHT_COMPETITION": "DENOISING_16000HZ",
            "SOUNDSRIGHT_CLIPS": str(CLIPS),
            "SOUNDSRIGHT_POLL_S": "0.2",
            "HEALTHCHECK_API_HOST": "127.0.0.1",
            "HEALTHCHECK_API_PORT": str(port),
            "LOG_LEVEL": "ERROR",
        }
        print(f"Validator, a round of {CLIPS} clips")
        with running(MAIN.format("validator"), settings) as validator:
            api = answering(validator, port)
            # To the start of the first round, and past the block that gives its seed.
            start_s = datetime.datetime.combine(first_day, datetime.time(9), datetime.UTC).timestamp()
            chain.advance(int((start_s - chain.timestamp_s(chain.head().number)) / BLOCK_S) + 12)
            times_ms: list[float] = []
            while not judged(api):
                times_ms += [latency_ms(api) for _ in range(20)]
            print_latency(times_ms)


def print_latency(times_ms: list[float]) -> None:
    ordered = sorted(times_ms)
    print(f"  API, median             {statistics.median(ordered):6.1f} ms")
    print(f"  API, 99th percentile    {ordered[int(0.99 * len(ordered))]:6.1f} ms")


def judged(api: str) -> bool:
    metrics = json.loads(request(api, "GET", "/healthcheck/metrics", timeout_s=10).body)
    return bool(metrics["data"]["competitions_judged"])


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
