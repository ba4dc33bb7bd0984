"""Tiers beside a validator's rounds: on by a share in the organiser's file, with the verifier's own settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soundsright.cli.shared.tiers_beside import TiersBeside, tiers_beside
from soundsright.config import ValidatorSettings, read_settings
from soundsright.core.errors import UsageError

RULES = """\
[ruleset]
base = "soundsright-v5"

[emission]
competitions = 0.7
tiers = 0.3

[tiers]
timeout_s = 6

[[competition]]
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 90.0
remainder = 10.0
metrics = { PESQ_WB = 1.0 }
"""


def beside(tmp_path: Path, text: str = RULES, *, dry_run: bool = False, **flags: Any) -> TiersBeside:
    (tmp_path / "rules.toml").write_text(text)
    given = {"soundsright_ruleset": str(tmp_path / "rules.toml"), "state_folder": str(tmp_path / "state")}
    (tmp_path / "empty.env").write_text("")
    settings = read_settings(ValidatorSettings, environment={}, flags=given)
    return tiers_beside(settings, given | flags, tmp_path / "empty.env", dry_run=dry_run)


def test_a_share_turns_tiers_on_with_the_settings_of_a_verifier(tmp_path: Path) -> None:
    found = beside(tmp_path, gateway_port="9999", neuron_axon_off="true")
    assert found.organiser is not None
    assert (found.settings.gateway_port, found.settings.neuron_axon_off) == (9_999, True)
    assert found.settings.folder == tmp_path / "state"


def test_without_a_share_there_are_none_and_their_settings_are_not_read(tmp_path: Path) -> None:
    text = RULES.replace("competitions = 0.7\ntiers = 0.3", "competitions = 1.0")
    assert beside(tmp_path, text, neuron_timeout="12").organiser is None


def test_a_dry_run_verifies_nobody(tmp_path: Path) -> None:
    assert beside(tmp_path, dry_run=True).organiser is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"neuron_timeout": "12"}, "NEURON_TIMEOUT is 12"),
        ({"neuron_disable_set_weights": "true"}, "NEURON_DISABLE_SET_WEIGHTS is true"),
        ({"tiers_api_keys": "short"}, "TIERS_API_KEYS"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(tmp_path: Path, flags: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        beside(tmp_path, **flags)
