"""`soundsright federation miner`: a model is pushed and committed to."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.cli.main import cli, run
from soundsright.testing.hub.server import served_hub
from tests.cli.test_executor import ALICE, OWNER, Net, net

__all__ = ["net"]


def miner(*words: str) -> int:
    return run(cli, ["federation", "miner", *words])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "gate"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    return folder


@pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")
def test_a_model_is_pushed_to_the_hub(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with served_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", server.token)
        assert miner("push", str(model), "lab/gate") == 0
        pushed = capsys.readouterr().out.strip()
        assert pushed.startswith("lab/gate@")
        commits = server.repositories["lab/gate"].commits
        assert commits["main"]["Dockerfile"] == b"FROM scratch\n"


def test_a_model_is_copied_to_a_private_hub_and_committed_to(
    net: Net, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = net.folder / "hub"
    hub.mkdir()
    monkeypatch.setenv("SOUNDSRIGHT_HUB", str(hub))
    assert miner("push", str(model), "lab/gate") == 0
    reference = capsys.readouterr().out.strip()
    revision = reference.rpartition("@")[2]
    for part, value in (("NAMESPACE", "lab"), ("NAME", "gate"), ("REVISION", revision)):
        monkeypatch.setenv(f"DENOISING_16000HZ_HF_MODEL_{part}", value)
    chain = net.chain(OWNER)
    chain.advance(1)
    assert miner("commit", "--wallet", "alice") == 0
    assert f"{ALICE.address} is committed to {reference} for DENOISING_16000HZ" in capsys.readouterr().out
    assert [c.hotkey for c in chain.commitments()] == [ALICE.address]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("push", "missing", "lab/gate"), "missing is not a folder"),
        (("push", "gate", "gate"), "'gate' is not the name of a model"),
        (("push", "gate", "lab/../gate"), "'lab/../gate' is not the name of a model"),
        (("push", "gate", "lab/gate"), "HF_TOKEN is not set"),
        (("commit",), "No model is given"),
    ],
)
def test_bad_input_is_one_line(
    words: tuple[str, ...],
    problem: str,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(model.parent)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert miner(*words) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert error.count("\n") == 1
