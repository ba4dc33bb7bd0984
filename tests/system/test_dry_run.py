"""`soundsright validator --dry-run` prints the weights and leaves the validator's own files alone."""

from __future__ import annotations

import datetime
import logging
import os
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from soundsright.adapters.chains.local import LocalChain
from soundsright.adapters.peers.keys import Hotkey
from soundsright.adapters.state.artifacts import Artifacts
from soundsright.adapters.state.store import SqlState
from soundsright.cli.commands.validator import _print_weights, command
from soundsright.cli.main import run
from soundsright.config import ValidatorSettings
from soundsright.core.emission import EmissionRules
from soundsright.testing.fakechain.http import served_chain
from tests.ports import free_port

VICTOR = Hotkey.of_seed("victor")
DryRun = Callable[..., tuple[int, str, str]]


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[tuple[LocalChain, str]]:
    with served_chain(tmp_path / "chain.db") as served:
        served[0].register(VICTOR.address)
        yield served


@pytest.fixture
def dry_run(
    chain: tuple[LocalChain, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> DryRun:
    """A function that runs the command in an empty folder. Its settings are valid, except for those of a test."""
    for name in ValidatorSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    VICTOR.write(tmp_path / "wallets" / "victor" / "hotkeys" / "default")
    (tmp_path / "hub").mkdir()
    monkeypatch.chdir(tmp_path)
    port = free_port()

    def run_with(**settings: str) -> tuple[int, str, str]:
        right = {
            "SUBTENSOR_CHAIN_ENDPOINT": chain[1],
            "WALLET": "victor",
            "WALLET_PATH": "wallets",
            "STATE_FOLDER": "state",
            "HEALTHCHECK_API_HOST": "127.0.0.1",
            "HEALTHCHECK_API_PORT": str(port),
            "SOUNDSRIGHT_HUB": "hub",
            "SOUNDSRIGHT_SANDBOX": "process",
            "SOUNDSRIGHT_TRUST": "true",
            "SOUNDSRIGHT_COMPETITION": "DENOISING_16000HZ",
            "SOUNDSRIGHT_CLIPS": "2",
            "SOUNDSRIGHT_WORKERS": "1",
            "SOUNDSRIGHT_KEPT_ROUNDS": "1",
        }
        for name, value in (right | settings).items():
            monkeypatch.setenv(name, value)
        root = logging.getLogger()
        before = root.handlers[:]
        code = run(command, ["--dry-run", "--poll", "0.05"])
        root.handlers[:] = before  # The next run logs to its own standard error.
        out, err = capsys.readouterr()
        return code, out, err

    return run_with


def own_files(state: Path) -> dict[str, bytes]:
    """The validator's files, without those of its dry runs."""
    paths = {path.relative_to(state).as_posix(): path for path in state.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if not name.startswith("dry-run/")}


def test_it_leaves_the_validators_own_files_alone_and_judges_each_time(
    dry_run: DryRun, chain: tuple[LocalChain, str], tmp_path: Path
) -> None:
    chain[0].advance(3)
    state, today = tmp_path / "state", datetime.datetime.now(datetime.UTC).date()
    own = [
        f"rounds/{day.isoformat()}/{name}"
        for day in (today, today - datetime.timedelta(1))
        for name in ("results.json", "sets/DENOISING_16000HZ/answer", "enhanced/answer")
    ]
    for name in (*own, "cache/models/model/Dockerfile"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text("the validator's own")
    SqlState(state / "state.db").close()
    Artifacts(state / "artifacts").put_bytes(b"signed feedback")
    for path in state.rglob("*"):
        os.utime(path, (0, 0))
    before = own_files(state)
    for _ in range(2):
        code, out, err = dry_run(ROUND_SEED_DELAY_BLOCKS="1")
        assert code == 0, err
        assert own_files(state) == before
        assert len(list((state / "dry-run" / "rounds").glob("*/results.json"))) == 1
        assert out.endswith("Dry run: no weights would be set, because nobody is paid and BURN_HOTKEY is empty.\n")


@pytest.mark.parametrize(
    ("burn_hotkey", "weights", "message"),
    [
        ("", {"a": 0.25, "b": 0.75}, "Dry run: these weights would be set.\n 0.75000  b\n 0.25000  a\n"),
        ("gone", {}, "nobody is paid and BURN_HOTKEY was not registered at the close.\n"),
    ],
)
def test_it_prints_the_weights_largest_first_or_why_there_are_none(
    capsys: pytest.CaptureFixture[str], burn_hotkey: str, weights: dict[str, float], message: str
) -> None:
    _print_weights(burn_hotkey, weights)
    assert capsys.readouterr().out.endswith(message)


def test_it_says_which_share_of_the_emission_the_rounds_have(capsys: pytest.CaptureFixture[str]) -> None:
    _print_weights("", {"a": 1.0}, emission=EmissionRules({"competitions": 0.25}))
    assert "the rounds have 25.00% of the emission" in capsys.readouterr().out


def test_it_does_not_remove_the_folder_of_one_that_still_runs(
    dry_run: DryRun, chain: tuple[LocalChain, str], tmp_path: Path
) -> None:
    chain[0].advance(3)
    folder = tmp_path / "state" / "dry-run"
    folder.mkdir(parents=True)
    other = SqlState(folder / "state.db")
    other.take_lease("validator", "another machine:1", now_s=time.time(), duration_s=60.0)
    code, _, err = dry_run()
    other.close()
    assert (code, err.count("\n"), "Process 1 on another machine uses " in err) == (2, 1, True), err
    assert (folder / "state.db").exists()


def test_before_the_first_round_it_says_when_that_is(dry_run: DryRun) -> None:
    code, out, err = dry_run(ROUND_FIRST_DAY="2130-01-07")
    assert (code, out, err) == (0, "No round has started. The first starts at 2130-01-07 09:00 UTC.\n", "")


def test_settings_that_an_organisers_schedule_overrides_are_named(dry_run: DryRun, tmp_path: Path) -> None:
    published = files("soundsright").joinpath("rulesets/published.toml").read_text()
    assert "time_utc = 09:00:00" in published
    rules = published.replace("time_utc = 09:00:00", "time_utc = 10:00:00\nfirst_day = 2130-01-07")
    (tmp_path / "rules.toml").write_text(rules)
    code, out, err = dry_run(SOUNDSRIGHT_RULESET="rules.toml")
    assert (code, "2130-01-07 10:00 UTC" in out, err) == (0, True, "")
    code, out, err = dry_run(SOUNDSRIGHT_RULESET="rules.toml", ROUND_TIME_OF_DAY="18:00", ROUND_EVERY_DAYS="7")
    assert (code, "2130-01-07 10:00 UTC" in out) == (0, True)
    assert "WARNING ROUND_EVERY_DAYS, ROUND_TIME_OF_DAY: ignored, because [schedule] of rules.toml" in err
