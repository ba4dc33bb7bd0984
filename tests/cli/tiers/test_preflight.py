"""`soundsright tiers preflight`: each check names what it found, or what is wrong and what to do."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.adapters.chains import LocalChain
from soundsright.adapters.peers import Hotkey
from soundsright.cli.commands.tiers.preflight import command
from soundsright.cli.main import run
from soundsright.cli.shared import opening
from soundsright.cli.shared.tiers_preflight import ProverPreflight, VerifierPreflight
from soundsright.config import TiersSettings, read_settings
from soundsright.core.errors import UsageError
from soundsright.core.tiers_rules import tiers_rules
from tests.cli.tiers.test_beside import RULES

OWN = Hotkey.of_seed("victor")
ONLY_TIERS = RULES.replace("competitions = 0.7\ntiers = 0.3", "competitions = 0.0\ntiers = 1.0")


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of a machine, with a hotkey and a chain."""
    (tmp_path / "rules.toml").write_text(ONLY_TIERS)
    OWN.write(tmp_path / "wallets" / "victor" / "hotkeys" / "default")
    chain = LocalChain(tmp_path / "chain.db")
    chain.register(OWN.address, stake=2_000.0, permit=True)
    monkeypatch.setattr(opening, "opened_chain", lambda settings, account: LocalChain(tmp_path / "chain.db"))
    return {
        "SOUNDSRIGHT_RULESET": str(tmp_path / "rules.toml"),
        "WALLET_PATH": str(tmp_path / "wallets"),
        "WALLET": "victor",
        "HOTKEY": "default",
        "STATE_FOLDER": str(tmp_path / "state"),
        "TIERS_API_KEYS": "listener-of-the-tests",
        "SOUNDSRIGHT_SPEECH": "recordings",
    }


def verifier(given: dict[str, str], **others: str) -> VerifierPreflight:
    return VerifierPreflight(read_settings(TiersSettings, environment=given | others), {})


def prover(given: dict[str, str], **others: str) -> ProverPreflight:
    return ProverPreflight(read_settings(TiersSettings, environment=given | others), {})


def test_the_digest_of_the_tiers_is_shown_and_compared(given: dict[str, str]) -> None:
    checks = verifier(given)
    digest = tiers_rules(timeout_s=6.0).digest
    assert f"{digest} ([tiers])" in checks.rules()
    assert digest in replace(checks, rules_digest=(digest,)).rules()
    with pytest.raises(UsageError, match="digest"):
        replace(checks, rules_digest=("0" * 64,)).rules()


def test_what_a_verifier_needs_is_found(given: dict[str, str], tmp_path: Path) -> None:
    checks = verifier(given)
    assert "has a permit" in checks.chain()
    assert checks.counters() == "The database keeps the counters"
    assert checks.gateway() == "GATEWAY_PORT 8092 is free; keys of listeners: 1"
    assert checks.recordings() == "The recordings are public: a prover may have heard them before"
    assert checks.provers() == "0 hotkeys serve a model that can be reached from here"
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("check", "others", "words"),
    [
        ("rules", {"NEURON_TIMEOUT": "12"}, "NEURON_TIMEOUT is 12"),
        ("gateway", {"TIERS_API_KEYS": ""}, "Nobody can use the gateway"),
        ("recordings", {"SOUNDSRIGHT_CORPUS": "/missing"}, "/missing"),
    ],
)
def test_each_fault_of_a_verifier_is_named(
    given: dict[str, str], check: str, others: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        verifier(given, **others).checks()[check]()


def test_a_redis_that_is_away_is_named(given: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    found = verifier(given, DATABASE_PASSWORD="a-password-of-the-tests", DATABASE_PORT=str(port))
    with pytest.raises(Exception, match=r"Redis at 127\.0\.0\.1") as raised:
        found.counters()
    assert "a-password-of-the-tests" not in str(raised.value)


def test_a_taken_port_is_named_for_both(given: dict[str, str]) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(UsageError, match=f"GATEWAY_PORT.*{port}|{port}.*in use"):
            verifier(given, GATEWAY_PORT=port).gateway()
        with pytest.raises(UsageError, match=f"PROVER_PORT.*{port}|{port}.*in use"):
            prover(given, PROVER_PORT=port).port()


def test_a_prover_needs_an_address_and_no_permit(given: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="AXON_EXTERNAL_IP is empty"):
        prover(given).address()
    assert "198.51.100.7:8091" in prover(given, AXON_EXTERNAL_IP="198.51.100.7").address()
    assert "is registered" in prover(given).chain()
    with pytest.raises(UsageError, match="PROVER_SLOTS is 2"):
        prover(given, PROVER_MODEL_ENDPOINT="http://127.0.0.1:9", PROVER_SLOTS="2").engine()


@pytest.mark.parametrize("arguments", [["--timeout", "nan"], ["--gateway-port", "0x50"], ["--env-file", "missing"]])
def test_wrong_use_ends_with_2_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(command, arguments) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.strip()
