"""The tables of other systems in an organiser's file: shares of the emission, and the executor's rules."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner

from soundsright.cli.main import cli
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.emission import DEFAULT_EMISSION
from soundsright.core.errors import UsageError
from soundsright.core.rulesets import SOUNDSRIGHT_V4
from soundsright.rules import organiser_of_toml, systems_text

SHIPPED = files("soundsright").joinpath("rulesets/published.toml").read_text()
WITHOUT = SHIPPED[: SHIPPED.index("[emission]")] + SHIPPED[SHIPPED.index("[[competition]]") :]


def read(tables: str) -> CompetitionRules:
    return organiser_of_toml(tables + WITHOUT, source="rules.toml", now_s=time.time())


def test_without_a_table_the_competitions_have_everything() -> None:
    rules = read("")
    assert rules.emission == DEFAULT_EMISSION
    assert rules.executor is None
    shipped = organiser_of_toml(SHIPPED, source="rules.toml", now_s=time.time())
    assert shipped.emission.digest == DEFAULT_EMISSION.digest


def test_shares_are_read_and_have_a_digest_that_does_not_depend_on_their_order() -> None:
    first = read("[emission]\ncompetitions = 0.5\nexecutor = 0.2\ntiers = 0\nstale_blocks = 100\n").emission
    second = read("[emission]\nstale_blocks = 100\nexecutor = 0.2\ncompetitions = 0.5\n").emission
    assert first.digest == second.digest != DEFAULT_EMISSION.digest
    assert first.paying == {"competitions": 0.5, "executor": 0.2}
    assert first.unassigned == pytest.approx(0.3)
    assert json.loads(first.canonical_json) == {
        "shares": {"competitions": 0.5, "executor": 0.2},
        "stale_blocks": 100,
    }


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[emission]\ncompetitions = 0.9\nexecutor = 0.2\n", r"rules.toml, emission: the shares sum to 1.1"),
        ("[emission]\nexecutors = 0.2\n", r"unknown key 'executors'. Did you mean 'executor'"),
        ("[emission]\ncompetitions = -0.1\n", r"emission.competitions: -0.1 is negative"),
        ("[emission]\ncompetitions = nan\n", r"emission.competitions: nan is not a finite number"),
        ("[emission]\ncompetitions = true\n", r"emission.competitions: true is not a finite number"),
        ("[emission]\n", r"emission: no system has a share"),
        ("[emission]\ncompetitions = 1.0\nstale_blocks = 0\n", r"stale_blocks is 0"),
        ("[emissions]\ncompetitions = 1.0\n", r"unknown key 'emissions'"),
        ("[tiers]\nprofile = 'other'\n", r"tiers.profile: 'other' is not a choice"),
        ("[tiers]\nsample = 3\n", r"unknown key 'sample'. Did you mean 'sample_size'"),
        ("[tiers]\nsample_size = 2.5\n", r"tiers.sample_size: 2.5 is not a whole number"),
        ("[tiers]\nalpha = 2\n", r"tiers: alpha is 2.0"),
        ("[tiers.Iron]\nrate = 0.5\n", r"tiers: unknown key 'Iron'"),
        ("[tiers]\nGold = 3\n", r"tiers.Gold: 3 is not a table"),
        ("[tiers.Gold]\nrates = 0.5\n", r"tiers.Gold: unknown key 'rates'. Did you mean 'rate'"),
        ("[tiers.Gold]\nrate = 0.9\n", r"tiers: Platinum has the rate 0.76, below 0.9 of Gold"),
        ("[tiers.Gold]\nrequests = 1e3\n", r"tiers.Gold.requests: 1000.0 is not a whole number"),
        ("[tiers.Gold]\nrate = nan\n", r"tiers.Gold.rate: nan is not a finite number"),
        ("[federation]\nprofile = 'other'\n", r"federation.profile: 'other' is not a choice"),
        ("[federation]\ninterval = 100\n", r"unknown key 'interval'. Did you mean 'interval_blocks'"),
        ("[federation]\ninterval_blocks = 0\n", r"federation: interval_blocks is 0"),
        ("[federation]\ninterval_blocks = 1\n", r"federation: lookback_blocks 30000 is 10000 tasks or more"),
        ("[federation]\nclips = 0\n", r"federation: clips is 0"),
        ("[federation]\ncompleteness = 1.5\n", r"federation: completeness is 1.5"),
        ("[federation]\ndominance = true\n", r"federation.dominance: true is not a finite number"),
        ("[federation]\ncompetitions = 'A'\n", r"federation.competitions: 'A' is not a list of names"),
        ("[federation]\ncompetitions = []\n", r"federation: competitions has 0 names"),
        ("[federation]\ncompetitions = ['A']\n", r"federation.competitions: 'A' is not defined in this file"),
        (
            "[federation]\ncompetitions = ['DENOISING_16000HZ', 'DENOISING_16000HZ']\n",
            r"federation: competitions has DENOISING_16000HZ twice",
        ),
        ("[executor]\nprofile = 'other'\n", r"executor.profile: 'other' is not a choice"),
        ("[executor]\ncooldown = 3\n", r"unknown key 'cooldown'. Did you mean 'cooldown_s'"),
        ("[executor]\ncarry_over = 2.5\n", r"executor.carry_over: 2.5 is not a whole number"),
        ("[executor]\ncap_factor = 2\n", r"executor: cap_factor is 2.0"),
        ("[executor]\ntime_ref_s = 0\n", r"executor: time_ref_s is 0.0"),
        ("[executor]\nscoring_runs = 0\n", r"executor: scoring_runs is 0"),
    ],
)
def test_a_mistake_is_named_with_its_place(table: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        read(table)


def test_the_executor_has_the_values_of_its_profile() -> None:
    default, doc, code = (
        read(f"[executor]\n{profile}\n").executor for profile in ("", "profile = 'doc'", "profile = 'code'")
    )
    assert default is not None
    assert doc is not None
    assert code is not None
    assert asdict(default) == {
        "profile": "soundsright",
        "cooldown_s": 345_600,
        "carry_over": 5,
        "pull_tries": 5,
        "pull_timeout_s": 900.0,
        "ready_timeout_s": 600.0,
        "warmup_runs": 2,
        "scoring_runs": 5,
        "run_timeout_s": 120.0,
        "run_audio_s": 24.0,
        "poll_s": 0.1,
        "cpus": 8,
        "memory_gb": 16.0,
        "pids": 256,
        "time_weight": 0.15,
        "memory_weight": 0.10,
        "time_ref_s": 30.0,
        "memory_ref_gb": 8.0,
        "saturation": 3.0,
        "max_time_s": 30.0,
        "max_memory_gb": 10.0,
        "cap_factor": 0.01,
        "tie_eps": 1e-5,
        "update_blocks": 180,
        "weight_blocks": 180,
    }
    assert (doc.carry_over, code.carry_over) == (5, 10)
    assert len({default.digest, doc.digest, code.digest}) == 3
    # The same number, written in two ways, is the same rule.
    changed = (read(f"[executor]\nmemory_gb = {text}\n").executor for text in ("8", "8.0"))
    assert len({rules.digest for rules in changed if rules}) == 1


def test_the_federation_judges_the_competitions_of_the_file_unless_it_names_some() -> None:
    every = read("[federation]\n")
    assert every.federation is not None
    assert every.federation.competitions == tuple(competition.id for competition in every.competitions)
    some = read("[federation]\nprofile = 'doc'\ncompetitions = ['DEREVERBERATION_16000HZ', 'DENOISING_16000HZ']\n")
    other = read("[federation]\nprofile = 'doc'\ncompetitions = ['DENOISING_16000HZ', 'DEREVERBERATION_16000HZ']\n")
    assert some.federation is not None
    assert other.federation is not None
    assert some.federation.digest == other.federation.digest != every.federation.digest
    assert asdict(some.federation) | {"competitions": ()} == {
        "profile": "doc",
        "interval_blocks": 100,
        "grace_blocks": 0,
        "epoch_blocks": 180,
        "window_tasks": 100,
        "settle_margin": 2,
        "lookback_blocks": 30_000,
        "completeness": 0.8,
        "min_validators": 0.5,
        "dominance": 0.05,
        "unreadable": 0.2,
        "clips": 8,
        "pay_on_public": False,
        "competitions": (),
    }


def test_whether_public_recordings_pay_is_a_rule_of_all() -> None:
    paying = read("[federation]\npay_on_public = true\n").federation
    default = read("[federation]\n").federation
    assert paying is not None
    assert default is not None
    assert (paying.pay_on_public, default.pay_on_public) == (True, False)
    assert paying.digest != default.digest
    with pytest.raises(UsageError, match=r"pay_on_public.*1 is neither true nor false"):
        read("[federation]\npay_on_public = 1\n")


def test_a_number_without_effect_is_no_rule() -> None:
    with pytest.raises(UsageError, match="refresh_blocks"):
        read("[federation]\nrefresh_blocks = 300\n")


def test_a_verdicts_rules_change_with_the_federation_the_ruleset_and_the_metrics() -> None:
    rules = read("[federation]\n")
    assert rules.federation is not None
    digest = rules.federation.digest_with(rules.ruleset, rules.competitions)
    other = replace(rules.federation, clips=9)
    weighted = replace(rules.competitions[0], metric_weights={"ESTOI": 1.0})
    assert digest == rules.federation.digest_with(rules.ruleset, rules.competitions[::-1])
    digests = {
        digest,
        other.digest_with(rules.ruleset, rules.competitions),
        rules.federation.digest_with(SOUNDSRIGHT_V4, rules.competitions),
        rules.federation.digest_with(rules.ruleset, (weighted, *rules.competitions[1:])),
    }
    assert len(digests) == 4
    with pytest.raises(UsageError, match="which is not defined"):
        rules.federation.digest_with(rules.ruleset, rules.competitions[:1])


def test_rules_show_has_the_tables_and_their_digests(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(
        "[emission]\ncompetitions = 0.5\nexecutor = 0.2\n[executor]\ncarry_over = 7\n[federation]\nclips = 6\n"
        + "[tiers]\nsample_size = 9\n[tiers.Gold]\nrate = 0.75\n"
        + WITHOUT
    )
    rules = organiser_of_toml(path.read_text(), source="rules.toml", now_s=time.time())
    assert rules.executor is not None
    assert rules.federation is not None
    assert rules.tiers is not None
    assert (rules.tiers.sample_size, rules.tiers.tier("Gold").rate) == (9, 0.75)
    shown = CliRunner().invoke(cli, ["rules", "show", str(path)])
    assert shown.exit_code == 0
    assert systems_text(rules) in shown.output
    for text in (
        rules.emission.digest,
        rules.executor.digest,
        "carry_over        7",
        "30.00%",
        "clips             6",
        rules.tiers.digest,
        "sample_size       9",
        "  Gold                     0.75           5000          0.666",
    ):
        assert text in shown.output
    tables = {
        "emission": rules.emission.canonical_json,
        "executor": rules.executor.canonical_json,
        "federation": rules.federation.canonical_json,
        "tiers": rules.tiers.canonical_json,
    }
    for table, canonical in tables.items():
        as_json = CliRunner().invoke(cli, ["rules", "show", str(path), "--json", "--table", table])
        assert as_json.output == f"{canonical}\n"


@pytest.mark.parametrize("table", ["executor", "federation", "tiers"])
def test_rules_without_a_table_have_none_to_print(table: str) -> None:
    result = CliRunner().invoke(cli, ["rules", "show", "--json", "--table", table])
    assert isinstance(result.exception, UsageError)
