"""A private chain with its owner, a list of validators, and a bucket in a folder for each of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from soundsright.adapters.buckets import new_bucket_folder
from soundsright.adapters.peers.keys import Hotkey
from soundsright.cli.main import cli, run
from tests.cli.test_executor import OWNER, Net

ONE, TWO = (Hotkey.of_seed(name) for name in ("victor", "wendy"))
RULES = """\
[ruleset]
base = "soundsright-v5"

[emission]
competitions = 0.0
federation = 1.0

[federation]
interval_blocks = 10
epoch_blocks = 20
window_tasks = 10
settle_margin = 0
lookback_blocks = 200

[[competition]]
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 90.0
remainder = 10.0
metrics = { PESQ_WB = 0.6, ESTOI = 0.4 }
"""


def settings_of(net: Net) -> dict[str, str]:
    """The settings of the validator ONE, with which every check passes."""
    for name in ("lists", "one", "two"):
        new_bucket_folder(net.folder / name)
    for name, key in (("one", ONE), ("two", TWO)):
        key.write(net.folder / "wallets" / name / "hotkeys" / "default")
    (net.folder / "rules.toml").write_text(RULES)
    endpoint = f"file://{net.folder}"
    peers = [
        {"hotkey": key.address, "bucket": name, "endpoint": endpoint} for name, key in (("one", ONE), ("two", TWO))
    ]
    return {
        "WALLET": "one",
        "SOUNDSRIGHT_RULESET": str(net.folder / "rules.toml"),
        "STATE_FOLDER": str(net.folder / "one-state"),
        "R2_ENDPOINT": endpoint,
        "R2_OWN_BUCKET": "one",
        "R2_SOURCE_BUCKET": "lists",
        "PEER_VALIDATORS": json.dumps(peers),
        "SOUNDSRIGHT_SANDBOX": "process",
        "SOUNDSRIGHT_TRUST": "true",
        "SOUNDSRIGHT_SPEECH": "recordings",
        "SOUNDSRIGHT_HUB": str(net.folder / "hub"),
        "SOUNDSRIGHT_WORKERS": "1",
        "SAMPLER_POLL_INTERVAL": "0.1",
    }


def federation(net: Net, monkeypatch: pytest.MonkeyPatch, *, listed: bool = True) -> None:
    """Set the settings of ONE. The owner publishes the list of both, which holds in the epoch from block 20 on."""
    (net.folder / "hub").mkdir(exist_ok=True)
    settings = settings_of(net)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    chain = net.chain(OWNER)
    for key in (ONE, TWO):
        chain.register(key.address, permit=True)
    if listed:
        words = ["federation", "validator", "add", ONE.address, TWO.address]
        assert run(cli, words) == 0
        assert (
            run(cli, ["federation", "validator", "publish", "--wallet", "owner", "--r2-own-bucket", "lists"]) == 0
        )
    chain.advance(25 - chain.finalized().number)


def started(words: list[str]) -> tuple[threading.Thread, Callable[[], int | None]]:
    """Run a command in a thread. Gives the thread, and its exit code once it has ended."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run(cli, words)), daemon=True)
    thread.start()
    return thread, lambda: codes[0] if codes else None


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
