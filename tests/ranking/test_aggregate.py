"""The winners of a federation follow from verdicts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundsright.core.federation import JudgedRow, Verdict, rounded_means
from soundsright.core.federation_rules import FederationRules, federation_rules
from soundsright.core.profiles import Profile
from soundsright.core.rulesets import SOUNDSRIGHT_V2, SOUNDSRIGHT_V3, SOUNDSRIGHT_V5, Ruleset
from soundsright.ranking import (
    FederationDecision,
    FederationReason,
    dominant,
    federation_decisions,
    keeps_last_winner,
    mean_of_rates,
    paired_lead,
    pooled_rate,
    takes_place,
    winners_shares,
)
from soundsright.ranking.verdict_table import MAX_ENTRANTS
from tests.ranking.federation_builders import COMPETITION, UNPROCESSED, row, verdict

ONE = FederationRules(competitions=(COMPETITION.id,))
LABS = ("va", "vb", "vc")


def decide(
    verdicts: Sequence[Verdict],
    incumbent: str = "",
    *,
    rules: FederationRules = ONE,
    ruleset: Ruleset = SOUNDSRIGHT_V5,
    floors: Mapping[str, float] | None = None,
) -> FederationDecision:
    incumbents = {COMPETITION.id: incumbent} if incumbent else {}
    decisions = federation_decisions(
        rules, ruleset, [COMPETITION], verdicts, incumbents, epoch_block=100_000, floors=floors
    )
    return decisions[COMPETITION.id]


def in_turns(rows_of_task: Sequence[Sequence[JudgedRow]], labs: Sequence[str] = LABS) -> list[Verdict]:
    return [verdict(task, labs[task % len(labs)], rows) for task, rows in enumerate(rows_of_task)]


def better(amount: float, *, noise: float = 0.0, seed: int = 0, tasks: int = 30) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    return [{"PESQ_WB": 2.0 + amount + noise * rng.normal(), "ESTOI": 0.7 + amount / 4} for _ in range(tasks)]


def contest(**models: list[dict[str, float]]) -> list[Verdict]:
    """Verdicts in which each hotkey has these means, task by task."""
    tasks = len(next(iter(models.values())))
    return in_turns([[row(hotkey, means=means[task]) for hotkey, means in models.items()] for task in range(tasks)])


class TestTheWorkedExamples:
    def test_the_score_is_the_mean_of_the_validators_rates(self) -> None:
        passed = [(9, 10), (1, 2), (30, 40)]
        assert float(mean_of_rates(passed)) == pytest.approx(0.7166667, abs=1e-7)
        assert pooled_rate(passed) == pytest.approx(0.7692308, abs=1e-7)

    def test_an_earlier_rate_shields(self) -> None:
        hundredths = {(1, "A"): 60, (2, "B"): 64, (3, "C"): 66}
        rates = {key: Fraction(rate, 100) for key, rate in hundredths.items()}
        assert dominant(rates, Fraction(1, 20)) == "A"
        del rates[2, "B"]
        assert dominant(rates, Fraction(1, 20)) == "C"

    def test_fractions_decide_where_floats_round(self) -> None:
        rates = {(1, "A"): Fraction(11, 20), (2, "B"): Fraction(12, 20)}
        assert dominant(rates, Fraction(1, 20)) == "B"
        assert dominant({key: float(rate) for key, rate in rates.items()}, 0.05) == "A"

    def test_nobody_can_take_a_place_near_the_top(self) -> None:
        assert dominant({(1, "A"): Fraction(96, 100), (2, "B"): Fraction(1)}, Fraction(1, 20)) == "A"

    def test_the_exact_test_over_tasks(self) -> None:
        sure = paired_lead([[0.02, 0.03, 0.01], [0.05, 0.01]])
        unsure = paired_lead([[0.02, 0.03, 0.01, 0.04], [0.05, -0.01]])
        assert (sure.mean, sure.p_value) == (Fraction(1, 40), 0.03125)
        assert (unsure.mean, unsure.p_value) == (Fraction("0.0225"), 0.0625)


def test_only_the_incumbent_defends_in_the_profile_soundsright() -> None:
    verdicts = contest(a=better(0.0), b=better(0.002), c=better(0.0035))
    assert decide(verdicts, "b").winner == "b"  # c leads, but not by the margin.
    assert decide(verdicts, "a").winner == "c"  # b shields nobody.


def test_the_best_of_several_challengers_takes_the_place() -> None:
    rows = [
        [
            row("holder", means={"PESQ_WB": 2.0, "ESTOI": 0.7}),
            row("late", means={"PESQ_WB": 2.1, "ESTOI": 0.8}, block=300),
            row("early", means={"PESQ_WB": 2.1, "ESTOI": 0.8}, block=200),
            row("weaker", means={"PESQ_WB": 2.2, "ESTOI": 0.9}, block=100, passed=task % 2 == 0),
        ]
        for task in range(30)
    ]
    decision = decide(in_turns(rows), "holder")
    assert (decision.winner, decision.reason, decision.incumbent) == ("early", FederationReason.TAKEN, "holder")
    assert [each.entrant.hotkey for each in decision.rows] == ["holder", "early", "late", "weaker"]


def test_a_challenger_that_loses_in_one_metric_does_not_take_the_place() -> None:
    worse = [{"PESQ_WB": 3.0, "ESTOI": 0.699999} for _ in range(30)]
    decision = decide(contest(holder=better(0.0), rival=worse), "holder")
    assert (decision.winner, decision.reason) == ("holder", FederationReason.DEFENDED)
    by_metric = {test.metric: test for test in decision.tests}
    assert by_metric["PESQ_WB"].certain
    assert by_metric["ESTOI"].lead == -1e-6
    equal = [{"PESQ_WB": 3.0, "ESTOI": 0.7} for _ in range(30)]
    assert decide(contest(holder=better(0.0), rival=equal), "holder").winner == "rival"


def test_a_lead_needs_margin_and_certainty() -> None:
    small = decide(contest(holder=better(0.0), rival=better(0.001)), "holder")
    assert small.winner == "holder"
    assert all(test.lead < test.needed for test in small.tests)
    unsure = decide(contest(holder=better(0.0), rival=better(0.05, noise=0.5)), "holder")
    pesq = next(test for test in unsure.tests if test.metric == "PESQ_WB")
    assert pesq.p_value is not None
    assert not pesq.certain
    without_test = decide(contest(holder=better(0.0), rival=better(0.05)), "holder", ruleset=SOUNDSRIGHT_V2)
    assert without_test.winner == "rival"
    assert without_test.tests[0].p_value is None


def test_a_lead_must_survive_failures_that_a_short_window_hides() -> None:
    verdicts = in_turns(
        [
            [row(hotkey, means=means) for hotkey, means in zip(("holder", "rival"), both, strict=True)]
            for both in zip(better(0.0, tasks=12), better(0.012, tasks=12), strict=True)
        ],
        labs=LABS[:2],
    )
    assert decide(verdicts, "holder").winner == "rival"
    floors = {"PESQ_WB": 1.0, "ESTOI": 0.0}
    tests = decide(verdicts, "holder", floors={"PESQ_WB": -1.0, "ESTOI": -0.4}).tests
    assert decide(verdicts, "holder", floors=floors).tests[0].needed >= 0.7 / (8 * 12)
    assert not any(takes_place([test]) for test in tests)


def test_hopeless_challengers_do_not_protect_the_incumbent() -> None:
    rival = better(0.02, noise=0.03, seed=4)
    alone = decide(contest(holder=better(0.0), rival=rival), "holder")
    junk = {f"junk{number:02}": better(-0.2, noise=0.01, seed=number) for number in range(60)}
    crowded = decide(contest(holder=better(0.0), rival=rival, **junk), "holder")
    assert (alone.winner, crowded.winner) == ("rival", "rival")


def test_every_validator_weighs_the_same() -> None:
    for_rival, for_holder = {"PESQ_WB": 2.3, "ESTOI": 0.8}, {"PESQ_WB": 1.8, "ESTOI": 0.6}
    verdicts = [
        verdict(
            task,
            "busy" if task < 40 else "idle",
            [
                row("holder", means={"PESQ_WB": 2.0, "ESTOI": 0.7}),
                row("rival", means=for_holder if task < 40 else for_rival),
            ],
        )
        for task in range(60)
    ]
    lead = {test.metric: test.lead for test in decide(verdicts, "holder").tests}
    assert lead["PESQ_WB"] == pytest.approx((0.3 - 0.2) / 2)


class TestTheOpenPlace:
    def test_goes_to_the_best_score_and_then_to_the_earliest(self) -> None:
        rows = [
            [row("late", block=9), row("early", block=8), row("weak", block=1, passed=task > 5)]
            for task in range(9)
        ]
        decision = decide(in_turns(rows))
        assert (decision.winner, decision.reason) == ("early", FederationReason.OPEN)

    def test_opens_if_the_incumbent_is_gone_or_no_better_than_the_input(self) -> None:
        assert decide(contest(a=better(0.0)), "gone").winner == "a"
        weak = [UNPROCESSED] * 30
        decision = decide(contest(a=better(0.0), weak=weak), "weak")
        assert (decision.winner, decision.incumbent) == ("a", None)

    def test_is_nobodys_if_nobody_beats_the_input(self) -> None:
        weak = [UNPROCESSED] * 30
        decision = decide(contest(weak=weak))
        assert (decision.winner, decision.reason) == (None, FederationReason.NOBODY_ELIGIBLE)
        assert decide(contest(weak=weak), ruleset=replace(SOUNDSRIGHT_V3, must_beat_unprocessed=False)).winner
        assert decide([]).winner is None


class TestEligibility:
    def test_needs_four_fifths_of_the_tasks(self) -> None:
        for judged, winner in ((24, "a"), (23, None)):
            rows = [[row("a")] if task % 30 < judged else [] for task in range(30)]
            assert decide(in_turns(rows, labs=("va",))).winner == winner

    def test_needs_half_of_the_validators(self) -> None:
        # Judged in 28 of 30 tasks, but in 4 of 6 with each of two validators of three.
        labs = ["va"] * 18 + ["vb"] * 6 + ["vc"] * 6
        skipped = {18, 19, 24, 25}
        verdicts = [verdict(task, lab, [] if task in skipped else [row("a")]) for task, lab in enumerate(labs)]
        assert decide(verdicts).winner is None
        assert decide(verdicts, rules=replace(ONE, min_validators=0.3)).winner == "a"

    def test_a_new_model_starts_without_the_tasks_of_the_one_before(self) -> None:
        def rows(since: int) -> list[list[JudgedRow]]:
            return [
                [row("a", version=int(task >= since), block=100 + int(task >= since)), row("b", passed=False)]
                for task in range(30)
            ]

        assert decide(in_turns(rows(5))).winner == "a"
        changed = decide(in_turns(rows(15)))
        assert changed.winner == "b"
        assert [each.judged for each in changed.rows if each.entrant.hotkey == "a"] == [15, 15]

    def test_a_false_block_in_one_verdict_is_nobodys_precedence(self) -> None:
        rows = [[row("a", block=200), row("b", block=300 if task else 1)] for task in range(30)]
        assert decide(in_turns(rows)).winner == "a"

    def test_miners_that_one_validator_invents_push_out_nobody(self) -> None:
        rows = [
            [row("a", block=5_000), *(row(f"x{task}-{number}") for number in range(0 if task % 3 else 200))]
            for task in range(30)
        ]
        decision = decide(in_turns(rows))
        assert decision.winner == "a"
        assert len(decision.rows) == MAX_ENTRANTS

    def test_a_row_without_a_metric_does_not_count(self) -> None:
        rows = [[row("a", means={"PESQ_WB": 3.0})] for _ in range(30)]
        assert decide(in_turns(rows)).rows == ()


@pytest.mark.parametrize(("profile", "winner"), [(Profile.DOC, "b"), (Profile.CODE, "a")])
def test_the_profiles_of_the_document_and_of_the_program_compare_rates(profile: Profile, winner: str) -> None:
    rules = federation_rules(profile, competitions=(COMPETITION.id,))
    rows = [
        [row("a", block=1, passed=task < 11, version=task), row("b", block=2, passed=task < 12)]
        for task in range(20)
    ]
    decision = decide(in_turns(rows, labs=("va",)), "a", rules=rules)
    assert (decision.winner, decision.reason) == (winner, FederationReason.DOMINANT)
    assert [each.passed for each in decision.rows] == [12, 11]


def test_two_verdicts_of_one_task_are_refused() -> None:
    with pytest.raises(ValueError, match="one task"):
        decide([verdict(3, "va", [row("a")]), verdict(3, "vb", [row("a")])])
    with pytest.raises(ValueError, match="DEREVERBERATION_16000HZ is not defined"):
        decide([], rules=FederationRules())


def test_each_competition_pays_its_winner_the_same() -> None:
    rules = FederationRules(competitions=("A", "B", "C", "D"))
    assert winners_shares(rules, {"A": "a", "B": "b", "C": "a", "D": None}) == {"a": 0.5, "b": 0.25}
    assert winners_shares(rules, {}) == {}


def test_the_last_winner_stays_if_more_than_a_fifth_is_unreadable() -> None:
    assert [keeps_last_winner(FederationRules(), unreadable, 10) for unreadable in (0, 2, 3)] == [
        False,
        False,
        True,
    ]


# Properties over federations of random verdicts.
HOTKEYS = ("m0", "m1", "m2", "m3")
_scores = st.integers(1_000_000, 3_000_000)
_profiles = st.sampled_from(list(Profile))


@st.composite
def _verdicts(draw: st.DrawFn) -> list[Verdict]:
    found = []
    for task in range(draw(st.integers(1, 8))):
        rows = [
            row(
                hotkey,
                passed=draw(st.booleans()),
                means={"PESQ_WB": draw(_scores) / 1e6, "ESTOI": draw(_scores) / 4e6},
                block=100 + number,
            )
            for number, hotkey in enumerate(HOTKEYS)
            if draw(st.integers(0, 9))
        ]
        found.append(verdict(task, draw(st.sampled_from(LABS)), rows))
    return found


def _rules(profile: Profile) -> FederationRules:
    return federation_rules(profile, competitions=(COMPETITION.id,), completeness=0.5)


@settings(max_examples=60, deadline=None)
@given(_verdicts(), _profiles, st.randoms(use_true_random=False))
def test_the_order_of_verdicts_does_not_matter(verdicts: list[Verdict], profile: Profile, random: object) -> None:
    shuffled = list(verdicts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert decide(shuffled, "m0", rules=_rules(profile)) == decide(verdicts, "m0", rules=_rules(profile))


@settings(max_examples=60, deadline=None)
@given(_verdicts(), _profiles, st.sampled_from(HOTKEYS))
def test_one_miners_rows_change_no_rate_of_another(verdicts: list[Verdict], profile: Profile, gone: str) -> None:
    without = [replace(v, rows=tuple(r for r in v.rows if r.hotkey != gone)) for v in verdicts]

    def rates(of: Sequence[Verdict]) -> dict[str, object]:
        rows = decide(of, rules=_rules(profile)).rows
        return {
            each.entrant.hotkey: (each.by_validator, each.score, each.eligible, each.beats_unprocessed)
            for each in rows
            if each.entrant.hotkey != gone
        }

    assert rates(verdicts) == rates(without)


@settings(max_examples=60, deadline=None)
@given(_verdicts(), st.floats(-0.49e-6, 0.49e-6))
def test_differences_below_the_rounding_change_nothing(verdicts: list[Verdict], shift: float) -> None:
    def shifted(each: JudgedRow) -> JudgedRow:
        return replace(each, means=rounded_means({metric: mean + shift for metric, mean in each.means.items()}))

    other = [replace(v, rows=tuple(map(shifted, v.rows))) for v in verdicts]
    assert decide(other, "m0") == decide(verdicts, "m0")


@settings(max_examples=60, deadline=None)
@given(_verdicts(), st.sampled_from(("", *HOTKEYS)))
def test_the_winner_follows_from_the_published_rows_and_tests(verdicts: list[Verdict], incumbent: str) -> None:
    decision = decide(verdicts, incumbent, rules=_rules(Profile.SOUNDSRIGHT))
    able = [each.entrant.hotkey for each in decision.rows if each.eligible and each.beats_unprocessed]
    if incumbent not in able:
        assert decision.winner == (able[0] if able else None)
        assert decision.tests == ()
        return
    taking = [
        h for h in able if h != incumbent and takes_place([t for t in decision.tests if t.challenger.hotkey == h])
    ]
    assert decision.winner == (taking[0] if taking else incumbent)
