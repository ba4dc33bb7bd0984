"""`soundsright tiers redis-password`: a new password, printed or set in a file that only its owner can read."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from soundsright.cli.commands.tiers.redis_password import command
from soundsright.cli.main import run
from soundsright.config import TiersSettings, read_env_file, read_settings


def test_each_printed_password_is_new_and_long(capsys: pytest.CaptureFixture[str]) -> None:
    assert [run(command, []) for _ in range(2)] == [0, 0]
    first, second = capsys.readouterr().out.split()
    assert first != second
    assert min(len(first), len(second)) >= 43


@pytest.mark.parametrize(
    ("before", "others"),
    [
        (None, {}),
        ("NETUID=1\nDATABASE_PASSWORD=\nDATABASE_HOST=redis", {"NETUID": "1", "DATABASE_HOST": "redis"}),
        ("# A comment\nNETUID=1", {"NETUID": "1"}),
        ("DATABASE_PASSWORD=\nDATABASE_PASSWORD=''\n", {}),
    ],
)
def test_a_file_gets_the_password_and_keeps_its_other_lines(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    before: str | None,
    others: dict[str, str],
) -> None:
    path = tmp_path / ".env"
    if before is not None:
        path.write_text(before)
        path.chmod(0o644)
    with caplog.at_level(logging.DEBUG):
        assert run(command, ["--write", str(path)]) == 0
    values = read_env_file(path)
    password = values.pop("DATABASE_PASSWORD")
    assert len(password) >= 43
    assert values == others
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    printed = capsys.readouterr()
    assert password not in printed.out + printed.err + caplog.text
    server = read_settings(TiersSettings, environment={}, env_file=path).redis
    assert server is not None
    assert server.password is not None
    assert server.password.get_secret_value() == password
    assert [each.name for each in tmp_path.iterdir()] == [".env"]


def test_a_password_is_replaced_only_by_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / ".env"
    path.write_text("DATABASE_PASSWORD=the-old-password\n")
    assert run(command, ["--write", str(path)]) == 2
    assert "already has a DATABASE_PASSWORD. Add --force" in capsys.readouterr().err
    assert path.read_text() == "DATABASE_PASSWORD=the-old-password\n"
    assert run(command, ["--write", str(path), "--force"]) == 0
    assert "the-old-password" not in path.read_text()


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (b"REDIS_URL=redis://:secret@10.0.0.1:6379/1\n", [], "sets REDIS_URL"),
        (b"not a setting\n", [], "line 1"),
        (b"\xff\xfe\x00", [], "not a text file"),
        (b'DATABASE_PASSWORD="two\nlines"\n', ["--force"], "has several lines"),
    ],
)
def test_a_file_that_cannot_be_used_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, arguments: list[str], words: str
) -> None:
    path = tmp_path / ".env"
    path.write_bytes(content)
    assert run(command, ["--write", str(path), *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert "secret@" not in error
    assert path.read_bytes() == content


@pytest.mark.parametrize("arguments", [["--force"], ["--write", "missing/.env"], ["--write", "."]])
def test_wrong_use_ends_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(command, arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
