"""An executor's database on PostgreSQL: `--results` reads it, and its password is shown nowhere."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from soundsright.adapters.machine import SystemClock
from soundsright.adapters.peers import new_hotkey
from soundsright.adapters.state import SqlRecords, SqlState
from soundsright.cli.commands.executor import command
from soundsright.cli.main import run
from soundsright.cli.shared.settings_options import secrets_of
from soundsright.config import ExecutorSettings, read_settings
from soundsright.core.errors import UsageError
from soundsright.core.url_passwords import passwords_in, without_passwords
from soundsright.services.executor import ExecutorStore, executor_steps
from soundsright.services.http import configure_logging
from soundsright.services.records import EXECUTOR_RESULTS, sign_document
from tests.adapters.state import postgres
from tests.services.records.executor_rows import results_facts, usual_rows

SECRET = "geheim/77@x"
WRITTEN = "geheim%2F77%40x"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres.server_or_skip() as url:
        yield url


def of_database(server: str, name: str) -> str:
    """The address of a new, empty database."""
    admin = create_engine(make_url(server).set(drivername="postgresql+pg8000"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def test_results_are_read_from_a_postgresql_database(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    address = of_database(server, "published")
    with closing(SqlState(address, scope="executor")) as state:
        store = ExecutorStore(state, SqlRecords.beside(state), SystemClock())
        state.begin_round("7", {})
        envelope = sign_document(EXECUTOR_RESULTS, results_facts(7), new_hotkey())
        store.publish("7", executor_steps.PublishedStep(usual_rows(), (), envelope))
    for name in ("scores", "status"):
        assert run(command, [name, "--results", address]) == 0
        assert "7" in capsys.readouterr().out
    for shortened in ("5B", "5B…"):
        assert run(command, ["explain", shortened, "--results", address]) == 0
        assert "in round 7" in capsys.readouterr().out


def test_an_address_of_another_kind_is_not_taken_for_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, ["scores", "--results", "ftp://me:secret@host/results"]) == 2
    refusal = capsys.readouterr().err
    assert "is no address that an executor has. Give a path, or an address that begins with http://" in refusal
    assert "secret" not in refusal


def test_an_empty_database_gets_no_tables_from_a_reader(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    address = of_database(server, "empty")
    assert run(command, ["scores", "--results", address]) == 2
    assert "is no database of an executor" in capsys.readouterr().err
    engine = create_engine(make_url(address).set(drivername="postgresql+pg8000"))
    assert inspect(engine).get_table_names() == []
    engine.dispose()


@pytest.mark.parametrize("name", ["EXECUTOR_STATE", "SOUNDSRIGHT_HUB", "REDIS_URL"])
def test_a_password_in_any_setting_is_a_secret_of_the_log(name: str) -> None:
    scheme = "redis" if name == "REDIS_URL" else "postgresql"
    address = f"{scheme}://me:{WRITTEN}@db.example/0"
    settings = read_settings(ExecutorSettings, environment={name: address})
    assert {SECRET, WRITTEN} <= set(secrets_of(settings))
    stream = io.StringIO()
    undo = configure_logging("INFO", secrets=secrets_of(settings), stream=stream)
    try:
        logging.getLogger("soundsright.test").warning("%s and %s", address, SECRET, extra={"url": address})
    finally:
        undo()
    assert stream.getvalue().count("***") >= 3
    assert "geheim" not in stream.getvalue()


def test_the_log_hides_the_password_of_an_address_that_is_in_no_setting() -> None:
    stream = io.StringIO()
    undo = configure_logging("INFO", stream=stream)
    try:
        logging.getLogger("soundsright.test").warning("postgresql://me:%s@db.example/sr is away", WRITTEN)
    finally:
        undo()
    assert "postgresql://me:***@db.example/sr is away" in stream.getvalue()


@pytest.mark.parametrize("name", ["SUBNET_API_URL", "SUBTENSOR_CHAIN_ENDPOINT", "HF_ENDPOINT", "DRAND_RELAYS"])
def test_a_refused_setting_is_shown_without_its_password(name: str) -> None:
    long = "ftp://" + "m" * 40 + f":{WRITTEN}@h"
    for address in (long, f"ws5://me:{WRITTEN}@h/x", f"https://me:{WRITTEN}@h/x"):
        with pytest.raises(UsageError) as caught:
            read_settings(ExecutorSettings, environment={name: address})
        assert "geheim" not in str(caught.value)
        assert name in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "https://reg.example:5000/lab/gate@sha256:00",
        "http://127.0.0.1:9000",
        "postgresql://me@host:5432/sr",
        "give redis://:PASSWORD@HOST:PORT/INDEX",
        "C:/folder/a:b",
    ],
)
def test_an_address_without_a_password_stays(address: str) -> None:
    assert without_passwords(address) == address
    assert passwords_in(address) == ()
