"""`soundsright rules`."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from soundsright.cli.main import cli
from soundsright.core.errors import UsageError

GOLDEN = Path(__file__).parents[1] / "golden" / "published_rules.json"


def rules(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["rules", *map(str, arguments)])


def test_check_ends_with_the_count() -> None:
    result = rules("check", GOLDEN)
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "920 passed, 0 failed"


def test_check_prints_each_mismatch_and_fails(tmp_path: Path) -> None:
    vectors = json.loads(GOLDEN.read_text())
    wrong = {"margin": vectors["margin"][:5], "scoring": vectors["scoring"][:1]}
    wrong["margin"][2]["expected_beats"] = not wrong["margin"][2]["expected_beats"]
    wrong["scoring"][0]["expected"]["overall"][0] += 0.001
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(wrong))
    result = rules("check", path)
    lines = result.output.splitlines()
    assert result.exit_code == 1
    assert lines[-1] == "12 passed, 2 failed"
    assert [line.split(":")[0] for line in lines[:-1]] == ["margin 2", "scoring 0, overall"]


def test_show_explains_every_rule_and_names_the_digest() -> None:
    result = rules("show")
    assert result.output.startswith("soundsright-v5  ")
    for word in ("Margin in dB", "Holm", "Remainder", "Emission floor", "Copies", "Unprocessed"):
        assert word in result.output
    assert "45 to the winner, 5 to the others" in result.output
    assert "at most 2000 files, 4000000000 bytes" in result.output
    assert "Holm" not in rules("show", "soundsright-v2").output


def test_the_digest_is_that_of_the_output_of_show_json() -> None:
    import hashlib

    text = rules("show", "soundsright-v2", "--json").output.strip()
    assert hashlib.sha256(text.encode()).hexdigest() in rules("show", "soundsright-v2").output


def test_simulate_shows_decisions_and_shares() -> None:
    result = rules("simulate", "--entries", "4", "--clips", "60")
    assert result.exit_code == 0
    assert "unprocessed" in result.output
    assert "champion_mean" in result.output
    assert result.output == rules("simulate", "--entries", "4", "--clips", "60").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "soundsright-v9"], "Unknown ruleset 'soundsright-v9'"),
        (["show", "missing.toml"], "There is no file missing.toml. Give the path of a rules file."),
        (["show", "/dev/null"], "/dev/null is not a file of rules. Give a file whose name ends in .toml"),
        (["check", "missing.json"], "missing.json cannot be read"),
    ],
)
def test_bad_input_is_named(arguments: list[str], message: str) -> None:
    error = rules(*arguments).exception
    assert isinstance(error, UsageError)
    assert message in str(error)


@pytest.mark.parametrize("text", ["not json", "[1]", "{}", "[" * 100_000])
def test_a_file_without_examples_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "vectors.json"
    path.write_text(text)
    assert isinstance(rules("check", path).exception, UsageError)


def test_show_lists_an_organisers_entry_rules(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    shipped = files("soundsright").joinpath("rulesets/published.toml").read_text()
    path.write_text(re.sub(r"^# (?=\w+ = )", "", shipped, flags=re.MULTILINE))
    shown = rules("show", path).output
    for words in (
        "28800 blocks (4 days) between two commitments",
        "At most 3 commitments of a hotkey in the 7200 blocks (1 day)",
        "is banned until block 1200000",
        "The root of the repository contains a licence file",
        "Only files named .py, .txt",
        "No files named .exe, .iso",
        "An entry whose output is nearly the same as an earlier entry's is refused",
    ):
        assert words in shown


def test_an_organisers_mistake_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[competition]]\ntask = "DENOISING"\nsample_rate = 16000\n')
    error = rules("show", path).exception
    assert str(error).startswith(
        f"{path}, competition 1: unknown key 'sample_rate'. Did you mean 'sample_rate_hz'?"
    )


def test_a_competition_that_has_started_is_shown_with_begun(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        "[schedule]\ntime_utc = 09:00:00\nevery_days = 7\nfirst_day = 2024-01-01\n"
        '[[competition]]\ntask = "DENOISING"\nsample_rate_hz = 16_000\nmax_score = 50.0\nremainder = 10.0\n'
        "metrics = { ESTOI = 1.0 }\n"
    )
    assert "Write a later day, or add --begun if the competition has started." in str(rules("show", path).exception)
    assert rules("show", path, "--begun").exit_code == 0


def test_a_metric_that_two_validators_can_disagree_about_pays_nobody(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[[competition]]\ntask = "DENOISING"\nsample_rate_hz = 16_000\nmax_score = 50.0\nremainder = 10.0\n'
        "metrics = { ESTOI = 0.5, SRMR = 0.5 }\n"
    )
    assert "DENOISING_16000HZ pays for SRMR, whose scores can differ" in str(rules("show", path).exception)
    assert rules("show", path, "--begun").exit_code == 0
