"""A machine that draws other clips is refused by every command that judges, before it writes anything."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from soundsright.adapters.peers import Hotkey
from soundsright.cli.main import cli, run
from tests.rules.test_systems import WITHOUT

REFUSAL = "Error: This machine cannot judge: it draws other clips than other validators"
EXECUTOR = "[emission]\nexecutor = 0.5\n"


@pytest.fixture
def wrong_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose transforms differ in the last bit, with settings that are right."""
    from scipy import fft

    original = fft.irfft
    monkeypatch.setattr(
        fft, "irfft", lambda *args, **options: np.nextafter(original(*args, **options), 9.0, dtype="f4")
    )
    Hotkey.of_seed("victor").write(tmp_path / "wallets" / "default" / "hotkeys" / "default")
    (tmp_path / "rules.toml").write_text(EXECUTOR + WITHOUT)
    for name in [name for name in os.environ if name.startswith(("R2_", "SOUNDSRIGHT_", "EXECUTOR_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "SUBTENSOR_CHAIN_ENDPOINT": "http://127.0.0.1:1",
        "WALLET_PATH": "wallets",
        "STATE_FOLDER": "state",
        "SOUNDSRIGHT_SANDBOX": "process",
        "SOUNDSRIGHT_TRUST": "true",
        "SUBNET_API_URL": "http://127.0.0.1:1",
        "EXECUTOR_API_URL": "http://127.0.0.1:1",
        "BURN_HOTKEY": Hotkey.of_seed("burn").address,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("validator",),
        ("validator", "--dry-run"),
        ("executor", "serve"),
        ("executor", "validate", "--soundsright-ruleset", "rules.toml"),
        ("executor", "validate", "--soundsright-ruleset", "rules.toml", "--dry-run"),
        ("replay", "round.zip"),
        ("replay", "round.zip", "--score"),
        ("replay", "round.zip", "--run"),
    ],
    ids=" ".join,
)
def test_it_does_not_judge(
    arguments: tuple[str, ...], wrong_machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, list(arguments)) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith(REFUSAL)
    assert "same-bytes.md" in error
    assert error.count("Error: ") == 1
    assert not (wrong_machine / "state").exists()
