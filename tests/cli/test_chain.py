"""`soundsright chain serve` makes blocks in time, and keys join the chain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from soundsright.adapters.chains.http import HttpChain
from soundsright.adapters.chains.local import LocalChain
from soundsright.adapters.peers.keys import Hotkey
from soundsright.cli.commands.chain import command
from soundsright.cli.main import run
from soundsright.core.errors import ChainUnavailable
from soundsright.core.ports import Neuron
from tests.ports import free_port

ORGANISER, ALICE, BOB = (Hotkey.of_seed(name) for name in ("organiser", "alice", "bob"))


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """A function that serves an open chain in a thread, with options of `chain serve`."""
    stop, port = threading.Event(), free_port()
    url = f"http://127.0.0.1:{port}"
    for name, key in (("organiser", ORGANISER), ("alice", ALICE), ("bob", BOB)):
        key.write(tmp_path / "wallets" / name / "hotkeys" / "default")
    shared = {"WALLET_PATH": str(tmp_path / "wallets"), "SUBTENSOR_CHAIN_ENDPOINT": url, "CHAIN_PORT": str(port)}
    for name, value in {"WALLET": "organiser", "STATE_FOLDER": str(tmp_path / "state"), **shared}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("soundsright.cli.shared.stopping.stopped_by_signals", lambda: nullcontext(stop))
    started: list[threading.Thread] = []

    def start(options: str) -> str:
        started.append(threading.Thread(target=run, args=(command, ["serve", "--open", *options.split()])))
        started[0].start()
        return url

    yield start
    stop.set()
    for thread in started:
        thread.join(30)


def opened(url: str, account: Hotkey) -> HttpChain:
    """The chain, as soon as it answers."""
    pauses = threading.Event()
    for _ in range(200):
        try:
            return HttpChain(url, account)
        except ChainUnavailable:
            pauses.wait(0.05)
    return HttpChain(url, account)


def test_strangers_cannot_move_the_time_of_a_served_chain(served: Callable[[str], str]) -> None:
    url = served("--block-every 60")
    chain, alice = opened(url, ORGANISER), opened(url, ALICE)
    bob = opened(url, BOB)
    assert alice.register(ALICE.address) == 0
    assert bob.register(BOB.address) == 1
    for number in range(5):
        for own, key in ((alice, ALICE), (bob, BOB)):
            assert own.publish(key.address, f"{number}").ok
            assert own.publish_endpoint(key.address, f"10.0.0.{number}:6001").ok
    assert (chain.head().number, chain.neurons(), chain.commitments()) == (0, (), ())
    chain.advance()
    assert [(n.hotkey, n.endpoint) for n in chain.neurons()] == [
        (key.address, "10.0.0.4:6001") for key in (ALICE, BOB)
    ]
    assert {(c.hotkey, c.digest, c.block) for c in chain.commitments()} == {
        (key.address, "4", 1) for key in (ALICE, BOB)
    }


def test_join_prints_the_uid_when_the_next_block_shows_the_key(
    served: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = opened(served("--block-every 60"), ORGANISER)
    answers: list[tuple[Neuron, ...]] = []
    neurons = HttpChain.neurons

    def looked(own: HttpChain) -> tuple[Neuron, ...]:
        answers.append(neurons(own))
        if len(answers) == 2:
            chain.advance()
        return answers[-1]

    monkeypatch.setattr(HttpChain, "neurons", looked)
    monkeypatch.setenv("WALLET", "alice")
    assert run(command, ["join"]) == 0
    assert f"{ALICE.address} is uid 0\n" in capsys.readouterr().out
    assert [len(neurons_shown) for neurons_shown in answers] == [0, 0, 1]
    monkeypatch.setattr("soundsright.cli.commands.chain._BLOCK_WAIT_S", 0.0)
    monkeypatch.setenv("WALLET", "bob")
    assert run(command, ["join"]) == 0
    assert f"{BOB.address} is uid 1 from the next block on" in capsys.readouterr().out


def shown(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """The output of a command of `chain` that succeeds."""
    capsys.readouterr()
    assert run(command, list(args)) == 0
    return capsys.readouterr().out


def test_coldkeys_get_and_send_rao(
    served: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = opened(served("--block-every 0"), ORGANISER)
    assert chain.owner() == ORGANISER.address
    monkeypatch.setenv("WALLET", "alice")
    coldkey = shown(capsys, "account", "--coldkey").split()[0]
    assert coldkey != ALICE.address
    shown(capsys, "join", "--coldkey")
    assert [(n.hotkey, n.coldkey) for n in chain.neurons()] == [(ALICE.address, coldkey)]
    monkeypatch.setenv("WALLET", "organiser")
    shown(capsys, "register", BOB.address, "--coldkey", BOB.address)
    assert "400000000 RAO  (0.400000000 TAO)" in shown(capsys, "mint", coldkey, "400000000")
    monkeypatch.setenv("WALLET", "alice")
    assert "150000000 RAO" in shown(capsys, "transfer", BOB.address, "250000000")
    assert shown(capsys, "balance") == f"{coldkey}  150000000 RAO  (0.150000000 TAO)\n"
    assert "250000000 RAO" in shown(capsys, "balance", BOB.address)
    assert [(t.coldkey, t.amount_rao) for t in chain.transfers(BOB.address, -1)] == [(coldkey, 250_000_000)]
    assert run(command, ["transfer", BOB.address, "250000000"]) == 2
    assert "has 150000000 RAO, less than 250000000. Nothing was paid." in capsys.readouterr().err
    assert run(command, ["mint", coldkey, "1"]) == 2
    assert "Only the organiser mints" in capsys.readouterr().err


@pytest.mark.parametrize("amount", ["0", "-1", "0.5", "1e9", "nan", "21000000000000001", ""])
@pytest.mark.parametrize("name", ["mint", "transfer"])
def test_an_amount_is_a_whole_number_of_rao_up_to_all_tao(
    name: str, amount: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, [name, BOB.address, "--", amount]) == 2
    assert "AMOUNT_RAO" in capsys.readouterr().err


def test_a_wrong_address_and_a_missing_coldkey_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WALLET_PATH", str(tmp_path))
    assert run(command, ["transfer", "5abc", "1"]) == 2
    assert "TO '5abc' is not the address of a key" in capsys.readouterr().err
    assert run(command, ["transfer", BOB.address, "1"]) == 2
    assert "coldkey cannot be read" in capsys.readouterr().err


def test_a_chain_is_served_with_its_organisers_key_only(
    served: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "state").mkdir()
    chain = LocalChain(tmp_path / "state" / "chain.db")
    chain.appoint(ORGANISER.address)
    monkeypatch.setenv("WALLET", "alice")
    assert run(command, ["serve"]) == 2
    shown_error = capsys.readouterr().err
    assert f"has the organiser {ORGANISER.address}" in shown_error
    assert ALICE.address in shown_error
    assert all(name in shown_error for name in ("WALLET", "HOTKEY", "STATE_FOLDER"))
    assert chain.owner() == ORGANISER.address
    monkeypatch.setenv("WALLET", "organiser")
    assert opened(served("--block-every 60"), ORGANISER).owner() == ORGANISER.address
