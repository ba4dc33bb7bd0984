"""The ranks that the API counts from samples are those that `ranking` counts from the same verdicts."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from soundsright.core.competition import PUBLISHED
from soundsright.core.federation import JudgedRow, Verdict
from soundsright.core.federation_rules import FederationRules
from soundsright.core.profiles import Profile
from soundsright.core.rulesets import RULESETS
from soundsright.core.sources import ModelRef
from soundsright.ranking import federation_decisions
from soundsright.services.federation_api.client import samples_of
from soundsright.services.federation_api.ranks import ranks_of
from tests.services.federation_api.api_bench import COMPETITION, MINERS, TASK, VALIDATORS, Bench


def verdicts(rng: random.Random, tasks: range) -> list[Verdict]:
    """A verdict of each task, with miners that come, go and change their models."""
    metrics = PUBLISHED[0].metric_weights
    found = []
    for task in tasks:
        rows = [
            JudgedRow(
                competition=COMPETITION,
                hotkey=hotkey,
                uid=number,
                model=ModelRef("lab", f"gate-{number}", ("a" if task < tasks.start + 4 * number else "b") * 40),
                block=5_000 + number + (0 if task < tasks.start + 4 * number else 100),
                passed=rng.random() < 0.2 + 0.1 * number,
                failures=0,
                means=dict.fromkeys(metrics, 0.5),
                answers="a" * 64,
            )
            for number, hotkey in enumerate(MINERS)
            if rng.random() < 0.9
        ]
        found.append(
            Verdict(
                task=task,
                validator=VALIDATORS[task % len(VALIDATORS)].address,
                block=task * 100,
                block_hash="0x" + "1" * 64,
                allowlist="b" * 64,
                rules="c" * 64,
                sets={COMPETITION: "e" * 64},
                unprocessed={COMPETITION: dict.fromkeys(metrics, 0.25)},
                rows=tuple(sorted(rows, key=lambda row: row.hotkey)),
            )
        )
    return found


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("seed", range(6))
def test_the_ranks_are_those_of_the_decision(profile: Profile, seed: int) -> None:
    rules = FederationRules(profile, competitions=(COMPETITION,), completeness=0.5, settle_margin=0)
    bench = Bench(rules=rules)
    own = verdicts(random.Random(seed), range(TASK - 30, TASK - 2))
    for verdict in own:
        bench.store.add_samples(verdict.validator, samples_of(verdict, "d" * 64))
    rows = bench.client().get("/scores/rank").json()
    decision = federation_decisions(
        rules, RULESETS[0], PUBLISHED, own, {}, epoch_block=bench.chain.number // 180 * 180
    )[COMPETITION]
    newest = {row.hotkey: (str(row.model), row.block) for verdict in own for row in verdict.rows}
    expected = list(decision.rows)
    if profile is Profile.SOUNDSRIGHT:
        expected = [row for row in expected if newest[row.entrant.hotkey] == (row.entrant.model, row.entrant.block)]
    assert len(expected) == len(MINERS)
    assert [
        (row["miner_hotkey"], row["uid"], row["passed_count"], row["pass_rate"], row["block"], row["eligible"])
        for row in rows
    ] == [
        (row.entrant.hotkey, row.entrant.uid, row.passed, row.score, row.entrant.block, row.eligible)
        for row in expected
    ]
    assert [row["rank"] for row in rows] == list(range(1, len(MINERS) + 1))


def test_who_is_not_above_the_unprocessed_input_comes_after_those_that_are() -> None:
    """One of the miners copies the input, and passes more tasks than all others."""
    rules = FederationRules(competitions=(COMPETITION,), completeness=0.5, settle_margin=0)
    copies, *others = MINERS
    own = []
    for verdict in verdicts(random.Random(1), range(TASK - 30, TASK - 2)):
        same = verdict.unprocessed[COMPETITION]
        rows = tuple(
            replace(row, means=same, passed=True) if row.hotkey == copies else replace(row, passed=False)
            for row in verdict.rows
        )
        own.append(replace(verdict, rows=rows))
    bench = Bench(rules=rules)
    for verdict in own:
        bench.store.add_samples(verdict.validator, samples_of(verdict, "d" * 64))
    metrics = tuple(PUBLISHED[0].metric_weights)
    validators = tuple(each.hotkey for each in bench.store.validators.validators())
    asked = ranks_of(bench.store, rules, validators, bench.chain.number, {COMPETITION: metrics})[COMPETITION]
    able = [asked.by_miner[hotkey].rank for hotkey in others if asked.by_miner[hotkey].eligible]
    assert asked.by_miner[copies].eligible
    assert able
    assert max(able) < asked.by_miner[copies].rank
    ruleset = next(each for each in RULESETS if each.must_beat_unprocessed)
    decision = federation_decisions(rules, ruleset, PUBLISHED, own, {}, epoch_block=bench.chain.number // 180 * 180)
    assert not {row.entrant.hotkey: row.beats_unprocessed for row in decision[COMPETITION].rows}[copies]
    free = ranks_of(bench.store, rules, validators, bench.chain.number)[COMPETITION]
    assert next(iter(free.by_miner)) == copies
    assert set(free.by_miner) == {copies, *others}
