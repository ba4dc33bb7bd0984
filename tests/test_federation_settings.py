"""The settings of `soundsright federation`: names and defaults of the specification, and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from soundsright.adapters.peers.keys import Hotkey
from soundsright.cli.shared.opening import account_with_log
from soundsright.cli.shared.settings_options import secrets_of
from soundsright.config import (
    PAY_ON_PUBLIC,
    RULES_OF_SETTINGS,
    FederationSettings,
    ValidatorSettings,
    read_env_file,
    read_settings,
)
from soundsright.core.errors import UsageError
from soundsright.services.http import configure_logging

SAMPLE = Path(__file__).resolve().parents[1] / ".federation-env.sample"
ONE, TWO = (Hotkey.of_seed(name).address for name in ("one", "two"))
PUBLISHED = {
    "API_URL": "",
    "ADMIN_HOTKEYS": "",
    "CORS_ORIGINS": "",
    "EPOCH_LEN": 180,
    "SAMPLING_ROTATION_INTERVAL": 100,
    "SAMPLER_FAILOVER_GRACE_BLOCKS": 0,
    "SAMPLER_POLL_INTERVAL": 60,
    "SCORER_TASK_WINDOW": 100,
    "SCORER_SETTLE_MARGIN": 2,
    "SCORER_MAX_LOOKBACK_BLOCKS": 30_000,
    "SCORER_COMPLETENESS_THRESHOLD": 0.8,
    "SCORER_MIN_VALIDATORS": 0.5,
    "DOMINANCE_THRESHOLD": 0.05,
    "MINER_VALIDATION_INTERVAL": 300,
    "MINER_REPORT_STALE_INTERVALS": 3,
    "ALLOWLIST_REFRESH_BLOCKS": 300,
    "AGGREGATION_READ_CONCURRENCY": 16,
    "R2_REGION": "auto",
    "SIGNATURE_EXPIRY_SECONDS": 300,
}


def read(**variables: str) -> FederationSettings:
    return read_settings(FederationSettings, environment=variables)


def entry(hotkey: str = ONE, bucket: str = "one", **changes: object) -> dict[str, object]:
    return {"hotkey": hotkey, "bucket": bucket, "endpoint": "https://s3.example", "uid": 3, **changes}


def peers(*entries: object) -> str:
    return json.dumps(list(entries))


def test_the_published_names_have_the_published_defaults() -> None:
    settings = read()
    assert {name: getattr(settings, name.lower()) for name in PUBLISHED} == PUBLISHED
    assert [settings.peers, settings.admins, settings.origins] == [(), (), ()]


def test_the_sample_has_every_setting_and_shows_the_defaults() -> None:
    names = {name.lower() for name in read_env_file(SAMPLE)}
    own = set(FederationSettings.model_fields) - set(ValidatorSettings.model_fields)
    assert own - set(RULES_OF_SETTINGS) <= names <= set(FederationSettings.model_fields)
    assert all(f"# {name.upper()}=" in SAMPLE.read_text() for name in RULES_OF_SETTINGS if name != PAY_ON_PUBLIC)
    from_sample = read_settings(FederationSettings, environment={}, env_file=SAMPLE)
    differing = {name for name in names if getattr(from_sample, name) != getattr(FederationSettings(), name)}
    assert differing == {"wallet", "hotkey"}
    groups = SAMPLE.read_text().strip().split("\n\n")
    assert [group for group in groups if not group.startswith("# ")] == []


def test_the_page_names_every_setting() -> None:
    page = (SAMPLE.parent / "docs" / "reference" / "settings.md").read_text()
    assert [name for name in FederationSettings.model_fields if f"`{name.upper()}`" not in page] == []


def test_only_settings_that_are_given_can_contradict_the_organisers_file() -> None:
    assert read().given_rules == {}
    assert read(EPOCH_LEN="180", DOMINANCE_THRESHOLD="0.1").given_rules == {"epoch_blocks": 180, "dominance": 0.1}


def test_the_peers_keys_are_shown_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    keys = {"read_access_key": "AKIDPEER", "read_secret_key": "s3cr3t-of-peer"}
    settings = read(PEER_VALIDATORS=peers(entry(**keys), entry(TWO, "two")))
    assert [peer.bucket for peer in settings.peers] == ["one", "two"]
    assert settings.peers[0].read_secret_key is not None
    undo = configure_logging("INFO", secrets=secrets_of(settings))
    try:
        logging.getLogger("soundsright").warning("%s s3cr3t-of-peer AKIDPEER", settings.peers[0])
    finally:
        undo()
    logged = capsys.readouterr().err
    assert "two" not in logged
    assert "s3cr3t" not in logged + repr(settings) + repr(settings.peers)
    assert "AKIDPEER" not in logged + repr(settings) + repr(settings.peers)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("{}", "Give a JSON list of at most 256 validators"),
        ("[1]", "Entry 1: it:"),
        ("not json", "Give a JSON list of validators; it is no JSON"),
        ('[{"hotkey": "a", "hotkey": "b"}]', "Give a JSON list of validators; it is no JSON"),
        (peers(entry("5F")), "Entry 1: give the SS58 address of a hotkey"),
        (peers({"hotkey": ONE}), "Entry 1: bucket:"),
        (peers(entry(), entry(TWO, secret="x")), "Entry 2: secret:"),
        (peers(entry(uid="3")), "Entry 1: uid:"),
        (peers(entry(uid=True)), "Entry 1: uid:"),
        (peers(entry(read_access_key="AKID")), "Entry 1: give read_access_key and read_secret_key, or neither"),
        (peers(entry(), entry(bucket="two")), "Entries 1 and 2 have the same hotkey"),
        (peers(entry(), entry(TWO, endpoint="https://s3.example/")), "Entries 1 and 2 have the same bucket"),
        (peers(*[entry()] * 257), "Give a JSON list of at most 256"),
        (" " * 300_000 + "[]x", "Give a JSON list"),
    ],
)
def test_peers_that_are_no_list_of_validators_are_refused_and_not_shown(given: str, reason: str) -> None:
    with pytest.raises(UsageError, match=r"^PEER_VALIDATORS cannot be used\. ") as caught:
        read(PEER_VALIDATORS=given)
    assert reason in str(caught.value)
    assert "s3.example" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAMPLING_ROTATION_INTERVAL", "0"),
        ("EPOCH_LEN", "0"),
        ("SAMPLER_FAILOVER_GRACE_BLOCKS", "-1"),
        ("SCORER_COMPLETENESS_THRESHOLD", "1.1"),
        ("DOMINANCE_THRESHOLD", "nan"),
        ("SAMPLER_POLL_INTERVAL", "inf"),
        ("AGGREGATION_READ_CONCURRENCY", "0"),
        ("API_URL", "http://me:secret@api.example"),
        ("ADMIN_HOTKEYS", "5F"),
        ("CORS_ORIGINS", "https://ranks.example/page"),
        ("LEOMA_ENV", "prod"),
    ],
)
def test_a_bad_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} ") as caught:
        read(**{name: value})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://leoma:leoma@db/leoma"),
        ("DATABASE_URL", "postgresql://leoma@db/leoma"),
        ("DATABASE_URL", "postgresql://leoma:Postgres@db/leoma"),
        ("REDIS_URL", "redis://:changeme@10.0.0.5/1"),
        ("DATABASE_PASSWORD", "Soundsright"),
    ],
)
def test_production_has_no_default_password(name: str, value: str) -> None:
    read(**{name: value})
    with pytest.raises(
        UsageError, match=f"^LEOMA_ENV 'production' cannot be used. {name} (has|is) a default"
    ) as caught:
        read(LEOMA_ENV="production", **{name: value})
    assert value not in str(caught.value)
    assert read(LEOMA_ENV="production", DATABASE_URL="sqlite:///api.db").is_production
    assert read(LEOMA_ENV="production", DATABASE_URL="postgresql://leoma:vJ7q-long@db/leoma").is_production


@pytest.mark.parametrize("environment", ["development", "production"])
def test_the_log_of_production_has_no_traces(
    environment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Hotkey.of_seed("one").write(tmp_path / "default" / "hotkeys" / "default")
    settings = read(LEOMA_ENV=environment, WALLET_PATH=str(tmp_path))
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    account_with_log(settings)
    try:
        raise ValueError("a detail of the program")
    except ValueError:
        logging.getLogger("soundsright").exception("a tick failed")
    logged = capsys.readouterr().err
    assert "a tick failed" in logged
    assert "ValueError" in logged
    assert ("Traceback" in logged) == (environment == "development")
    assert ("a detail of the program" in logged) == (environment == "development")
