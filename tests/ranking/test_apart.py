"""Entries that are ranked apart: memorised, held, or refused by the organiser."""

import numpy as np
import pytest

from soundsright.core.competition import PUBLISHED
from soundsright.core.results import ApartReason, Evaluation
from soundsright.core.rulesets import SOUNDSRIGHT_V3, SOUNDSRIGHT_V4, Ruleset
from soundsright.ranking import apart as module
from soundsright.ranking.apart import OrganiserDecisions, SetApart, Speech, set_apart
from tests.ranking.builders import FLOORS, entry, evaluation

DENOISING = PUBLISHED[0]
CLIPS = 60
FRESH = np.arange(CLIPS) % 5 == 0
IDS = [f"clip{i:04d}" for i in range(CLIPS)]
SPEECH = Speech({i: f"speech-{i}" for i in IDS}, {i: bool(mark) for i, mark in zip(IDS, FRESH, strict=True)})
NO_MARKS = Speech(SPEECH.recordings, dict.fromkeys(IDS))
UNDECIDED = OrganiserDecisions()
LEVELS_DB = np.linspace(0.0, 15.0, CLIPS)


def enhanced(uid: int, gain_db: float, *, knows: float = 0.0) -> Evaluation:
    """An entry that gains so much SI-SDR, and `knows` more on used recordings."""
    gains = gain_db + np.random.default_rng(uid).normal(0.0, 1.0, CLIPS) + knows * ~FRESH
    scores = {"SI_SDR": LEVELS_DB + gains, "PESQ_WB": 1.2 + 0.05 * gains, "ESTOI": 0.6 + 0.01 * gains}
    return evaluation(entry(uid, DENOISING), {name: np.minimum(v, 100.0) for name, v in scores.items()})


NOISY = evaluation(
    entry(900, DENOISING),
    {"SI_SDR": LEVELS_DB, "PESQ_WB": np.full(CLIPS, 1.2), "ESTOI": np.full(CLIPS, 0.6)},
)
HONEST = [enhanced(uid, 6.0 + 0.3 * uid) for uid in range(1, 6)]
PARROT = evaluation(
    entry(7, DENOISING),
    {"SI_SDR": np.full(CLIPS, 73.0), "PESQ_WB": np.full(CLIPS, 4.64), "ESTOI": np.full(CLIPS, 1.0)},
)


def apart(
    entries: list[Evaluation],
    *,
    ruleset: Ruleset = SOUNDSRIGHT_V4,
    speech: Speech = SPEECH,
    decisions: OrganiserDecisions = UNDECIDED,
) -> SetApart:
    return set_apart(
        DENOISING, entries, NOISY, ruleset, floors=FLOORS, speech=speech, suspected={}, decisions=decisions
    )


def reasons(result: SetApart) -> dict[str, ApartReason]:
    return {each.submission.hotkey: each.reason for each in result.apart}


def test_honest_entries_are_ranked_together() -> None:
    assert apart(HONEST) == SetApart()


def test_impossible_scores_are_held_with_an_example() -> None:
    (held,) = apart([*HONEST, PARROT]).apart
    assert (held.submission.hotkey, held.reason) == ("hk007", ApartReason.HELD)
    assert held.sentence.startswith("Payment is held: 60 of 60 clips have scores that no enhancer reaches.")
    assert held.evidence["score"] == 73.0


def test_the_organiser_releases_or_refuses_a_held_entry() -> None:
    rows = [*HONEST, PARROT]
    assert reasons(apart(rows, decisions=OrganiserDecisions(released={"hk007"}))) == {}
    refused = apart(rows, decisions=OrganiserDecisions(refused={"hk007", "hk002"}))
    assert reasons(refused) == dict.fromkeys(("hk002", "hk007"), ApartReason.REFUSED)


def test_a_memory_is_the_stronger_reason_and_cannot_be_released() -> None:
    rows = [*HONEST, enhanced(8, 6.0, knows=60.0)]
    assert reasons(apart(rows)) == {"hk008": ApartReason.MEMORISED}
    assert reasons(apart(rows, decisions=OrganiserDecisions(released={"hk008"}))) == {
        "hk008": ApartReason.MEMORISED
    }


def test_older_rules_hold_nobody_and_measure_nothing() -> None:
    assert apart([*HONEST, PARROT], ruleset=SOUNDSRIGHT_V3) == SetApart()


@pytest.mark.parametrize(
    ("entries", "speech", "why"),
    [
        (HONEST, NO_MARKS, "The corpus does not say which recordings are new."),
        (HONEST[:1], SPEECH, "There is no other entry to compare with."),
    ],
)
def test_a_test_that_is_not_possible_says_why(entries: list[Evaluation], speech: Speech, why: str) -> None:
    assert apart(entries, speech=speech).unmeasured == {ApartReason.MEMORISED: why}


def test_a_task_without_calibration_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "shipped_ceilings", lambda _competition: None)
    assert apart([*HONEST, PARROT]).unmeasured == {
        ApartReason.HELD: "There is no calibration for this task and rate."
    }
