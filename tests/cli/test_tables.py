"""Leaderboards in the terminal."""

from __future__ import annotations

import pytest
from rich.console import Console

from soundsright.cli.shared.tables import clips_line, line_of_test, mean_and_interval, paid_sentence, print_tables
from soundsright.core.competition import PUBLISHED
from soundsright.services.records.results import (
    CompetitionDoc,
    DecisionDoc,
    EstimateDoc,
    FlagDoc,
    RefusalDoc,
    RowDoc,
    TimingDoc,
    UnreadDoc,
)

METRICS = ("PESQ_WB", "ESTOI", "SI_SDR", "SI_SIR", "SI_SAR")
LONG = "a-miner-with-a-name-of-fifty-characters-and-a-few"
EVIDENCE: dict[str, bool | float | str | None] = {
    "test": "exact sign-flip test", "clips": 12.0, "entries": 4.0, "challenger": "bea", "champion": "al",
    "needed": 1.5, "difference": 0.25, "difference_low": 0.1, "difference_high": 0.4, "p_value_holm": 0.00073,
}  # fmt: skip


def row(rank: int | None, namespace: str, *, flags: tuple[FlagDoc, ...] = ()) -> RowDoc:
    return RowDoc(
        rank=rank,
        entry=f"{namespace}/model" if rank else "unprocessed input",
        hotkey=namespace,
        uid=rank,
        model=None,
        block=10,
        ranks={"PESQ_WB": (1, 2), "ESTOI": (2, 12)} if rank else {},
        share=10.0,
        metrics={name: EstimateDoc(mean=-51.23, low=-61.46, high=-41.0, n=20) for name in METRICS},
        clips=20,
        failures={"crashed": 3},
        flags=flags,
        timing=TimingDoc(load_s=1.0, peak_memory_bytes=10**8, real_time_factor=0.123),
    )


def refusal(name: str, uid: int, code: str, sentence: str) -> RefusalDoc:
    return RefusalDoc(entry=f"{name}/model", hotkey=name, uid=uid, code=code, sentence=sentence)


def decision(sentence: str, evidence: dict[str, bool | float | str | None]) -> DecisionDoc:
    return DecisionDoc(metric="PESQ_WB", winner=None, sentence=sentence, evidence=evidence)


def shown(columns: int) -> str:
    flag = FlagDoc(code="copy_of_input", sentence="The output is the input again", value=1.0, limit=0.5)
    published = PUBLISHED[0]
    competition = CompetitionDoc(
        id=published.id,
        title=published.title,
        metric_weights=dict(published.metric_weights),
        max_score=published.max_score,
        remainder=published.remainder,
        seed=1,
        set_digest="0" * 64,
        entries=(row(1, LONG), row(12, "bea", flags=(flag,))),
        unprocessed=row(None, "unprocessed"),
        decisions=(decision("Somebody takes PESQ_WB.", EVIDENCE),),
        refused=(refusal("carl", 7, "no_licence", "There is no licence"),),
        suspected=(refusal("dora", 9, "near_copy", "Answers probe clips as another model does"),),
        unread=(UnreadDoc(entry="emil/model", hotkey="emil", uid=10, files=("a.bin: it has no tensors",)),),
    )
    console = Console(width=columns, highlight=False, record=True, file=None, force_terminal=False, quiet=False)
    with console.capture() as capture:
        print_tables(console, [competition], METRICS)
    return capture.get()


@pytest.mark.parametrize("columns", [80, 140])
def test_no_number_is_cut_however_long_a_name_is(columns: int) -> None:
    printed = shown(columns)
    assert max(map(len, printed.splitlines())) <= columns
    assert "…" not in printed
    assert printed.count("-51.230") == 3  # One ESTOI per row.
    assert printed.count("-51.23") == 3 * len(METRICS)
    assert printed.count("±10.23") == 3 * len(METRICS)
    assert printed.count("1–12") == 2  # From the best possible rank to the worst.


def test_every_finding_has_a_line() -> None:
    printed = " ".join(shown(80).split())
    for words in (
        "3 of 20 clips: crashed",
        "bea/model flagged, copy_of_input: The output is the input again",
        "carl/model (uid 7) refused, no_licence: There is no licence",
        "dora/model suspected, near_copy: Answers probe clips as",
        "emil/model not compared: a.bin: it has no tensors",
        "Somebody takes PESQ_WB.",
        "exact sign-flip test, one-sided, paired over 12 clips, Holm over 3: bea minus al +0.2500 [0.1000, 0.4000],"
        " p = 0.00073",
    ):
        assert words in printed


def test_a_decision_without_a_rival_names_the_test_against_the_unprocessed_input() -> None:
    facts: dict[str, bool | float | str | None] = {
        "test": "exact sign-flip test",
        "clips": 12.0,
        "p_value_unprocessed": 0.0002,
    }
    assert line_of_test(decision("", facts)) == (
        "exact sign-flip test, one-sided, paired over 12 clips, over the unprocessed input: p = 0.0002"
    )


def test_rules_without_a_test_name_none() -> None:
    assert line_of_test(decision("", {"clips": 12.0})) == ""


def test_the_paid_part_and_the_prizes_have_one_denominator() -> None:
    sentence = paid_sentence(1 - 10 / 13, PUBLISHED[:1])
    assert sentence == "10 of the 13 percent that this run could pay (76.9 %)"


def test_a_difference_without_an_interval_says_so() -> None:
    ends = ("difference_low", "difference_high")
    evidence = {name: value for name, value in EVIDENCE.items() if name not in ends}
    assert "+0.2500 no interval, p = 0.00073" in line_of_test(decision("Somebody takes PESQ_WB.", evidence))


def test_a_mean_without_an_interval_has_a_dash() -> None:
    assert mean_and_interval(EstimateDoc(mean=1.5, low=None, high=None, n=1), 2) == "1.50 ±-"


def test_the_number_of_clips_is_shown_with_the_effective_one() -> None:
    assert "20 clips, each counted as independent" in shown(140)
    assert "12 to 14" in clips_line(
        competition_of(*(EstimateDoc(mean=1.0, low=0.5, high=1.5, n=20, effective_n=n) for n in (12.2, 13.9)))
    )


def competition_of(*estimates: EstimateDoc) -> CompetitionDoc:
    rows = tuple(row(1, "al").model_copy(update={"metrics": {"PESQ_WB": estimate}}) for estimate in estimates)
    return CompetitionDoc.model_construct(metric_weights={"PESQ_WB": 1.0}, entries=rows[:1], unprocessed=rows[-1])
