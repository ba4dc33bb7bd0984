"""`soundsright init-model` and `soundsright verify`, as a miner uses them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from soundsright.cli.commands.init_model import command as init_model
from soundsright.cli.commands.verify import command as verify
from soundsright.cli.main import run
from soundsright.core.content import files_below
from soundsright.core.errors import UsageError
from soundsright.core.shipped import template_folder
from soundsright.testing.hub.repositories import HubRepository, HubServer
from soundsright.testing.hub.server import served_hub

REVISION = "a" * 40


@pytest.mark.slow
def test_the_template_passes_at_once(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(init_model, [str(tmp_path / "mine")]).exit_code == 0
    result = runner.invoke(
        verify, [str(tmp_path / "mine"), "--clips", "1", "--sandbox", "process"], standalone_mode=False
    )
    assert result.return_value == 0, result.output
    assert "PASS" in result.output
    assert "PESQ_WB*" in result.output


@pytest.mark.slow
def test_the_templates_own_tests_pass_and_are_in_no_image(tmp_path: Path) -> None:
    assert CliRunner().invoke(init_model, [str(tmp_path / "mine")]).exit_code == 0
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    result = subprocess.run(words, cwd=tmp_path / "mine", capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout
    assert "tests" in (tmp_path / "mine" / ".dockerignore").read_text().split()


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").touch()
    with pytest.raises(UsageError, match="not an empty folder"):
        init_model.main([str(tmp_path / "mine")], standalone_mode=False)


def test_a_package_without_its_template_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("soundsright.core.shipped.CHECKOUT", tmp_path)
    monkeypatch.setattr("importlib.metadata.files", lambda _name: [])
    with pytest.raises(UsageError, match="The model template is not installed"):
        template_folder()


def test_a_failure_before_the_start_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "model"
    assert run(init_model, [str(folder)]) == 0
    (folder / "run.sh").write_text("#!/bin/sh\nexec python -m app.server\n")
    dockerfile = (folder / "Dockerfile").read_text().splitlines()
    lines = ['CMD ["./run.sh"]' if line.startswith("CMD") else line for line in dockerfile]
    (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
    assert run(verify, [str(folder), "--clips", "1"]) == 1
    said = capsys.readouterr().out
    assert said.count("no execute bit") == 1
    assert 'CMD ["sh", "run.sh"]' in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "No model is given"),
        (["nowhere"], "neither a folder nor namespace/name@revision"),
        (["a/b@main"], "not a commit (40 hex digits)"),
        ([".", "--competition", "SINGING_16000HZ"], "Unknown competition"),
        ([".", "--competition", "DENOISING_16000HZ", "--sample-rate", "48000"], "not at 48000 Hz"),
        ([".", "--model_namespace", "a"], "Give the model only once"),
        ([f"a/b@{REVISION}", "--sandbox", "process"], "--trust"),
        ([".", "--sandbox", "process", "--python", "."], ". is not an executable file"),
        ([".", "--sandbox", "bubblewrap", "--python", "nowhere"], "nowhere is not an executable file"),
    ],
)
def test_misuse_is_one_line_with_the_remedy(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(verify, arguments) == 2
    assert says in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("soundsright.adapters.sandboxes.find_gpus", tuple)
    assert run(verify, [".", "--gpus", "all"]) == 1
    assert (
        "You asked for a GPU, but nvidia-smi finds none on this machine. Check the driver"
        in capsys.readouterr().err
    )


def test_bubblewrap_with_a_gpu_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from soundsright.adapters.sandboxes.gpu import Gpu

    monkeypatch.setattr("soundsright.adapters.sandboxes.find_gpus", lambda: (Gpu(0, "GPU-a"),))
    assert run(verify, [".", "--gpus", "0", "--sandbox", "bubblewrap"]) == 2
    assert "bubblewrap: it cannot give a model a GPU" in capsys.readouterr().err


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with the template as alice/gate."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _s: None)
    template = template_folder()
    names = [path for path in files_below(template) if "__pycache__" not in path.parts]
    with served_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        files = {path.relative_to(template).as_posix(): path.read_bytes() for path in names}
        server.repositories["alice/gate"] = HubRepository({REVISION: files})
        yield server


@pytest.mark.slow
def test_the_published_scripts_flags_run_a_model_from_the_hub(
    hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model_namespace", "alice", "--model_name", "gate", "--model_revision", REVISION]
    rest = ["--sample_rate", "16000", "--clips", "1", "--sandbox", "process", "--trust"]
    assert run(verify, [*flags, *rest]) == 0
    out = capsys.readouterr().out
    assert f"Fetching alice/gate@{REVISION}" in out
    assert "PASS" in out


@pytest.mark.slow
def test_ctrl_c_ends_a_model_that_loads_at_once(tmp_path: Path) -> None:
    assert CliRunner().invoke(init_model, [str(tmp_path / "mine")]).exit_code == 0
    loads = tmp_path / "loads"
    server = tmp_path / "mine" / "app" / "server.py"
    server.write_text(f"import pathlib, time\npathlib.Path({str(loads)!r}).touch()\ntime.sleep(600)\n")
    words = [sys.executable, "-m", "soundsright", "verify", str(tmp_path / "mine")]
    with subprocess.Popen([*words, "--sandbox", "process"], stdout=-1, stderr=-1) as command:
        until = time.monotonic() + 60
        while not loads.exists() and command.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        command.send_signal(signal.SIGINT)
        started = time.monotonic()
        _, error = command.communicate(timeout=60)
    assert (command.returncode, error.split()) == (130, [b"Stopped."])
    assert time.monotonic() - started < 15, "loading had two minutes to go"


def test_an_organisers_rules_decide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(init_model, [str(tmp_path / "mine")]) == 0
    rules = tmp_path / "competition.toml"
    own = """[[competition]]
task = "DEREVERBERATION"
sample_rate_hz = 16_000
max_score = 50.0
remainder = 10.0
metrics = { SSNR = 1.0 }
[entries]
"""
    words = [str(tmp_path / "mine"), "--clips", "1", "--sandbox", "process", "--ruleset", str(rules)]
    rules.write_text(own + "needs_licence = true\n")
    capsys.readouterr()
    assert run(verify, words) == 0
    out = capsys.readouterr().out
    assert out.startswith("Dereverberation, 16 kHz")
    assert "SSNR*" in out
    (tmp_path / "mine" / "LICENSE").unlink()
    assert run(verify, words) == 1
    assert "no licence file at its root\n      Add a LICENSE file." in capsys.readouterr().out
    rules.write_text(own + 'allowed_files = [".py"]\n')
    assert run(verify, words) == 1
    remedy = "Remove the file, publish again and commit the new revision."
    assert f"this competition accepts only .py\n      {remedy}" in capsys.readouterr().out
    assert run(verify, [*words, "--competition", "DENOISING_16000HZ"]) == 2
    assert run(verify, [*words, "--sample-rate", "48000"]) == 2
    assert "The rules have no competition at 48000 Hz" in capsys.readouterr().err


def test_a_model_that_is_not_on_the_hub_is_one_line(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    for target in (f"alice/nothing@{REVISION}", f"alice/gate@{'b' * 40}"):
        assert run(verify, [target, "--sandbox", "process", "--trust"]) == 2
        assert "Copy the name and the commit from the model's page on the hub." in capsys.readouterr().err
