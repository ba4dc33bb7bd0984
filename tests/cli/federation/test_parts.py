"""A federation's settings against the organiser's file, and the places of its validators."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from soundsright.adapters.peers.keys import Hotkey
from soundsright.cli.shared import federation_parts
from soundsright.cli.shared.federation_parts import agreed_rules, own_bucket, peer_buckets, peer_places
from soundsright.config import RULES_OF_SETTINGS, FederationSettings, read_settings
from soundsright.core.errors import UsageError
from soundsright.core.federation_rules import FederationRules

ONE, TWO = (Hotkey.of_seed(name).address for name in ("one", "two"))
RULES = """\
[ruleset]
base = "soundsright-v5"

[emission]
competitions = 0.0
federation = 1.0

[federation]
interval_blocks = 50
dominance = 0.1

[[competition]]
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 90.0
remainder = 10.0
metrics = { PESQ_WB = 0.6, ESTOI = 0.4 }
"""


def read(**variables: str) -> FederationSettings:
    return read_settings(FederationSettings, environment=variables)


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return str(path)


def peers(*entries: tuple[str, str, str]) -> str:
    return json.dumps([{"hotkey": hotkey, "bucket": bucket, "endpoint": at} for hotkey, bucket, at in entries])


def test_the_organisers_file_decides(rules: str) -> None:
    agreed = agreed_rules(read(SOUNDSRIGHT_RULESET=rules))
    assert (agreed.rules.interval_blocks, agreed.rules.dominance) == (50, 0.1)
    assert [each.id for each in agreed.competitions] == list(agreed.rules.competitions)
    assert len(agreed.rules_digest) == 64
    same = agreed_rules(read(SOUNDSRIGHT_RULESET=rules, SAMPLING_ROTATION_INTERVAL="50", DOMINANCE_THRESHOLD="0.1"))
    assert same.rules_digest == agreed.rules_digest


def test_a_setting_that_contradicts_the_file_is_named_with_what_it_contradicts(rules: str) -> None:
    defaults = FederationRules(interval_blocks=50, dominance=0.1)
    for name, key in RULES_OF_SETTINGS.items():
        value = getattr(defaults, key)
        other = "true" if value is False else value / 2 if isinstance(value, float) else value + 2
        with pytest.raises(UsageError) as caught:
            agreed_rules(read(SOUNDSRIGHT_RULESET=rules, **{name.upper(): str(other)}))
        assert f"{name.upper()} is {other}, and {key} in [federation] of {rules} is " in str(caught.value)


def test_without_a_table_the_settings_change_the_default_rules() -> None:
    assert agreed_rules(read()).rules.window_tasks == FederationRules().window_tasks
    assert agreed_rules(read(SCORER_TASK_WINDOW="20")).rules.window_tasks == 20


def test_beside_rounds_the_variable_for_public_recordings_is_that_of_the_rounds(
    rules: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(rules)
    path.write_text(RULES.replace("0.0\nfederation = 1.0", "0.5\nfederation = 0.5"))
    federation_parts._say_for_rounds.cache_clear()
    with caplog.at_level(logging.WARNING, logger="soundsright"):
        for settings in (
            read(SOUNDSRIGHT_RULESET=rules, SOUNDSRIGHT_PAY_ON_PUBLIC_CORPUS="true"),
            read(SOUNDSRIGHT_PAY_ON_PUBLIC_CORPUS="true"),
        ):
            assert not agreed_rules(settings).rules.pay_on_public
    assert "SOUNDSRIGHT_PAY_ON_PUBLIC_CORPUS counts for rounds only" in caplog.text


def test_settings_without_a_use_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    federation_parts._say_unused.cache_clear()
    with caplog.at_level(logging.WARNING, logger="soundsright"):
        for _ in range(2):
            agreed_rules(
                read(GEMINI_API_KEY="AIza-secret", CHUTES_API_KEY="cpk-secret", ALLOWLIST_REFRESH_BLOCKS="9")
            )
    said = [record.getMessage() for record in caplog.records if "is not used" in record.getMessage()]
    assert [line.split()[0] for line in said] == ["GEMINI_API_KEY", "CHUTES_API_KEY", "ALLOWLIST_REFRESH_BLOCKS"]
    assert "secret" not in " ".join(said)


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({}, "PEER_VALIDATORS is empty"),
        ({"PEER_VALIDATORS": peers((TWO, "two", ""))}, f"PEER_VALIDATORS has no entry for this hotkey, {ONE}"),
        (
            {"PEER_VALIDATORS": peers((ONE, "one", "file:///srv")), "R2_OWN_BUCKET": "mine"},
            "PEER_VALIDATORS gives this hotkey the bucket 'one', and R2_OWN_BUCKET is 'mine'",
        ),
        (
            {"PEER_VALIDATORS": peers((ONE, "one", "file:///srv"), (TWO, "two", "ftp://x"))},
            f"PEER_VALIDATORS, entry of {TWO}: The endpoint of a bucket is not a plain address",
        ),
        (
            {"PEER_VALIDATORS": peers((ONE, "one", "file:///srv"), (TWO, "two", ""))},
            f"PEER_VALIDATORS, entry of {TWO}: The bucket two has neither endpoint nor region",
        ),
    ],
)
def test_places_that_cannot_be_used_are_refused(variables: dict[str, str], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        peer_places(read(**variables), ONE)
    assert str(caught.value).startswith(problem)


def test_the_buckets_of_all_validators_are_opened(tmp_path: Path) -> None:
    settings = read(
        PEER_VALIDATORS=peers((ONE, "one", f"file://{tmp_path}"), (TWO, "two", "http://127.0.0.1:9")),
        R2_ENDPOINT=f"file://{tmp_path}",
        R2_OWN_BUCKET="one",
    )
    assert list(peer_places(settings, ONE)) == [ONE, TWO]
    assert set(peer_buckets(settings)) == {ONE, TWO}
    own_bucket(settings)
