"""Bad input of `soundsright tiers prove`, `verify` and `request`: exit code 2 and one line, and nothing starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soundsright.adapters.peers import Hotkey
from soundsright.cli.main import cli, run
from tests.cli.tiers.test_beside import RULES


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("TIERS_", "SOUNDSRIGHT_", "NEURON_", "PROVER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.toml").write_text(RULES)
    Hotkey.of_seed("victor").write(tmp_path / "wallets" / "victor" / "hotkeys" / "default")
    for name, value in {
        "WALLET": "victor",
        "HOTKEY": "default",
        "WALLET_PATH": str(tmp_path / "wallets"),
        "STATE_FOLDER": str(tmp_path / "state"),
        "SUBTENSOR_CHAIN_ENDPOINT": "http://127.0.0.1:9",
        "SOUNDSRIGHT_RULESET": str(tmp_path / "rules.toml"),
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("prove --endpoint ftp://model", "PROVER_MODEL_ENDPOINT"),
        ("prove --endpoint http://a:1 --prover-model-endpoint http://b:1", "--endpoint is http://a:1"),
        ("prove --endpoint http://a:1 --prover-slots 2", "PROVER_SLOTS is 2"),
        ("prove --prover-slots 0", "PROVER_SLOTS"),
        ("prove --prover-max-audio-s nan", "PROVER_MAX_AUDIO_S"),
        ("prove --prover-port 70000", "PROVER_PORT"),
        ("prove --env-file missing.env", "missing.env"),
        ("verify", "also gives the competitions a share of 0.7"),
        ("verify --neuron-timeout inf", "NEURON_TIMEOUT"),
        ("verify --neuron-timeout 12", "NEURON_TIMEOUT is 12"),
        ("verify --neuron-sample-size -1", "NEURON_SAMPLE_SIZE"),
        ("verify --tiers-api-keys short", "TIERS_API_KEYS"),
        ("verify --hotkey nobody", "nobody"),
        ("verify --soundsright-ruleset missing.toml", "missing.toml"),
        ("request missing.wav --out out.wav", "missing.wav"),
        ("request rules.toml --out out.wav", "rules.toml"),
        ("request rules.toml", "--out"),
        ("request rules.toml --out out.wav --competition SINGING", "SINGING"),
        ("request rules.toml --out out.wav --gateway http://user:pw@host", "TIERS_GATEWAY_URL"),
        ("request rules.toml --out out.wav --gateway http://host/?key=1", "TIERS_GATEWAY_URL"),
    ],
)
def test_one_line_names_the_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str, words: str
) -> None:
    assert run(cli, ["tiers", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert "pw@" not in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rules.toml", "wallets"]
