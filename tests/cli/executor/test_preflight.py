"""`soundsright executor preflight`, with a real chain and coordinator."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from soundsright.adapters.containers import Engine
from soundsright.cli.main import cli, run
from soundsright.library import organiser_of
from tests.cli.executor.test_serve import ALICE, Subnet, settings, subnet
from tests.engines import BASE

__all__ = ["settings", "subnet"]

Check = Callable[..., dict[str, str]]


@pytest.fixture
def failed(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Check with other settings, and return a sentence and a remedy for each check that failed."""

    def check(*words: str, **others: str) -> dict[str, str]:
        for name, value in (settings | others).items():
            monkeypatch.setenv(name, value)
        code = run(cli, ["executor", "preflight", "--json", "--timeout", "300", *words])
        report = json.loads(capsys.readouterr().out)
        assert code == (0 if report["ok"] else 1)
        return {one["name"]: f"{one['sentence']}. {one['remedy']}" for one in report["checks"] if not one["ok"]}

    return check


def test_an_organisers_hotkey_without_a_permit_passes_and_nothing_is_written(
    failed: Check, subnet: Subnet, tmp_path: Path
) -> None:
    subnet.coordinator.tick()
    before = sorted(tmp_path.rglob("*"))
    assert failed() == {}
    assert sorted(tmp_path.rglob("*")) == before


def test_each_fault_that_would_stop_serve_is_found(failed: Check, tmp_path: Path) -> None:
    (tmp_path / "executor.db").write_bytes(b"not a database at all")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = failed(
            WALLET=ALICE.address,
            STATE_FILE=str(tmp_path / "executor.db"),
            PORT=str(taken.getsockname()[1]),
            EXECUTOR_GPUS="all",
            EXECUTOR_COMPETITION="nosuch",
        )
    for name, words in {
        "chain": "EXECUTOR_API_HOTKEY",
        "rules": "EXECUTOR_COMPETITION",
        "engine": "nvidia-smi",
        "database": "executor.db",
        "port": "is in use",
        "coordinator": "",
    }.items():
        assert words in found[name]


def test_a_round_whose_sets_are_too_small_is_found_before_it_begins(failed: Check, subnet: Subnet) -> None:
    subnet.submit_all()
    assert failed() == {}
    subnet.rules.write_text(subnet.rules.read_text().replace("scoring_runs = 1", "scoring_runs = 5"))
    assert "EXECUTOR_CLIPS of the coordinator is 2" in failed()["coordinator"]


def test_an_image_of_the_reference_that_the_engine_lacks_is_found(failed: Check, engine: Engine) -> None:
    others = {"SOUNDSRIGHT_SANDBOX": "docker", **({"DOCKER_HOST": engine.url} if engine.url else {})}
    assert "EXECUTOR_BASE_IMAGE" in failed(EXECUTOR_BASE_IMAGE="soundsright-none:1", **others)["engine"]
    assert "engine" not in failed(EXECUTOR_BASE_IMAGE=BASE, **others)


def test_a_file_with_other_rules_for_images_has_another_digest(subnet: Subnet, failed: Check) -> None:
    """The digest of the prizes stays the same, so the organiser announces those of the tables too."""
    subnet.coordinator.tick()
    before = organiser_of(str(subnet.rules), begun=True)
    assert before.executor is not None
    announced = ("--rules-digest", before.ruleset.digest, "--rules-digest", before.executor.digest)
    assert failed(*announced) == {}
    subnet.rules.write_text(subnet.rules.read_text().replace("update_blocks = 10", "update_blocks = 11"))
    after = organiser_of(str(subnet.rules), begun=True)
    assert after.ruleset.digest == before.ruleset.digest
    assert f"not {before.executor.digest}" in failed(*announced)["rules"]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"EXECUTOR_GPUS": "all", "PATH": ""}, "EXECUTOR_GPUS=none"),
        ({"EXECUTOR_GPUS": "x"}, "'x' is not the number or the UUID of a GPU"),
        ({"SOUNDSRIGHT_TRUST": "false"}, "add SOUNDSRIGHT_TRUST=true"),
    ],
)
def test_a_sentence_about_the_sandbox_names_settings_because_a_service_has_no_such_options(
    failed: Check, others: dict[str, str], words: str
) -> None:
    engine = failed(**others)["engine"]
    assert words in engine
    assert not [option for option in ("--gpus", "--sandbox", "--trust") if option in engine]
