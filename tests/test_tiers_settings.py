"""The settings of `soundsright tiers`: names and defaults of the specification, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.cli.commands.tiers import prove, verify
from soundsright.config import RULES_OF_TIER_SETTINGS, TiersSettings, flag_aliases, read_env_file, read_settings
from soundsright.core.errors import UsageError
from soundsright.core.tiers_rules import tiers_rules

KEY = "listener-key-of-the-university"
PUBLISHED = {
    "NEURON_SAMPLE_SIZE": 10,
    "NEURON_TIMEOUT": 12.0,
    "NEURON_MOVING_AVERAGE_ALPHA": 0.05,
    "NEURON_COMPUTE_STATS_INTERVAL": 360,
    "NEURON_DISABLE_SET_WEIGHTS": False,
    "NEURON_AXON_OFF": False,
    "NEURON_VPERMIT_TAO_LIMIT": 4_096.0,
    "PROVER_MODEL_ENDPOINT": "",
    "DATABASE_HOST": "127.0.0.1",
    "DATABASE_PORT": 6_379,
    "DATABASE_INDEX": 1,
    "DATABASE_PASSWORD": None,
    "BLACKLIST_FORCE_VERIFIER_PERMIT": True,
    "BLACKLIST_ALLOW_NON_REGISTERED": False,
    "PROVER_PORT": 8091,
    "PROVER_SLOTS": 1,
    "PROVER_MAX_AUDIO_S": 30.0,
    "GATEWAY_PORT": 8092,
}


def read(**variables: str) -> TiersSettings:
    return read_settings(TiersSettings, environment=variables)


def test_names_and_defaults_are_those_of_the_specification() -> None:
    settings = read()
    assert {name: getattr(settings, name.lower()) for name in PUBLISHED} == PUBLISHED


def test_a_default_is_the_rules_default() -> None:
    settings, rules = read(), tiers_rules()
    for name, key in RULES_OF_TIER_SETTINGS.items():
        assert getattr(settings, name) == getattr(rules, key)


def test_only_given_values_change_rules() -> None:
    assert read().given_tier_rules == {}
    assert read(NEURON_TIMEOUT="5").given_tier_rules == {"timeout_s": 5.0}


def test_the_names_of_the_seed_are_understood() -> None:
    assert read(NEURON_TGI_ENDPOINT="http://127.0.0.1:9000").prover_model_endpoint == "http://127.0.0.1:9000"
    flags = flag_aliases(TiersSettings)
    assert flags["--neuron.sample_size"] == "neuron_sample_size"
    assert flags["--neuron.tgi_endpoint"] == "prover_model_endpoint"
    assert flags["--blacklist.force_verifier_permit"] == "blacklist_force_verifier_permit"
    assert flags["--database.host"] == "database_host"


def test_two_names_of_one_setting_must_agree() -> None:
    with pytest.raises(UsageError, match=r"PROVER_MODEL_ENDPOINT .* and NEURON_TGI_ENDPOINT .* disagree"):
        read(NEURON_TGI_ENDPOINT="http://127.0.0.1:9000", PROVER_MODEL_ENDPOINT="http://127.0.0.1:9001")


def test_listeners_keys_are_a_list() -> None:
    assert read(TIERS_API_KEYS=f"{KEY}, {KEY}-2").listener_keys == (KEY, f"{KEY}-2")
    assert read().listener_keys == ()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"TIERS_API_KEYS": "short"}, "Key 1 is not of 16 to 128"),
        ({"TIERS_API_KEYS": f"{KEY},{KEY}"}, "given twice"),
        ({"NEURON_SAMPLE_SIZE": "0"}, "NEURON_SAMPLE_SIZE"),
        ({"NEURON_TIMEOUT": "nan"}, "NEURON_TIMEOUT"),
        ({"PROVER_SLOTS": "1e9"}, "PROVER_SLOTS"),
        ({"PROVER_MODEL_ENDPOINT": "ftp://host"}, "http://"),
        ({"DATABASE_HOST": "10.0.0.5"}, "DATABASE_PASSWORD"),
    ],
)
def test_a_wrong_value_is_told_with_its_name(variables: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(**variables)


def test_no_message_shows_a_key() -> None:
    with pytest.raises(UsageError) as caught:
        read(TIERS_API_KEYS=f"{KEY},{KEY}")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "settings", "left_out"),
    [("prover", prove.SETTINGS, set()), ("verifier", verify.SETTINGS, set(RULES_OF_TIER_SETTINGS))],
)
def test_a_sample_has_every_setting_and_shows_the_defaults(
    name: str, settings: tuple[str, ...], left_out: set[str]
) -> None:
    path = Path(__file__).resolve().parents[1] / f".{name}-env.sample"
    text = path.read_text()
    names = {each.lower() for each in read_env_file(path)}
    assert names == set(settings) - left_out
    assert [each for each in left_out if f"\n# {each.upper()}=" not in text] == []
    from_sample = read_settings(TiersSettings, environment={}, env_file=path)
    differing = {each for each in names if getattr(from_sample, each) != getattr(TiersSettings(), each)}
    assert differing == {"wallet", "hotkey"}
    assert [group for group in text.strip().split("\n\n") if not group.startswith("# ")] == []
