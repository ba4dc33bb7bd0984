"""`soundsright executor validate`, against a real chain, coordinator and executor on this machine."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.chains.local import LocalChain
from soundsright.adapters.peers.keys import Hotkey
from soundsright.cli.main import cli, run
from soundsright.config import ValidatorSettings
from soundsright.services.http import HttpService, listening, sign_answers
from soundsright.testing.fakechain.http import served_chain
from tests.ports import free_port
from tests.rules.test_systems import WITHOUT
from tests.services.executor.signed_rounds import ROUND, SEED_BLOCK, signed_round
from tests.services.executor_api.executors import OWNER, VICTOR, MemoryExecutor, app_of
from tests.services.subnet_api.subnet_bench import ALICE, BOB, Bench, bench, image

RULES = """\
[emission]
executor = 0.5
"""
BURN = Hotkey.of_seed("burn")
Run = Callable[..., tuple[int, str, str]]


class Services:
    """The coordinator and the executor, both with the hotkey of the organiser, and the chain."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.coordinator: Bench = bench(burn_ratio=0.3)
        self.executor = MemoryExecutor()
        self.chain: LocalChain
        self.chain, self.chain_url = stack.enter_context(served_chain(folder / "chain.db"))
        self.chain.appoint(OWNER.address)
        for key in (VICTOR, ALICE, BOB, BURN):
            self.chain.register(key.address, stake=5_000.0, permit=key is VICTOR)
        self.chain.advance(SEED_BLOCK)
        board = self.coordinator.app()
        sign_answers(board, OWNER.sign)
        self.subnet_url, self.executor_url = (self._served(stack, app) for app in (board, app_of(self.executor)))

    def _served(self, stack: ExitStack, app: Any) -> str:
        sock = listening("127.0.0.1", 0, host_variable="H", port_variable="P")
        service = HttpService(app, sock, name="service").start()
        stack.callback(service.close)
        return f"http://127.0.0.1:{service.port}"

    def publish(self) -> None:
        """Alice and Bob submit, and a round finds Alice's image better."""
        coordinator = self.coordinator.coordinator
        alice, bob = (coordinator.submit(key.address, key.address, str(image())).submission for key in (ALICE, BOB))
        self.executor.shown, results = signed_round(
            {alice: 0.8, bob: 0.5}, OWNER, block_hash=self.chain.block_hash(SEED_BLOCK)
        )
        self.executor.envelopes[self.executor.shown.round_id] = results


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with ExitStack() as stack:
        yield Services(stack, tmp_path)


@pytest.fixture
def validate(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    for name in ValidatorSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    VICTOR.write(tmp_path / "wallets" / "victor" / "hotkeys" / "default")
    (tmp_path / "rules.toml").write_text(RULES + WITHOUT)
    monkeypatch.chdir(tmp_path)

    def run_with(*arguments: str, **settings: str) -> tuple[int, str, str]:
        right = {
            "SUBTENSOR_CHAIN_ENDPOINT": services.chain_url,
            "WALLET": "victor",
            "WALLET_PATH": "wallets",
            "STATE_FOLDER": "state",
            "HEALTHCHECK_API_HOST": "127.0.0.1",
            "HEALTHCHECK_API_PORT": str(free_port()),
            "SOUNDSRIGHT_RULESET": "rules.toml",
            "BURN_HOTKEY": BURN.address,
            "SUBNET_API_URL": services.subnet_url,
            "EXECUTOR_API_URL": services.executor_url,
            "SOUNDSRIGHT_SPEECH": "recordings",
            "SOUNDSRIGHT_PAY_ON_PUBLIC_CORPUS": "true",
        }
        for name, value in (right | settings).items():
            monkeypatch.setenv(name, value)
        root = logging.getLogger()
        before = root.handlers[:]
        code = run(cli, ["executor", "validate", "--poll", "0.05", *arguments])
        root.handlers[:] = before  # The next run logs to its own standard error.
        out, err = capsys.readouterr()
        return code, out, err

    return run_with


def test_a_dry_run_prints_the_weights_and_sets_none(validate: Run, services: Services) -> None:
    services.publish()
    code, out, err = validate("--dry-run")
    assert code == 0, err
    expected = f" 0.65000  {BURN.address}\n 0.35000  {ALICE.address}\n"
    assert out == f"Dry run: these weights would be set.\n{expected}"
    assert services.chain.weights(VICTOR.address) == {}


def test_nobody_is_paid_on_recordings_that_it_does_not_know(validate: Run, services: Services) -> None:
    services.publish()
    code, out, err = validate("--dry-run", SOUNDSRIGHT_PAY_ON_PUBLIC_CORPUS="false")
    assert code == 0, err
    assert out == f"Dry run: these weights would be set.\n 1.00000  {BURN.address}\n"
    assert "Warning: Nobody is paid in" in err
    assert f"Nobody is paid on round {ROUND}, because its recordings may be public" in err


def test_a_round_of_another_hash_than_the_chains_is_not_paid(validate: Run, services: Services) -> None:
    services.publish()
    services.executor.envelopes[ROUND] = signed_round({}, OWNER)[1]
    code, out, err = validate("--dry-run")
    assert (code, out) == (1, "")
    assert "and the chain has" in err


def test_it_sets_the_weights_until_it_is_stopped(validate: Run, services: Services) -> None:
    services.publish()

    def stop_when_set() -> None:
        deadline_s = time.monotonic() + 30
        while not services.chain.weights(VICTOR.address) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=stop_when_set)
    watcher.start()
    code, _, err = validate()
    watcher.join()
    assert code == 0, err
    hotkeys = {neuron.uid: neuron.hotkey for neuron in services.chain.neurons()}
    weights = {hotkeys[uid]: weight for uid, weight in services.chain.weights(VICTOR.address).items() if weight}
    assert weights == pytest.approx({ALICE.address: 0.35, BURN.address: 0.65})
    assert {one.hotkey for one in services.executor.standing} == {ALICE.address, BOB.address}


def test_a_dry_run_fails_in_one_line_if_the_executor_is_away(validate: Run) -> None:
    code, out, err = validate("--dry-run", EXECUTOR_API_URL=f"http://127.0.0.1:{free_port()}")
    assert (code, out) == (1, "")
    assert "Failed: " in err
    assert "executor" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("rules", "settings", "words"),
    [
        (RULES, {"SUBNET_API_URL": ""}, "SUBNET_API_URL is empty"),
        ("[emission]\ncompetitions = 1.0\n", {}, "gives the executor no share"),
        ("[emission]\nexecutor = 0.5\ncompetitions = 0.5\n", {}, "also gives the competitions a share of 0.5"),
        (RULES, {"BURN_HOTKEY": "nobody"}, "BURN_HOTKEY"),
        (RULES, {"EXECUTOR_API_URL": "ftp://x"}, "EXECUTOR_API_URL"),
    ],
)
def test_misuse_is_one_line_and_exit_2(
    validate: Run, tmp_path: Path, rules: str, settings: dict[str, str], words: str
) -> None:
    (tmp_path / "rules.toml").write_text(rules + WITHOUT)
    code, out, err = validate("--dry-run", **settings)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_validator_with_rounds_needs_the_coordinators_address_too(
    validate: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    validate("--dry-run", SUBNET_API_URL="")  # This sets the variables.
    (tmp_path / "rules.toml").write_text("[emission]\nexecutor = 0.5\ncompetitions = 0.5\n" + WITHOUT)
    root = logging.getLogger()
    before = root.handlers[:]
    assert run(cli, ["validator", "--dry-run"]) == 2
    root.handlers[:] = before
    err = capsys.readouterr().err
    assert "gives the executor a share of 0.5, and SUBNET_API_URL is empty" in err
    assert "Traceback" not in err


def test_preflight_reads_both_services(
    validate: Run, services: Services, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    services.publish()
    validate("--dry-run")  # This sets the variables.

    def found() -> dict[str, Any]:
        run(cli, ["preflight", "--json"])
        checks = json.loads(capsys.readouterr().out)["checks"]
        return next(check for check in checks if check["name"] == "executor")

    assert found()["ok"], found()
    assert "burns 0.3 of the winner's share" in found()["sentence"]
    assert "a table of 2 images" in found()["sentence"]
    monkeypatch.setenv("EXECUTOR_API_URL", f"http://127.0.0.1:{free_port()}")
    away = found()
    assert not away["ok"]
    assert "/metrics does not answer" in away["sentence"]
