"""Samples, variables and flags have the same settings. A bad value is one line that names its variable."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from soundsright.cli.shared.settings_options import settings_options
from soundsright.config import (
    ExecutorSettings,
    MinerSettings,
    Settings,
    ValidatorSettings,
    read_env_file,
    read_settings,
)
from soundsright.core.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
KINDS = [(MinerSettings, "miner"), (ValidatorSettings, "validator")]
MODEL = {
    "DENOISING_16000HZ_HF_MODEL_NAMESPACE": "alice",
    "DENOISING_16000HZ_HF_MODEL_NAME": "gate",
    "DENOISING_16000HZ_HF_MODEL_REVISION": "0" * 40,
}
PUBLISHED_MINER = {"NETUID", "SUBTENSOR_CHAIN_ENDPOINT", "WALLET", "HOTKEY", "LOG_LEVEL", "OPENAI_API_KEY"} | {
    "HEALTHCHECK_API_HOST",
    "HEALTHCHECK_API_PORT",
    *MODEL,
}


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_a_sample_has_every_setting_and_no_other(kind: type[Settings], name: str) -> None:
    sample = read_env_file(ROOT / f".{name}-env.sample")
    assert set(sample) == {field.upper() for field in kind.model_fields}


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_a_sample_shows_the_defaults(kind: type[Settings], name: str) -> None:
    from_sample = read_settings(kind, environment={}, env_file=ROOT / f".{name}-env.sample")
    differing = {f for f in kind.model_fields if getattr(from_sample, f) != getattr(kind(), f)}
    assert differing <= {"wallet", "hotkey", "cuda_directory"}


def test_the_executors_sample_has_its_settings_and_shows_the_defaults() -> None:
    sample = ROOT / ".executor-env.sample"
    names = {name.lower() for name in read_env_file(sample)}
    assert set(ExecutorSettings.model_fields) - set(ValidatorSettings.model_fields) <= names
    assert names <= set(ExecutorSettings.model_fields)
    from_sample = read_settings(ExecutorSettings, environment={}, env_file=sample)
    differing = {name for name in names if getattr(from_sample, name) != getattr(ExecutorSettings(), name)}
    assert differing == {"wallet", "hotkey"}
    groups = sample.read_text().strip().split("\n\n")
    assert [group for group in groups if not group.startswith("# ")] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMAGE_REF", "lab/gate:latest"),
        ("SUBNET_API_URL", "coordinator:9001"),
        ("SUBNET_API_URL", "http://coordinator:9001/api"),
        ("SUBNET_API_URL", "http://me:secret@coordinator:9001"),
        ("SUBNET_API_HOTKEY", "5F"),
        ("EXECUTOR_VALIDATORS", "5F3sa2TJAWMqDhXG6jhV4N8ko9SxwGy8TpaNS1repo5EYjQX, me"),
        ("EXECUTOR_BASE_IMAGE", "python:3\nRUN touch x"),
        ("BURN_RATIO", "nan"),
        ("BURN_RATIO", "1.1"),
    ],
)
def test_a_bad_setting_of_the_executor_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} ") as caught:
        read_settings(ExecutorSettings, environment={name: value})
    assert str(caught.value).count(". ") >= 1


def test_the_names_of_the_original_executor_are_read() -> None:
    settings = read_settings(ExecutorSettings, environment={"PORT": "9100", "STATE_FILE": "/srv/executor.db"})
    assert (settings.executor_port, str(settings.executor_database)) == (9100, "/srv/executor.db")
    with pytest.raises(UsageError, match="EXECUTOR_PORT '9000' and PORT '9100' disagree"):
        read_settings(ExecutorSettings, environment={"PORT": "9100", "EXECUTOR_PORT": "9000"})
    # Other services do not read a variable of so common a name.
    assert read_settings(ValidatorSettings, environment={"PORT": "many"}) == ValidatorSettings()


def test_the_executor_is_at_the_address_of_the_coordinator_if_it_has_none_of_its_own() -> None:
    one = {"SUBNET_API_URL": "http://10.0.0.7:9001/"}
    both = one | {"EXECUTOR_API_URL": "http://10.0.0.8:9000"}
    urls = [read_settings(ValidatorSettings, environment=given).executor_url for given in ({}, one, both)]
    assert urls == ["", "http://10.0.0.7:9001", "http://10.0.0.8:9000"]


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_every_group_of_a_sample_begins_with_a_comment(kind: type[Settings], name: str) -> None:
    groups = (ROOT / f".{name}-env.sample").read_text().strip().split("\n\n")
    assert len(groups) > 5
    assert [group for group in groups if not group.startswith("# ")] == []


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_the_page_names_every_setting(kind: type[Settings], name: str) -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    assert [
        f.upper() for f in kind.model_fields if f"`{f.upper()}`" not in page and "HF_MODEL" not in f.upper()
    ] == []


def test_published_settings_are_still_read() -> None:
    assert {field.upper() for field in MinerSettings.model_fields} >= PUBLISHED_MINER
    settings = read_settings(
        ValidatorSettings, environment={"USE_DOCKER": "true", "CUDA_DIRECTORY": "/usr/local/cuda"}
    )
    assert settings.use_docker


@pytest.mark.parametrize(("kind", "_name"), KINDS)
def test_a_setting_is_read_or_says_that_it_is_not(kind: type[Settings], _name: str) -> None:
    code = "".join(path.read_text() for path in sorted((ROOT / "soundsright").rglob("*.py")))
    for name, field in kind.model_fields.items():
        # The code builds the names of a model's three settings.
        is_read = f".{name}" in code or "_hf_model_" in name
        assert is_read != (field.description or "").startswith(("Unused.", "Not read")), name


@pytest.mark.parametrize(("kind", "_name"), KINDS)
def test_a_setting_is_one_flag_and_one_variable(kind: type[Settings], _name: str) -> None:
    command = settings_options(kind)(click.Command("x", callback=lambda **_: None))
    assert isinstance(command, click.Command)
    page = CliRunner().invoke(command, ["--help"], terminal_width=300).output
    for field in kind.model_fields:
        assert f"--{field.replace('_', '-')} " in page
        assert f"env var: {field.upper()}" in page


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("NETUID=1\nHOTKEY=filekey\nWALLET=filewallet\n")
    settings = read_settings(
        MinerSettings, flags={"netuid": "3"}, environment={"NETUID": "2", "HOTKEY": "envkey"}, env_file=env
    )
    assert (settings.netuid, settings.hotkey, settings.wallet) == (3, "envkey", "filewallet")


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("NETUID", "many", "Give a whole number."),
        ("NETUID", "1.5", "Give a whole number."),
        ("NETUID", "-1", "Give 0 or more."),
        ("NETUID", "9" * 5_000, "Give a whole number."),
        ("VALIDATOR_MIN_STAKE", "much", "Give a number."),
        ("VALIDATOR_MIN_STAKE", "inf", "Give a number."),
        ("VALIDATOR_MIN_STAKE", "-1", "Give 0 or more."),
        ("SUBTENSOR_CHAIN_ENDPOINT", "finney", "ws://"),
        ("SUBTENSOR_CHAIN_ENDPOINT", "http://me:secret@host", "without a user"),
        ("HOTKEY", "../../etc/passwd", "name of a wallet"),
        ("LOG_LEVEL", "LOUD", "choose one of"),
        ("HEALTHCHECK_API_PORT", "70000", "Give 65535 or less."),
        ("AXON_EXTERNAL_IP", "my host", "IPv4"),
    ],
)
def test_a_bad_value_names_its_variable_and_the_remedy(variable: str, value: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings(MinerSettings, environment={variable: value})
    assert caught.value.problem.startswith(variable)
    assert remedy.lower() in caught.value.remedy.lower()


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("ROUND_TIME_OF_DAY", "9 o'clock", "Give a time of day in UTC, such as 09:00."),
        ("SOUNDSRIGHT_COMPETITION", "ECHO 16000HZ", "separated by commas, such as DENOISING_16000HZ."),
        ("ROUND_FIRST_DAY", "soon", "Give a day, such as 2025-01-31."),
        ("ROUND_FIRST_DAY", "2025-01-31T12:00", "Give a day, such as 2025-01-31."),
        ("USE_DOCKER", "maybe", "Give true or false."),
        ("DATABASE_HOST", "10.1.2.3", "It is another machine, so set DATABASE_PASSWORD too, or give 127.0.0.1."),
        ("DATABASE_HOST", "0.0.0.0", "set DATABASE_PASSWORD too, or give 127.0.0.1."),
        ("DATABASE_INDEX", "-1", "Give 0 or more."),
        (
            "REDIS_URL",
            "redis://redis.example/1",
            "give redis://:PASSWORD@HOST:PORT/INDEX, rediss:// for TLS, or unix:///SOCKET?db=INDEX.",
        ),
        ("REDIS_URL", "http://127.0.0.1", "rediss:// for TLS, or unix:///SOCKET?db=INDEX."),
        ("REDIS_URL", "redis://127.0.0.1/first", "rediss:// for TLS, or unix:///SOCKET?db=INDEX."),
        ("REDIS_URL", "redis://:p@host:99999/1", "rediss:// for TLS, or unix:///SOCKET?db=INDEX."),
        ("SOUNDSRIGHT_SANDBOX", "jail", "Choose one of 'auto', 'bubblewrap', 'docker' or 'process'."),
    ],
)
def test_a_bad_value_of_a_validator_is_one_plain_sentence(variable: str, value: str, remedy: str) -> None:
    with pytest.raises(UsageError, match=variable) as caught:
        read_settings(ValidatorSettings, environment={variable: value})
    assert caught.value.remedy.endswith(remedy)
    assert not caught.value.remedy.endswith("..")


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, None),
        ({"DATABASE_HOST": "127.0.0.1", "DATABASE_PORT": "6380"}, None),
        ({"DATABASE_PASSWORD": "p"}, "Redis at 127.0.0.1:6379 (database 1)"),
        ({"DATABASE_PASSWORD": "p", "DATABASE_HOST": "10.1.2.3"}, "Redis at 10.1.2.3:6379 (database 1)"),
        ({"REDIS_URL": "redis://127.0.0.1"}, "Redis at 127.0.0.1:6379 (database 1)"),
        ({"REDIS_URL": "rediss://:p%40@host:7000/3"}, "Redis at host:7000 (database 3)"),
        ({"REDIS_URL": "unix:///run/redis.sock?db=2"}, "Redis at /run/redis.sock (database 2)"),
    ],
)
def test_redis_is_used_if_a_setting_names_it(environment: dict[str, str], address: str | None) -> None:
    server = read_settings(ValidatorSettings, environment=environment).redis
    assert (None if server is None else server.title) == address


def test_a_secret_of_redis_is_never_shown() -> None:
    environment = {"REDIS_URL": "redis://:hidden@host/1", "DATABASE_PORT": "7"}
    with pytest.raises(UsageError, match=r"REDIS_URL cannot be used\. Clear either it or DATABASE_PORT") as caught:
        read_settings(ValidatorSettings, environment=environment)
    settings = read_settings(ValidatorSettings, environment={"REDIS_URL": "redis://:hidden@host/1"})
    assert settings.redis is not None
    assert settings.redis.password is not None
    assert settings.redis.password.get_secret_value() == "hidden"
    assert not any("hidden" in text for text in (str(caught.value), repr(settings), repr(settings.redis)))


@pytest.mark.parametrize("line", ["NETUID 105", "=5", "'NETUID=105", 'WALLET="open'])
def test_a_line_that_does_not_parse_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    env = tmp_path / ".env"
    env.write_text(f"# a comment\nHOTKEY=h\n{line}\n")
    with pytest.raises(UsageError, match=r"\.env, line 3"):
        read_env_file(env)


@pytest.mark.parametrize("line", ['WALLET="me', 'WALLET="me\nWALLET="me"', "export HOTKEY='me"])
def test_a_quote_that_is_not_closed_is_named(tmp_path: Path, line: str) -> None:
    env = tmp_path / ".env"
    env.write_text(f"{line}\nNETUID=3\n")
    with pytest.raises(UsageError, match=r"line 1: the quote after '(WALLET|HOTKEY)=' is not closed"):
        read_env_file(env)


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    settings = read_settings(MinerSettings, environment={"OPENAI_API_KEY": "sk-planted", "HF_TOKEN": "hf_planted"})
    assert "planted" not in f"{settings!r} {settings} {settings.model_dump()}"
    env = tmp_path / ".env"
    env.write_text("OPENAI_API_KEY sk-planted\n")
    with pytest.raises(UsageError) as caught:
        read_env_file(env)
    assert "planted" not in str(caught.value)


def test_an_empty_variable_means_the_default() -> None:
    assert read_settings(MinerSettings, environment={"NETUID": "", "HF_TOKEN": ""}).netuid == 105


def test_the_model_is_the_one_that_is_filled_in() -> None:
    competition, model = read_settings(MinerSettings, environment=MODEL).entry()
    assert (competition.id, str(model)) == ("DENOISING_16000HZ", f"alice/gate@{'0' * 40}")


@pytest.mark.parametrize(
    ("change", "variable"),
    [
        ({"DENOISING_16000HZ_HF_MODEL_REVISION": "main"}, "DENOISING_16000HZ_HF_MODEL_REVISION"),
        ({"DENOISING_16000HZ_HF_MODEL_NAME": ""}, "DENOISING_16000HZ_HF_MODEL_NAME"),
        ({"DENOISING_16000HZ_HF_MODEL_NAMESPACE": "a b"}, "DENOISING_16000HZ_HF_MODEL_NAMESPACE"),
        ({key.replace("16000", "48000"): value for key, value in MODEL.items()}, "Two models"),
        (dict.fromkeys(MODEL, ""), "No model"),
    ],
)
def test_a_missing_second_or_incomplete_model_is_refused(change: dict[str, str], variable: str) -> None:
    with pytest.raises(UsageError, match=variable):
        read_settings(MinerSettings, environment=MODEL | change).entry()


def test_a_miner_enters_a_competition_by_the_name_that_the_organiser_gave_it() -> None:
    named = read_settings(MinerSettings, environment=MODEL | {"COMPETITION_NAME": "studio"}).entry()[0]
    assert (named.id, named.sample_rate_hz) == ("studio", 16_000)
    assert read_settings(MinerSettings, environment=MODEL).entry()[0].id == "DENOISING_16000HZ"
    with pytest.raises(UsageError, match="COMPETITION_NAME"):
        read_settings(MinerSettings, environment=MODEL | {"COMPETITION_NAME": "a b"})
