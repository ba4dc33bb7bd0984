"""A miner loads no package for metrics or learning, because it runs beside other programs for months."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from soundsright.adapters.hubs.folder import FolderHub
from soundsright.testing.fakechain.http import served_chain
from soundsright.testing.fakechain.ledger import Ledger
from soundsright.testing.fakechain.node import running_node
from tests.services.services_bench import ALICE

HEAVY = {"torch", "numpy", "numba", "scipy", "matplotlib", "sqlalchemy", "soundfile", "docker", "onnxruntime"} | {
    "huggingface_hub",
    "httpx",
    "PIL",
    "eth_account",
    "qrcode",
}
CODE = """
import json, sys
from soundsright.cli.main import run
from soundsright.cli.commands.miner import command
import soundsright.services.http.health, soundsright.services.miner.api
import fastapi, uvicorn
code = run(command, ["--check"])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@contextmanager
def private_chain(folder: Path) -> Iterator[str]:
    with served_chain(folder / "chain.db") as (chain, url):
        chain.register(ALICE.address)
        yield url


@contextmanager
def bittensor(_folder: Path) -> Iterator[str]:
    with running_node(Ledger()) as node:
        node.register(ALICE.address)
        yield node.url


ORGANISER = """
[schedule]
time_utc = 09:00:00
every_days = 1
[entries]
commitment = "sealed"
[[competition]]
task = "DENOISING"
sample_rate_hz = 16000
max_score = 10.0
remainder = 3.0
metrics = { ESTOI = 1.0 }
"""


@pytest.mark.parametrize(
    ("chain", "also", "organiser"),
    [(private_chain, {"bittensor"}, ""), (private_chain, {"bittensor"}, ORGANISER), (bittensor, set(), "")],
    ids=["private", "organiser", "bittensor"],
)
def test_a_miner_imports_no_heavy_library(
    tmp_path: Path, chain: Callable[[Path], AbstractContextManager[str]], also: set[str], organiser: str
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(organiser)
    ALICE.write(tmp_path / "wallets" / "w" / "hotkeys" / "h")
    source = tmp_path / "source"
    source.mkdir()
    (source / "Dockerfile").write_text("FROM scratch\n")
    model = FolderHub(tmp_path / "hub", tmp_path / "cache").publish("alice", "gate", source)
    with chain(tmp_path) as url:
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                "SUBTENSOR_CHAIN_ENDPOINT": url,
                "NETUID": "1",
                "BITTENSOR_RUNTIME_CACHE_DIR": str(tmp_path / "runtime"),
                "BTCLI_TOKEN_SYMBOLS_CACHE": str(tmp_path / "symbols"),
                "WALLET": "w",
                "HOTKEY": "h",
                "WALLET_PATH": str(tmp_path / "wallets"),
                "STATE_FOLDER": str(tmp_path / "state"),
                "SOUNDSRIGHT_HUB": str(tmp_path / "hub"),
                "SOUNDSRIGHT_RULESET": str(rules) if organiser else "soundsright-v3",
                "DENOISING_16000HZ_HF_MODEL_NAMESPACE": "alice",
                "DENOISING_16000HZ_HF_MODEL_NAME": "gate",
                "DENOISING_16000HZ_HF_MODEL_REVISION": model.revision,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
    lines = done.stdout.splitlines()
    assert f"{ALICE.address} enters {model} for DENOISING_16000HZ" in lines, done.stderr
    code, modules = json.loads(lines[-1])
    assert code == 0
    assert (HEAVY | also) & set(modules) == set()


def test_packages_that_the_sdk_did_not_load_can_be_imported_later() -> None:
    code = (
        "from soundsright.adapters.chains.bittensor_sdk import load_sdk; load_sdk(); load_sdk(); "
        "import bittensor, qrcode, eth_account; print(bittensor.Client.__name__, callable(qrcode.make))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["Client", "True"]
