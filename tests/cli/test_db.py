"""`soundsright db` checks, copies and upgrades a database, and never creates one."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from soundsright.adapters.state.redis_counters import RedisCounters
from soundsright.adapters.state.store import SqlState
from soundsright.cli.main import cli, run
from soundsright.core.errors import StateUnavailable, UsageError
from tests.adapters.state import redis_program


@pytest.fixture
def url(tmp_path: Path) -> str:
    state = SqlState(tmp_path / "state.db")
    state.begin_round("r1", {})
    state.close()
    return str(tmp_path / "state.db")


def db(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["db", *map(str, arguments)])


def test_check_counts_rows(url: str) -> None:
    output = db("check", "--state", url).output
    assert "rounds                   1" in output
    assert "sound" in output


@redis_program.needs_redis
def test_check_counts_the_scopes_in_redis(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redis", reason="Redis needs soundsright[redis]")
    with redis_program.server() as server:
        counters = RedisCounters(server.address)
        counters.add("5F", {"attempts": 1})
        counters.close()
        monkeypatch.setenv("REDIS_URL", server.url)
        output = db("check", "--state", url).output
        assert f"{server.address.title} is sound. Scopes with counters: 1." in output
    error = db("check", "--state", url).exception
    assert isinstance(error, StateUnavailable)
    assert redis_program.PASSWORD not in str(error)


@redis_program.needs_redis
def test_check_reads_an_organisers_counters_and_changes_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    redis = pytest.importorskip("redis", reason="Redis needs soundsright[redis]")
    with redis_program.server() as server:
        client = redis.Redis.from_url(server.url)
        monkeypatch.setenv("REDIS_URL", server.url)
        assert "Scopes with counters: 0." in db("check", "--state", url).output
        assert client.keys("*") == []
        counters = RedisCounters(server.address, scope="org")
        counters.add("5F", {"attempts": 1})
        counters.close()
        before = sorted(client.keys("*"))
        assert "Scopes with counters: 1." in db("check", "--state", url, "--organiser", "org").output
        assert sorted(client.keys("*")) == before
        client.close()


def test_no_verdict_is_given_before_everything_is_checked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1:9/0")
    result = db("check", "--state", url)
    assert isinstance(result.exception, StateUnavailable)
    assert "sound" not in result.output
    monkeypatch.setenv("PORT", "none")
    assert "sound" not in db("check", "--state", url).output


def test_check_refuses_a_redis_that_is_open_to_everyone(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_HOST", "0.0.0.0")
    assert run(cli, ["db", "check", "--state", url]) == 2
    assert "DATABASE_HOST '0.0.0.0' cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["environment", "file", "flag"])
def test_the_database_is_that_of_the_state_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.chdir(tmp_path / ".")
    monkeypatch.delenv("STATE_URL", raising=False)
    state = tmp_path / "validator"
    state.mkdir()
    Path(url).rename(state / "state.db")
    if where == "environment":
        monkeypatch.setenv("STATE_FOLDER", str(state))
    elif where == "file":
        monkeypatch.delenv("STATE_FOLDER", raising=False)
        (tmp_path / ".env").write_text(f"STATE_FOLDER={state}\n")
    else:
        monkeypatch.setenv("STATE_FOLDER", "elsewhere")
    arguments = ["--state", state / "state.db"] if where == "flag" else []
    assert "rounds                   1" in db("check", *arguments).output


def test_without_a_state_folder_the_database_is_here(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("STATE_URL", "STATE_FOLDER"):
        monkeypatch.delenv(name, raising=False)
    assert "rounds                   1" in db("check").output


def test_an_empty_file_is_not_called_sound(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    error = db("check", "--state", tmp_path / "empty.db").exception
    assert isinstance(error, UsageError)
    assert "empty.db has no state yet" in str(error)


def test_backup_writes_a_copy_that_passes_the_check(url: str, tmp_path: Path) -> None:
    assert db("backup", "--state", url, tmp_path / "copy.db").exit_code == 0
    assert db("check", "--state", tmp_path / "copy.db").exit_code == 0


def test_upgrade_of_a_current_database_says_so(url: str) -> None:
    assert "nothing to do" in db("upgrade", "--state", url).output


@pytest.mark.parametrize("arguments", [["check"], ["upgrade"], ["backup", "copy.db"]])
def test_a_missing_database_is_not_created(tmp_path: Path, arguments: list[str]) -> None:
    missing = tmp_path / "missing.db"
    error = db(*arguments, "--state", missing).exception
    assert isinstance(error, UsageError)
    assert str(missing) in str(error)
    assert not missing.exists()


def test_a_file_that_is_not_a_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough")
    for arguments in (["check"], ["upgrade"], ["backup", tmp_path / "copy.db"]):
        error = db(*arguments, "--state", path).exception
        assert isinstance(error, UsageError)
        assert "not a SQLite database" in str(error)
    assert path.read_text() == "not a database, but long enough"
