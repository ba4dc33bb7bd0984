"""`soundsright preflight`: one line for each check, its remedy, and nothing written."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from soundsright.adapters.peers.keys import Hotkey
from soundsright.adapters.state.store import SqlState
from soundsright.cli.main import run
from soundsright.cli.shared.preflight_checks import findings
from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.emission import EmissionRules
from soundsright.core.errors import EntryRefused, StateUnavailable, UsageError
from soundsright.core.rulesets import ruleset_by_name
from soundsright.core.tiers_rules import tiers_rules
from soundsright.testing.fakechain.http import served_chain

VICTOR = Hotkey.of_seed("victor")
Check = Callable[..., dict[str, tuple[bool, str, str]]]


@pytest.fixture
def chain_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served_chain(tmp_path_factory.mktemp("chain") / "chain.db") as (chain, url):
        chain.register(VICTOR.address, stake=5_000.0, permit=True)
        chain.register(Hotkey.of_seed("poor").address, stake=1.0)
        chain.advance()
        yield url


@pytest.fixture
def machine(tmp_path: Path, chain_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A validator's machine on which every check passes."""
    VICTOR.write(tmp_path / "wallets" / "default" / "hotkeys" / "default")
    (tmp_path / "state").mkdir()
    SqlState(tmp_path / "state" / "state.db").close()
    for name in [name for name in os.environ if name.startswith(("R2_", "SOUNDSRIGHT_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "SUBTENSOR_CHAIN_ENDPOINT": chain_url,
        "WALLET_PATH": str(tmp_path / "wallets"),
        "STATE_FOLDER": str(tmp_path / "state"),
        "SOUNDSRIGHT_SANDBOX": "process",
        "SOUNDSRIGHT_TRUST": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def checked(machine: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Run the command, and return what each check found: whether it passed, a sentence, a remedy."""
    from soundsright.cli.main import cli

    def check(*arguments: str) -> dict[str, tuple[bool, str, str]]:
        code = run(cli, ["preflight", "--json", *arguments])
        report = json.loads(capsys.readouterr().out)
        assert code == (0 if report["ok"] else 1)
        assert report["ok"] == all(each["ok"] for each in report["checks"])
        return {each["name"]: (each["ok"], each["sentence"], each["remedy"]) for each in report["checks"]}

    return check


def failures(found: dict[str, tuple[bool, str, str]]) -> dict[str, str]:
    return {name: f"{sentence}. {remedy}" for name, (ok, sentence, remedy) in found.items() if not ok}


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_machine_that_is_ready_passes_every_check_and_is_not_changed(
    machine: Path, checked: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    from soundsright.cli.main import cli

    before = content_of(machine)
    found = checked()
    assert failures(found) == {}
    names = ["keys", "chain", "clock", "rules", "libraries", "engine", "database"]
    names += ["counters", "buckets", "executor"]
    assert list(found) == names
    assert VICTOR.address in found["keys"][1]
    assert ruleset_by_name("soundsright-v5").digest in found["rules"][1]
    assert run(cli, ["preflight"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", name] for name in found]
    assert content_of(machine) == before


def test_a_folder_that_does_not_exist_yet_is_not_made(machine: Path, checked: Check) -> None:
    assert "will be made" in checked("--state-folder", str(machine / "later" / "state"))["database"][1]
    assert not (machine / "later").exists()


def test_each_fault_is_one_line_with_a_remedy_and_hides_no_other(
    machine: Path, checked: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "state" / "state.db").write_bytes(b"not a database at all")
    (machine / "bucket").mkdir()
    for name, value in {
        "HOTKEY": "missing",
        "SOUNDSRIGHT_RULESET": "soundsright-v99",
        "SOUNDSRIGHT_TRUST": "false",
        "R2_OWN_BUCKET": "bucket",
        "R2_ENDPOINT": f"file://{machine}",
    }.items():
        monkeypatch.setenv(name, value)
    found = failures(checked())
    assert set(found) == {"keys", "chain", "rules", "engine", "database", "buckets"}
    for name, part in {
        "keys": "soundsright chain account",
        "rules": "soundsright-v99",
        "database": "db backup",
        "buckets": "@bucket",
    }.items():
        assert part in found[name], found[name]
        assert "\n" not in found[name]


@pytest.mark.parametrize(
    ("wallet", "words"), [("poor", "no validator permit"), ("stranger", "not registered on this chain")]
)
def test_a_hotkey_that_cannot_set_weights_fails(machine: Path, checked: Check, wallet: str, words: str) -> None:
    Hotkey.of_seed(wallet).write(machine / "wallets" / wallet / "hotkeys" / "default")
    found = failures(checked("--wallet.name", wallet))
    assert set(found) == {"chain"}
    assert words in found["chain"]


def test_a_key_that_everybody_can_read_fails(machine: Path, checked: Check) -> None:
    key = machine / "wallets" / "default" / "hotkeys" / "default"
    key.chmod(0o644)
    assert f"chmod 600 {key}" in failures(checked())["keys"]


def test_a_clock_that_is_wrong_fails(checked: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundsright.adapters.chains.http.HttpChain.clock_offset_s", lambda *_: -60.0)
    found = failures(checked())
    assert set(found) == {"clock"}
    assert "60 s ahead" in found["clock"]


def test_rules_of_another_digest_than_announced_fail(checked: Check) -> None:
    digest = ruleset_by_name("soundsright-v5").digest
    assert failures(checked("--rules-digest", digest.upper())) == {}
    assert "0000" in failures(checked("--rules-digest", "0" * 64))["rules"]


def test_rules_of_served_models_have_a_digest_to_announce() -> None:
    from soundsright.cli.shared.preflight_checks import digests_of

    rules = CompetitionRules(PUBLISHED, ruleset_by_name("soundsright-v5"), tiers=tiers_rules(bank_clips=30))
    assert digests_of(rules)["[tiers]"] == tiers_rules(bank_clips=30).digest
    paid = CompetitionRules(PUBLISHED, rules.ruleset, emission=EmissionRules({"competitions": 0.8, "tiers": 0.2}))
    assert digests_of(paid)["[tiers]"] == tiers_rules().digest
    assert digests_of(paid)["[emission]"] == paid.emission.digest
    assert set(digests_of(CompetitionRules(PUBLISHED, rules.ruleset))) == {""}


def test_a_bucket_named_in_the_file_is_read_and_not_written(machine: Path, checked: Check) -> None:
    (machine / "verdicts").mkdir()
    (machine / "verdicts" / "@bucket").touch()
    (machine / ".env").write_text(f"R2_OWN_BUCKET=verdicts\nR2_ENDPOINT=file://{machine}\n")
    before = content_of(machine)
    assert "verdicts" in checked()["buckets"][1]
    assert content_of(machine) == before


def test_a_redis_that_does_not_answer_fails_without_its_password(
    checked: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("redis")
    monkeypatch.setenv("REDIS_URL", "redis://:planted-secret@127.0.0.1:1/0")
    found = failures(checked())
    assert set(found) == {"counters"}
    assert "planted" not in str(found)


def test_a_database_of_a_newer_program_fails_and_stays_as_it_is(machine: Path, checked: Check) -> None:
    import sqlite3
    from contextlib import closing

    path = machine / "state" / "state.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = content_of(machine)
    assert "Update soundsright" in failures(checked())["database"]
    assert content_of(machine) == before


def test_a_database_that_a_validator_has_open_is_read(machine: Path, checked: Check) -> None:
    state = SqlState(machine / "state" / "state.db")
    state.begin_round("now", {})
    assert failures(checked()) == {}
    state.close()


def test_no_check_waits_longer_than_its_time() -> None:
    release = threading.Event()
    started_s = time.monotonic()
    found = findings(
        {
            "hangs": lambda: str(release.wait(20)),
            "hangs too": lambda: str(release.wait(20)),
            "fine": lambda: "Fine",
        },
        timeout_s=0.3,
    )
    release.set()
    assert time.monotonic() - started_s < 5
    assert [(each.ok, each.late) for each in found] == [(False, True), (False, True), (True, False)]


def test_any_error_of_a_check_is_one_finding() -> None:
    def failing(error: Exception) -> Callable[[], str]:
        def check() -> str:
            raise error

        return check

    found = findings(
        {
            "usage": failing(UsageError("Wrong\nvalue", "Give another.")),
            "fault": failing(StateUnavailable("Away\x1b[2J", "Wait.")),
            "refused": failing(EntryRefused("code", "Refused")),
            "package": failing(ModuleNotFoundError(name="redis")),
            "any": failing(ZeroDivisionError("x")),
        },
        timeout_s=10,
    )
    assert all(not each.ok and each.sentence and each.remedy for each in found)
    assert all(each.sentence.isprintable() and each.remedy.isprintable() for each in found)


def test_a_chain_that_never_answers_ends_the_command_in_time(machine: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = subprocess.run(
            [
                sys.executable,
                "-m",
                "soundsright",
                "preflight",
                "--timeout=1.5",
                f"--subtensor-chain-endpoint={url}",
            ],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.returncode == 1
    late = [line for line in result.stdout.splitlines() if "No answer within 1.5 s" in line]
    assert {line.split()[1] for line in late} >= {"chain", "clock"}
