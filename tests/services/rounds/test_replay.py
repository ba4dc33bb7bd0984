"""A recorded round is decided again from its scores, and the first difference is found and named."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.copies import DuplicateRule, Likeness
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.errors import UsageError
from soundsright.core.results import ClipResult
from soundsright.core.rulesets import RULESETS, Ruleset
from soundsright.core.submission import FetchedModel
from soundsright.services.rounds import Heard, RecordedRound, RecordedSet, decision, read_wav, replayed
from tests.services.rounds.recorded import recorded_round
from tests.services.rounds.subnet import COMPETITION, ROUND_ID, Subnet
from tests.services.rounds.test_stages import run as run_sequential


@pytest.fixture
def subnet(tmp_path: Path) -> Subnet:
    return Subnet(tmp_path)


@pytest.fixture
def record(subnet: Subnet) -> RecordedRound:
    return recorded_round(subnet.run(), subnet.state)


def with_step(record: RecordedRound, name: str, **changes: Any) -> RecordedRound:
    """The record with other values in one step."""
    return replace(record, steps={**record.steps, name: {**record.steps[name], **changes}})


def with_set(record: RecordedRound, **changes: Any) -> RecordedRound:
    own = record.sets[COMPETITION.id]
    return replace(record, sets={**record.sets, COMPETITION.id: replace(own, **changes)})


def with_score(record: RecordedRound, hotkey: str, metric: str, value: float) -> RecordedRound:
    """The record with another score of an entry on its first clip."""
    results: Mapping[str, Mapping[str, ClipResult]] = record.sets[COMPETITION.id].results
    clip_id = min(results[hotkey])
    scores = {**(results[hotkey][clip_id].scores or {}), metric: value}
    own = {**results[hotkey], clip_id: ClipResult(clip_id, scores)}
    return with_set(record, results={**results, hotkey: own})


@pytest.mark.parametrize("ruleset", RULESETS, ids=lambda ruleset: ruleset.name)
def test_a_round_under_every_ruleset_replays_to_the_same_decisions_and_weights(
    subnet: Subnet, ruleset: Ruleset
) -> None:
    outcome = subnet.run(rules=CompetitionRules((COMPETITION,), ruleset))
    again = replayed(recorded_round(outcome, subnet.state))
    assert again.difference is None
    assert again.outcome is not None
    assert again.outcome.plan.rules.ruleset == ruleset
    assert again.outcome.weights == outcome.weights
    assert again.outcome.leaderboards == outcome.leaderboards
    assert {f"decide:{COMPETITION.id}", "weights"} <= set(again.steps)


def test_a_round_after_others_replays_with_the_titles_and_the_history_before_it(subnet: Subnet) -> None:
    rules = CompetitionRules((COMPETITION,), RULESETS[0])
    subnet.run(rules=rules)
    close = subnet.chain.head().number
    subnet.round = replace(
        subnet.round, id="round-2", entries_close_block=close, seed_block=subnet.chain.advance(5).number
    )
    subnet.chain.advance(5)
    outcome = subnet.run(rules=rules)
    record = recorded_round(outcome, subnet.state)
    assert record.titles[COMPETITION.id]
    assert [each["round"] for each in record.history] == [ROUND_ID]
    again = replayed(record)
    assert (again.difference, again.outcome and again.outcome.leaderboards) == (None, outcome.leaderboards)
    assert replayed(replace(record, titles={}, history=())).difference is not None


def test_one_changed_score_is_found_in_the_decision_that_it_changes(record: RecordedRound) -> None:
    champion = record.steps[f"decide:{COMPETITION.id}"]["champions"]["ESTOI"]
    difference = replayed(with_score(record, champion["hotkey"], "ESTOI", 0.123456)).difference
    assert difference is not None
    assert (difference.competition, difference.step) == (COMPETITION.id, "decide")
    assert difference.field.startswith("champions.ESTOI.")
    assert difference.recorded != difference.replayed
    assert str(difference.recorded) in difference.sentence


def test_a_changed_decision_is_found_and_named(record: RecordedRound) -> None:
    name = f"decide:{COMPETITION.id}"
    shares = copy.deepcopy(record.steps[name]["shares"])
    hotkey = max(shares, key=lambda each: shares[each])
    shares[hotkey] += 0.5
    difference = replayed(with_step(record, name, shares=shares)).difference
    assert difference is not None
    assert (difference.step, difference.field) == ("decide", f"shares.{hotkey}")
    assert difference.recorded == pytest.approx(difference.replayed + 0.5)


def test_a_changed_weight_is_found_and_named(record: RecordedRound) -> None:
    by_uid = dict(record.steps["weights"]["by_uid"])
    first, *_, second = sorted(by_uid, key=lambda uid: by_uid[uid])
    by_uid[first], by_uid[second] = by_uid[second], by_uid[first]
    difference = replayed(with_step(record, "weights", by_uid=by_uid)).difference
    assert difference is not None
    assert (difference.competition, difference.step, difference.field) == (
        "",
        "weights",
        f"by_uid.{min(first, second)}",
    )


def test_the_block_of_the_weights_is_no_difference(record: RecordedRound) -> None:
    assert replayed(with_step(record, "weights", block=99)).difference is None


@pytest.mark.parametrize(("field", "value"), [("seed", 5), ("digest", "0" * 64)])
def test_a_set_that_does_not_follow_from_the_block_or_its_clips_is_found(
    record: RecordedRound, field: str, value: object
) -> None:
    difference = replayed(with_step(record, f"set:{COMPETITION.id}", **{field: value})).difference
    assert difference is not None
    assert (difference.competition, difference.step, difference.field) == (COMPETITION.id, "set", field)
    assert difference.recorded == value


def test_another_seed_block_hash_is_found(record: RecordedRound) -> None:
    difference = replayed(with_step(record, "seed", hash="0x" + "1" * 64)).difference
    assert difference is not None
    assert (difference.step, difference.field) == ("set", "seed")


def test_a_missing_and_an_invented_result_are_found(record: RecordedRound) -> None:
    own: RecordedSet = record.sets[COMPETITION.id]
    hotkey, results = next(iter(own.results.items()))
    clip_id = max(results)
    fewer = {key: value for key, value in results.items() if key != clip_id}
    missing = replayed(with_set(record, results={**own.results, hotkey: fewer})).difference
    assert missing is not None
    assert (missing.step, missing.field, missing.recorded) == ("scores", f"{hotkey}.{clip_id}", "nothing")
    invented = replayed(with_set(record, results={**own.results, "mallory": results})).difference
    assert invented is not None
    assert (invented.field, invented.replayed) == (f"mallory.{min(results)}", "nothing")


def test_rules_with_another_digest_than_the_plan_are_refused(record: RecordedRound) -> None:
    ruleset = {**record.settings.facts()["ruleset"], "alpha": 0.2}
    with pytest.raises(UsageError, match="the rules have digest"):
        replayed(with_step(record, "settings", ruleset=ruleset))


@pytest.mark.parametrize("step", ["settings", "seed", "entries", "duplicates", "near_copies", "flags"])
def test_a_record_without_a_step_says_which(record: RecordedRound, step: str) -> None:
    with pytest.raises(UsageError, match=step):
        replayed(replace(record, steps={name: facts for name, facts in record.steps.items() if name != step}))


class TestRoundThatStopsEarly:
    """Two entries are so much worse than the champion that they stop at a look."""

    @pytest.fixture
    def record(self, tmp_path: Path) -> RecordedRound:
        subnet = Subnet(tmp_path, (0.1, 0.2, 0.9))
        outcome = run_sequential(subnet)
        assert outcome.leaderboards[0].stops is not None
        assert outcome.leaderboards[0].stops.stopped
        return recorded_round(outcome, subnet.state)

    def test_is_looked_at_again(self, record: RecordedRound) -> None:
        again = replayed(record)
        assert again.difference is None
        assert any(name.startswith(f"look:{COMPETITION.id}:") for name in again.steps)
        assert again.unchecked == ()

    def test_a_changed_look_is_found_and_named(self, record: RecordedRound) -> None:
        name = next(
            name for name, facts in record.steps.items() if name.startswith("look:") and facts.get("ruled_out")
        )
        facts = copy.deepcopy(dict(record.steps[name]["ruled_out"]))
        hotkey = min(facts)
        metric = min(facts[hotkey])
        facts[hotkey][metric]["lead"] += 0.001
        difference = replayed(with_step(record, name, ruled_out=facts)).difference
        assert difference is not None
        number = name.rpartition(":")[2]
        assert difference.step == f"look {number}"
        assert difference.field == f"ruled_out.{hotkey}.{metric}.lead"

    def test_a_stop_that_no_look_decided_is_found(self, record: RecordedRound) -> None:
        looks = {name: facts for name, facts in record.steps.items() if name.startswith("look:")}
        nobody = {name: {**facts, "ruled_out": {}} for name, facts in looks.items()}
        difference = replayed(replace(record, steps={**record.steps, **nobody})).difference
        assert difference is not None
        assert difference.field.startswith("ruled_out.")

    def test_what_needs_the_withheld_recipes_is_listed_as_unchecked(self, record: RecordedRound) -> None:
        again = replayed(with_set(record, recipes={}, stops=replayed(record).outcome.leaderboards[0].stops))  # type: ignore[union-attr]
        assert again.difference is None
        assert [each.part for each in again.unchecked] == [f"apart:{COMPETITION.id}", f"look:{COMPETITION.id}"]


def test_images_with_the_same_layers_rest_on_the_record_also_when_the_audio_is_heard(
    subnet: Subnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def same_layers(models: Sequence[FetchedModel], _runner: object) -> list[Likeness]:
        first, second = (model.submission.entry_id for model in models[:2])
        return [Likeness(first, second, DuplicateRule.SHARED_CHECKPOINT, {"shared_layers": "3"})]

    with monkeypatch.context() as patch:
        patch.setattr(decision, "same_image_pairs", same_layers)
        outcome = subnet.run()
    assert [each.code for each in outcome.refusals] == ["shared_checkpoint"]
    heard = Heard(read_wav, subnet.pool, ("near_copies",))
    monkeypatch.setattr(decision, "near_copy_pairs", lambda *_args, **_options: [])
    again = replayed(recorded_round(outcome, subnet.state), heard)
    assert again.difference is None
    assert [each.part for each in again.unchecked] == ["near_copies: images"]
