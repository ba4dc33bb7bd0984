"""Which competitions a validator judges."""

from __future__ import annotations

import pytest

from soundsright.cli.commands.validator import _judged
from soundsright.config import ValidatorSettings, read_settings
from soundsright.core.competition import PUBLISHED, Competition, Task
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.errors import UsageError
from soundsright.core.rulesets import SOUNDSRIGHT_V3

STUDIO, STREET = (Competition(Task.DENOISING, 16_000, {"ESTOI": 1.0}, 10.0, 3.0, n) for n in ("studio", "street"))
NAMED = CompetitionRules((STUDIO, STREET), SOUNDSRIGHT_V3)


def judged(names: str, rules: CompetitionRules) -> list[str]:
    settings = read_settings(ValidatorSettings, environment={"SOUNDSRIGHT_COMPETITION": names})
    return [competition.id for competition in _judged(settings, rules)]


def test_all_are_judged_if_none_is_chosen() -> None:
    assert judged("", NAMED) == ["studio", "street"]
    assert judged("", CompetitionRules(PUBLISHED, SOUNDSRIGHT_V3)) == [c.id for c in PUBLISHED]


def test_the_chosen_ones_are_judged_in_the_organisers_order() -> None:
    assert judged("Street", NAMED) == ["street"]
    assert judged("street,studio", NAMED) == ["studio", "street"]


def test_an_unknown_competition_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"SOUNDSRIGHT_COMPETITION.*ECHO_16000HZ.*, DEREVERBERATION_48000HZ"):
        judged("ECHO_16000HZ", CompetitionRules(PUBLISHED, SOUNDSRIGHT_V3))
