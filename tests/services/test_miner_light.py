"""A miner loads nothing that measures or learns: it is to run beside other things for months."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from soundsright.adapters.hub_folder import FolderHub
from soundsright.testing.fakechain_http import served_chain
from tests.services.services_bench import ALICE

HEAVY = {"torch", "numba", "scipy", "matplotlib", "sqlalchemy", "soundfile", "docker", "onnxruntime"} | {
    "huggingface_hub",
    "bittensor",
    "httpx",
}
CODE = """
import json, sys
from soundsright.cli.main import run
from soundsright.cli.miner import command
from soundsright.services import api_http, miner_api, api
import fastapi, uvicorn
code = run(command, ["--check"])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def test_a_miner_imports_no_heavy_library(tmp_path: Path) -> None:
    ALICE.write(tmp_path / "wallets" / "w" / "hotkeys" / "h")
    source = tmp_path / "source"
    source.mkdir()
    (source / "Dockerfile").write_text("FROM scratch\n")
    model = FolderHub(tmp_path / "hub", tmp_path / "cache").publish("alice", "gate", source)
    with served_chain(tmp_path / "chain.db") as (chain, url):
        chain.register(ALICE.address)
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            env={
                "PATH": os.environ["PATH"],
                "SUBTENSOR_CHAIN_ENDPOINT": url,
                "WALLET": "w",
                "HOTKEY": "h",
                "WALLET_PATH": str(tmp_path / "wallets"),
                "STATE_FOLDER": str(tmp_path / "state"),
                "SOUNDSRIGHT_HUB": str(tmp_path / "hub"),
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
    assert HEAVY & set(modules) == set()
