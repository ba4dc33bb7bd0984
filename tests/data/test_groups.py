from pathlib import PurePosixPath

import pytest

from soundsright.core.errors import UsageError
from soundsright.data.groups import groups_by

PATHS = [
    PurePosixPath("my/anna/day1/anna-01.wav"),
    PurePosixPath("my/ben/day1/ben-02.wav"),
    PurePosixPath("my/x.wav"),
]


@pytest.mark.parametrize(
    ("rule", "groups"),
    [
        ("folder", ["day1", "day1", "my"]),
        ("file", ["day1/anna-01.wav", "day1/ben-02.wav", "my/x.wav"]),
        (r"([a-z]+)-\d", ["anna", "ben", None]),
        (r"my/([^/]+)/", ["anna", "ben", None]),
        (r"(day)\d/(?P<name>.*)-", ["anna", "ben", None]),
        (r"-(0?)", ["0", "0", None]),
        (r"(q?)", [None, None, None]),
    ],
)
def test_a_rule_finds_the_group_in_each_path(rule: str, groups: list[str | None]) -> None:
    assert groups_by(rule, PATHS, "--speaker-by") == groups


def test_names_that_are_not_utf_8_are_searched_too() -> None:
    assert groups_by("(a+)", [PurePosixPath("my/\udcffaa.wav")], "--speaker-by") == ["aa"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("(p", r"--speaker-by '\(p' is not a regular expression"),
        ("p[0-9]+", "has no group in parentheses"),
        ("(?:p)", "has no group in parentheses"),
        ("(a)" * 400, "has 1200 characters; the limit is 1000"),
    ],
)
def test_a_rule_that_finds_nothing_is_refused(rule: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        groups_by(rule, PATHS, "--speaker-by")


def test_an_expression_of_exponential_time_is_stopped() -> None:
    with pytest.raises(UsageError, match=r"takes longer than 0\.5 s for 1 paths"):
        groups_by("((a+)+)$", [PurePosixPath("my/" + "a" * 60 + "!")], "--speaker-by", timeout_s=0.5)
