"""`soundsright executor demo` writes only to a folder of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import CliRunner

from soundsright.adapters.containers import Engine, check_base, required_packages
from soundsright.adapters.peers import valid_signature
from soundsright.cli.commands.executor import demo
from soundsright.cli.main import cli, run
from soundsright.cli.shared.programs import Programs
from soundsright.core.errors import UsageError
from soundsright.core.images import SubmittedImage
from soundsright.core.ports import Neuron
from soundsright.core.shipped import models_folder
from soundsright.library import organiser_of
from soundsright.services.executor import open_results
from soundsright.services.records import ExecutorRound
from tests.engines import BASE
from tests.services.executor.rows import row
from tests.services.subnet_api.subnet_bench import image

T = TypeVar("T")


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert run(cli, ["executor", "demo", "--out", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_rules_and_models_of_the_demo_can_be_used(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(demo._RULES)
    organiser = organiser_of(str(rules), begun=True)
    assert organiser.executor is not None
    assert organiser.emission.paying == {"executor": 1.0}
    assert all((models_folder() / name / "Dockerfile").is_file() for name in demo.MODELS)
    assert "both validators set" in CliRunner().invoke(cli, ["executor", "demo", "--help"]).output.replace(
        "\n", " "
    )


def test_a_base_image_without_containers_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["executor", "demo", "--out", str(tmp_path / "demo"), "--without-containers", "--base", "mine:1"]
    assert run(cli, words) == 2
    assert "--base is for containers" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_the_packages_that_a_base_image_needs_are_read_from_the_models(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r requirements-server.txt\n# note\n\nonnxruntime==1.2  # why\n")
    (tmp_path / "requirements-server.txt").write_text("numpy>=2\nfastapi\n")
    assert required_packages([tmp_path, tmp_path]) == ("fastapi", "numpy", "onnxruntime")


class RecordedPrograms(Programs):
    """Programs that are named and not started. `submitted` are the miners whose image each validator hands on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, {})
        self.miners: list[str] = []
        self.submitted: dict[str, tuple[str, ...]] = {}

    def start(self, name: str, words: Sequence[str], **_settings: str) -> None:
        if name in demo.VALIDATORS:
            self.submitted[name] = tuple(self.miners)

    def run(self, name: str, words: Sequence[str], *, timeout_s: float, **_settings: str) -> str:
        if "submit" in words:
            self.miners.append(name)
        return "the table"

    def wait(self, condition: Callable[[], T | None], awaited: str, *, timeout_s: float, every_s: float = 0.0) -> T:
        return next(value for value in (condition() for _ in range(10)) if value is not None)


class ChainOfTwoRounds:
    """A chain on which validators first pay the winner of an earlier round, with uid 0, and then the one with 1."""

    def __init__(self, hotkeys: Sequence[str]) -> None:
        self._hotkeys, self._asked = hotkeys, 0

    def neurons(self) -> list[Neuron]:
        return [Neuron(uid, hotkey, 0) for uid, hotkey in enumerate(self._hotkeys)]

    def weights(self, _validator: str) -> dict[int, float]:
        self._asked += 1
        return {0: 1.0} if self._asked <= 3 else {1: 1.0}


def test_the_weights_shown_are_those_of_the_round_shown_which_has_all_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = RecordedPrograms(tmp_path)
    images = demo._Images(lambda _name: image(), {})
    rows = [
        row(SubmittedImage(1, programs.address(name), image()), quality)
        for name, quality in (("gtcrn", 0.9), ("spectral-gate", 0.2), ("degraded", 0.1))
    ]
    chain = ChainOfTwoRounds([programs.address(name) for name in demo.MODELS])
    monkeypatch.setattr(demo, "started_chain", lambda *_, **_block_s: chain)
    monkeypatch.setattr(demo, "_answers", lambda _port: True)
    monkeypatch.setattr(demo, "_table", lambda *_: ExecutorRound("images-20", tuple(rows)))
    monkeypatch.setattr(demo, "_keep_results", lambda *_: None)
    demo._run(tmp_path, programs, images)
    out = capsys.readouterr().out
    assert programs.submitted == dict.fromkeys(demo.VALIDATORS, demo.MODELS)
    assert all(f"weights of {name}: gtcrn 100%" in out for name in demo.VALIDATORS)
    assert "Both validators set the same weights." in out


@pytest.fixture
def in_short(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo with one model and one scoring run, on the tests' engine."""
    rules = demo._RULES
    for line, shorter in {
        "warmup_runs = 1": "warmup_runs = 0",
        "scoring_runs = 3": "scoring_runs = 1",
        "run_audio_s = 12": "run_audio_s = 24",
        f"update_blocks = {demo._UPDATE_BLOCKS}": "update_blocks = 6",
        f"weight_blocks = {demo._UPDATE_BLOCKS}": "weight_blocks = 6",
    }.items():
        assert line in rules
        rules = rules.replace(line, shorter)
    monkeypatch.setattr(demo, "_RULES", rules)
    monkeypatch.setattr(demo, "_CLIPS", 12)
    monkeypatch.setattr(demo, "MODELS", ("gtcrn",))
    if engine.url:
        monkeypatch.setenv("DOCKER_HOST", engine.url)


@pytest.mark.skipif(shutil.which("docker-registry") is None, reason="docker-registry is not installed")
def test_the_demo_publishes_images_of_its_models_in_a_registry_that_the_executor_may_use(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`test_serve` runs a round of images of such a registry; `make demo-executor-test` runs the whole demo."""
    if engine.url:
        monkeypatch.setenv("DOCKER_HOST", engine.url)
    with demo._images(tmp_path, BASE, without_containers=False) as images:
        image = images.publish("spectral-gate")
        registry = images.settings["SOUNDSRIGHT_REGISTRIES"]
        assert image.repository == f"{registry}/demo/spectral-gate"
        pulled = engine.client.images.pull(f"{image.repository}@sha256:{image.sha256}")
        assert f"{image.repository}@sha256:{image.sha256}" in pulled.attrs["RepoDigests"]
    assert images.settings["SOUNDSRIGHT_SANDBOX"] == "docker"
    assert images.settings["EXECUTOR_BASE_IMAGE"] == BASE


@pytest.mark.skipif(not os.environ.get("SOUNDSRIGHT_DEMO"), reason="`make demo-executor-test` runs it")
@pytest.mark.slow
@pytest.mark.usefixtures("in_short")
def test_an_image_is_built_pushed_pulled_and_run_and_both_validators_pay_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(cli, ["executor", "demo", "--out", str(tmp_path), "--base", BASE])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "Both validators set the same weights." in out
    assert all(f"weights of {name}: " in out for name in demo.VALIDATORS)
    results = open_results((tmp_path / "results.json").read_bytes(), valid_signature=valid_signature)
    assert results.machine["sandbox"] == "docker"
    assert len(results.entries) == 1
    measured = results.entries[0].measured
    assert measured is not None
    assert (measured.failure, len(measured.runs)) == (None, 1)
    assert run(cli, ["executor", "verify", str(tmp_path / "results.json")]) == 0
    assert "On the front: demo/gtcrn, rank 1" in (tmp_path / "site" / "executor" / "index.html").read_text()


def test_a_base_image_that_cannot_run_the_models_is_named_before_anything_is_built(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.url:
        monkeypatch.setenv("DOCKER_HOST", engine.url)
    assert run(cli, ["executor", "demo", "--out", str(tmp_path / "demo"), "--base", "soundsright-none:1"]) == 2
    assert "--base: The engine has no image soundsright-none:1" in capsys.readouterr().err
    with pytest.raises(UsageError, match="lacks not-there, nor-there"):
        check_base(engine, BASE, ("numpy", "not-there", "nor-there"))
