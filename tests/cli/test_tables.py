"""Leaderboards in the terminal."""

from __future__ import annotations

import pytest
from rich.console import Console

from soundsright.cli.shared.tables import line_of_test, print_tables
from soundsright.copies.duplicates import Duplicate, DuplicateRule
from soundsright.core.competition import PUBLISHED
from soundsright.core.results import Decision, Estimate, Refusal, Timing
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Submission
from soundsright.ranking.gaming import Flag
from soundsright.ranking.statistics import RankSet
from soundsright.services.records.summary import Row, Table

METRICS = ("PESQ_WB", "ESTOI", "SI_SDR", "SI_SIR", "SI_SAR")
LONG = "a-miner-with-a-name-of-fifty-characters-and-a-few"
EVIDENCE = {
    "test": "exact sign-flip test", "clips": 12.0, "entries": 4.0, "challenger": "bea", "champion": "al",
    "needed": 1.5, "difference": 0.25, "difference_low": 0.1, "difference_high": 0.4, "p_value_holm": 0.00073,
}  # fmt: skip


def entry(uid: int, namespace: str) -> Submission:
    return Submission(uid, namespace, PUBLISHED[0], ModelRef(namespace, "model", f"{uid:040x}"), 10)


def row(rank: int | None, namespace: str, *, flags: tuple[Flag, ...] = ()) -> Row:
    estimates = {name: Estimate(-51.23, -61.46, -41.0, 20) for name in METRICS}
    ranks = {"PESQ_WB": RankSet(1, 2), "ESTOI": RankSet(2, 12)} if rank else {}
    return Row(
        rank,
        entry(rank or 0, namespace),
        estimates,
        10.0,
        20,
        {"crashed": 3},
        Timing(load_s=1.0, enhance_s=0.123, audio_s=1.0, peak_memory_bytes=10**8),
        {},
        {},
        flags,
        ranks,
    )


def shown(columns: int) -> str:
    flag = Flag("copy_of_input", "The output is the input again", 1.0, 0.5)
    table = Table(
        competition=PUBLISHED[0],
        seed=1,
        set_digest="0" * 64,
        rows=(row(1, LONG), row(12, "bea", flags=(flag,))),
        unprocessed=row(None, "unprocessed"),
        decisions=(Decision("PESQ_WB", entry(1, LONG), "Somebody takes PESQ_WB.", EVIDENCE),),
        refusals=(Refusal("carl", 7, "carl/model", PUBLISHED[0].id, "no_licence", "There is no licence"),),
        suspected=(Duplicate(entry(9, "dora"), entry(1, LONG), DuplicateRule.NEAR_COPY),),
    )
    console = Console(width=columns, highlight=False, record=True, file=None, force_terminal=False, quiet=False)
    with console.capture() as capture:
        print_tables(console, [table], METRICS)
    return capture.get()


@pytest.mark.parametrize("columns", [80, 140])
def test_no_number_is_cut_however_long_a_name_is(columns: int) -> None:
    told = shown(columns)
    assert max(map(len, told.splitlines())) <= columns
    assert "…" not in told
    assert told.count("-51.230") == 3  # One ESTOI for each row.
    assert told.count("-51.23") == 3 * len(METRICS)
    assert told.count("±10.23") == 3 * len(METRICS)
    assert told.count("1–12") == 2  # Between the best rank that a metric leaves open and the worst.


def test_everything_that_was_found_has_a_line() -> None:
    told = " ".join(shown(80).split())
    for words in (
        "3 of 20 clips: crashed",
        "bea/model flagged, copy_of_input: The output is the input again",
        "carl/model (uid 7) refused, no_licence: There is no licence",
        "dora/model suspected, near_copy: Answers probe clips as",
        "Somebody takes PESQ_WB.",
        "exact sign-flip test, one-sided, paired over 12 clips, Holm over 3: bea minus al +0.2500 [0.1000, 0.4000],"
        " p = 0.00073",
    ):
        assert words in told


def test_a_decision_without_a_rival_names_the_test_against_the_unprocessed_input() -> None:
    facts = {"test": "exact sign-flip test", "clips": 12.0, "p_value_unprocessed": 0.0002}
    assert line_of_test(Decision("PESQ_WB", None, "", facts)) == (
        "exact sign-flip test, one-sided, paired over 12 clips, over the unprocessed input: p = 0.0002"
    )


def test_rules_without_a_test_name_none() -> None:
    assert line_of_test(Decision("PESQ_WB", None, "", {"clips": 12.0})) == ""
