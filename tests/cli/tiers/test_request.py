"""`soundsright tiers request`: a listener's recording through a gateway, or straight to provers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundsright.adapters.chains import LocalChain
from soundsright.adapters.provers import HttpLiveProvers
from soundsright.cli.commands.tiers.request import command
from soundsright.cli.main import run
from soundsright.cli.shared import tiers_direct
from soundsright.cli.shared.tiers_request import GivenAnswer
from soundsright.core.tiers import Standing
from soundsright.services.verifier import Ladder
from soundsright.testing.provers import ProverKind, running_prover
from tests.services.gateway.world import (
    ECHO,
    KEY,
    NETWORKS,
    VERIFIER,
    EchoProvers,
    RunningGateway,
    running_gateway,
    serving,
)


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    path = tmp_path / "noisy.wav"
    samples = np.sin(np.arange(44_100) / 9) / 4
    soundfile.write(path, np.stack([samples, -samples], axis=1), 44_100)
    return path


@pytest.fixture
def gateway() -> Iterator[RunningGateway]:
    with running_gateway([ECHO], new_provers=EchoProvers) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def only_these_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("TIERS_", "SOUNDSRIGHT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIERS_API_KEY", KEY)


def test_a_recording_is_resampled_and_the_answer_is_written(
    gateway: RunningGateway, noisy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = noisy.with_name("clean.wav")
    assert run(command, [str(noisy), "--out", str(out), "--gateway", f"{gateway.url}/"]) == 0
    samples, rate_hz = soundfile.read(out)
    assert (rate_hz, samples.shape) == (16_000, (16_000,))
    printed = capsys.readouterr().out
    assert printed.startswith(f"{ECHO.hotkey} (Gold) answered in ")
    assert "not verified: its last answer to the verifier did not pass, or none was checked yet." in printed
    assert sorted(path.name for path in noisy.parent.iterdir()) == ["clean.wav", "noisy.wav"]


def test_a_verified_prover_is_named_so(noisy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_prover(ProverKind.HONEST) as prover, running_gateway([serving(prover)]) as gateway:
        assert run(command, [str(noisy), "--out", "clean.wav", "--gateway", gateway.url]) == 0
    assert "verified: its last answer to the verifier passed." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "arguments", "words"),
    [
        ("", [], "needs a key. Set TIERS_API_KEY"),
        ("another-key-than-the-gateways", [], "does not know the key in TIERS_API_KEY"),
        ("short", [], "TIERS_API_KEY"),
        (KEY, ["--competition", "SINGING"], "There is no SINGING here"),
        (KEY, ["--out", "noisy.wav"], "is the recording itself"),
        (KEY, ["--out", "missing/clean.wav"], "cannot be written"),
        (KEY, ["--gateway", "ftp://host"], "TIERS_GATEWAY_URL"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(
    gateway: RunningGateway,
    noisy: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.setenv("TIERS_API_KEY", key)
    before = noisy.read_bytes()
    assert run(command, ["noisy.wav", "--out", "clean.wav", "--gateway", gateway.url, *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert noisy.read_bytes() == before
    assert [path.name for path in noisy.parent.iterdir()] == ["noisy.wav"]


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no audio at all, and longer than a header of a WAV" * 9])
def test_a_file_that_is_no_recording_ends_with_2(
    gateway: RunningGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "noisy.wav").write_bytes(content)
    assert run(command, ["noisy.wav", "--out", "clean.wav", "--gateway", gateway.url]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_no_prover_ends_with_1_and_writes_nothing(noisy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_gateway([]) as gateway:
        assert run(command, ["noisy.wav", "--out", "clean.wav", "--gateway", gateway.url]) == 1
    assert "No prover of DENOISING_16000HZ answered" in capsys.readouterr().err
    assert not noisy.with_name("clean.wav").exists()


def test_a_service_that_is_no_gateway_ends_with_1(noisy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_prover(ProverKind.HONEST) as prover:
        assert run(command, ["noisy.wav", "--out", "clean.wav", "--gateway", prover.url]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_provers_on_the_chain_come_in_the_order_of_the_ladder(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "chain.db")
    with running_prover(ProverKind.HONEST) as honest, running_prover(ProverKind.INPUT) as other:
        for each in (honest, other):
            chain.register(each.hotkey)
            chain.publish_endpoint(each.hotkey, each.url.removeprefix("http://"))
        chain.register(VERIFIER.address)
        ladder = Ladder(
            3,
            {
                honest.hotkey: Standing(honest.hotkey, "Silver", uid=0, score=0.9),
                other.hotkey: Standing(other.hotkey, "Gold", uid=1, score=0.1),
            },
        )
        live = HttpLiveProvers(VERIFIER, NETWORKS)
        listed = tiers_direct.listed_provers(chain, VERIFIER.address, live, ladder)
        assert [each.hotkey for each in listed.provers] == [other.hotkey, honest.hotkey]
        assert [each.tier for each in listed.provers] == ["Gold", "Silver"]
        unknown = tiers_direct.listed_provers(chain, VERIFIER.address, live, None)
        assert {each.hotkey for each in unknown.provers} == {honest.hotkey, other.hotkey}
        assert listed.best_provers("DEREVERBERATION_16000HZ") == ()


def test_an_answer_without_a_verifier_is_never_called_verified() -> None:
    sentence = GivenAnswer(b"", VERIFIER.address, "", 12.4, None).sentence
    assert sentence == (
        f"{VERIFIER.address} answered in 12 ms; not verified: ask a verifier's gateway with --gateway for that."
    )
