"""Settings have other names, which other subnets use. A name and its alias must agree."""

from __future__ import annotations

import logging
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from soundsright.cli.main import run
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import MinerSettings, Settings, ValidatorSettings, aliases, read_settings
from soundsright.core.errors import UsageError


@pytest.fixture(autouse=True)
def _untold() -> None:
    aliases._tell.cache_clear()


def from_flags(*arguments: str, kind: type[Settings] = ValidatorSettings) -> Settings:
    """The settings that a command gets from these arguments alone."""
    found: list[Settings] = []
    command = settings_options(kind)(
        click.Command("x", callback=lambda **flags: found.append(settings_from(kind, flags, None)))
    )
    assert isinstance(command, click.Command)
    result = CliRunner().invoke(command, arguments, catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return found[0]


@pytest.fixture
def _empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("WALLET", "HOTKEY", "WALLET_NAME", "HOTKEY_NAME", "NETWORK", "DATABASE_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_variables_of_other_subnets_are_read(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("WALLET_NAME=lab\nNETWORK=test\n")
    settings = read_settings(MinerSettings, environment={"HOTKEY_NAME": "first"}, env_file=env)
    assert (settings.wallet, settings.hotkey) == ("lab", "first")
    assert settings.subtensor_chain_endpoint == "wss://test.finney.opentensor.ai:443"


@pytest.mark.usefixtures("_empty_place")
def test_flags_of_other_subnets_are_read() -> None:
    settings = from_flags(
        "--wallet.name=lab",
        "--wallet.hotkey=first",
        "--subtensor.network=local",
        "--database.host=127.0.0.1",
        "--database.port=6400",
        "--database.index=3",
        "--database.password=planted",
        "--neuron.epoch_length=99",
    )
    assert isinstance(settings, ValidatorSettings)
    assert (settings.wallet, settings.hotkey) == ("lab", "first")
    assert settings.subtensor_chain_endpoint == "ws://127.0.0.1:9944"
    assert settings.redis is not None
    assert (settings.redis.port, settings.redis.index) == (6400, 3)
    assert settings.weights_every_blocks == 99
    assert from_flags("--subtensor.chain_endpoint=ws://10.0.0.1:9944").subtensor_chain_endpoint.endswith("0.1:9944")


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"WALLET": "one", "WALLET_NAME": "two"}, ("WALLET 'one'", "WALLET_NAME 'two'")),
        ({"HOTKEY": "one", "HOTKEY_NAME": "two"}, ("HOTKEY 'one'", "HOTKEY_NAME 'two'")),
        (
            {"SUBTENSOR_CHAIN_ENDPOINT": "ws://127.0.0.1:9944", "NETWORK": "finney"},
            ("SUBTENSOR_CHAIN_ENDPOINT 'ws://127.0.0.1:9944'", "NETWORK 'finney'"),
        ),
    ],
)
def test_a_name_and_its_alias_that_disagree_are_both_named(
    environment: dict[str, str], shown: tuple[str, str]
) -> None:
    with pytest.raises(UsageError, match="disagree") as caught:
        read_settings(Settings, environment=environment)
    assert all(part in caught.value.problem for part in shown)


@pytest.mark.usefixtures("_empty_place")
@pytest.mark.parametrize(
    ("arguments", "environment", "shown"),
    [
        (["--wallet", "one", "--wallet.name", "two"], {}, ("WALLET 'one'", "--wallet.name 'two'")),
        (["--wallet.name", "one"], {"WALLET": "two"}, ("WALLET 'two'", "--wallet.name 'one'")),
        (["--wallet.name", "one"], {"WALLET_NAME": "two"}, ("WALLET_NAME 'two'", "--wallet.name 'one'")),
        (
            ["--subtensor.network=test", "--subtensor.chain_endpoint=ws://127.0.0.1:1"],
            {},
            ("--subtensor.network", "--subtensor.chain_endpoint"),
        ),
    ],
)
def test_flags_and_variables_that_disagree_end_a_command(
    arguments: list[str],
    environment: dict[str, str],
    shown: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    from soundsright.cli.main import cli

    assert run(cli, ["validator", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(part in lines[-1] for part in shown)


def test_a_disagreement_shows_no_secret() -> None:
    with pytest.raises(UsageError) as caught:
        read_settings(
            ValidatorSettings,
            flags={"alias_database_password": "planted-one"},
            environment={"DATABASE_PASSWORD": "planted-two"},
        )
    assert "planted" not in str(caught.value)
    assert all(name in caught.value.problem for name in ("DATABASE_PASSWORD", "--database.password"))


def test_a_name_and_its_alias_may_agree() -> None:
    settings = read_settings(
        Settings,
        environment={
            "WALLET": "lab",
            "WALLET_NAME": " lab ",
            "NETWORK": "finney",
            "SUBTENSOR_CHAIN_ENDPOINT": "wss://entrypoint-finney.opentensor.ai:443/",
        },
    )
    assert settings.wallet == "lab"


def test_an_empty_alias_is_not_set() -> None:
    assert read_settings(Settings, environment={"WALLET_NAME": " ", "WALLET": "lab"}).wallet == "lab"


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(UsageError, match="NETWORK 'fin") as caught:
        read_settings(Settings, environment={"NETWORK": "fin\x1bney"})
    assert "\x1b" not in str(caught.value)
    assert "finney, test, local" in caught.value.remedy
    assert read_settings(Settings, environment={"NETWORK": "ws://10.0.0.1:9944"}).is_bittensor


def test_a_value_given_by_an_alias_is_checked_like_any_other() -> None:
    with pytest.raises(UsageError, match="WALLET"):
        read_settings(Settings, environment={"WALLET_NAME": "../../etc"})


def test_an_alias_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            read_settings(Settings, environment={"WALLET_NAME": "lab", "HOTKEY": "first"})
    assert [record.getMessage() for record in caplog.records] == ["WALLET_NAME is read as WALLET"]


@pytest.mark.usefixtures("_empty_place")
def test_an_alias_in_a_file_is_not_taken_for_a_misspelling(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".env").write_text("WALLET_NAME=lab\nHOTKEY_NAME=first\nNETWORK=finney\n")
    assert settings_from(Settings, {}, None).wallet == "lab"
    assert "Did you mean" not in capsys.readouterr().err


@pytest.mark.usefixtures("_empty_place")
def test_an_unknown_flag_with_a_dot_is_still_refused() -> None:
    with pytest.raises(click.NoSuchOption):
        from_flags("--neuron.colour=red")
    with pytest.raises(click.NoSuchOption):
        from_flags("--database.port=1", kind=MinerSettings)
