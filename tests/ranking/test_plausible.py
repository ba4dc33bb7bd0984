"""Scores that no enhancer reaches."""

import numpy as np
import pytest

from soundsright.core.competition import PUBLISHED, Competition
from soundsright.ranking.plausible import Ceilings, impossible, shipped_ceilings

CEILINGS = Ceilings((-10.0, 0.0, 10.0), {"SI_SDR": (30.0, 30.0, 20.0), "PESQ_WB": (3.0, 4.0, 5.0)})
INPUT_DB = np.linspace(-10.0, 10.0, 100)


def test_the_ceiling_of_si_sdr_follows_the_input() -> None:
    assert CEILINGS.of("SI_SDR", np.array([-10.0, 5.0, 20.0])).tolist() == [20.0, 30.0, 40.0]
    assert CEILINGS.of("PESQ_WB", np.array([-5.0, 20.0])).tolist() == [3.5, 5.0]


def test_clips_far_below_the_calibrated_levels_are_not_judged() -> None:
    assert CEILINGS.of("PESQ_WB", np.array([-20.1])).tolist() == [np.inf]
    silent = np.full(100, -40.0)
    assert impossible({"SI_SDR": np.full(100, 100.0)}, silent, CEILINGS) is None


def test_one_impossible_clip_is_not_enough() -> None:
    scores = {"SI_SDR": INPUT_DB + 5.0, "PESQ_WB": np.full(100, 2.0)}
    scores["SI_SDR"][0] = 100.0
    assert impossible(scores, INPUT_DB, CEILINGS) is None
    scores["SI_SDR"][1] = 90.0
    found = impossible(scores, INPUT_DB, CEILINGS)
    assert found is not None
    assert (found.clips, found.metric, found.score, found.ceiling, found.input_db) == (
        2,
        "SI_SDR",
        100.0,
        20.0,
        -10.0,
    )


def test_clips_that_are_not_judged_do_not_hide_the_others() -> None:
    levels = np.append(np.full(50, -40.0), np.full(50, 0.0))
    found = impossible({"SI_SDR": np.full(100, 73.0)}, levels, CEILINGS)
    assert found is not None
    assert (found.clips, found.ceiling) == (50, 30.0)


def test_a_metric_without_a_ceiling_is_not_judged() -> None:
    assert impossible({"SI_SAR": np.full(100, 1e6)}, INPUT_DB, CEILINGS) is None


@pytest.mark.parametrize("competition", PUBLISHED, ids=lambda c: c.id)
def test_the_shipped_ceilings_hold_a_parrot_and_let_good_enhancers_pass(
    competition: Competition,
) -> None:
    ceilings = shipped_ceilings(competition)
    assert ceilings is not None
    levels = np.linspace(ceilings.input_db[0], ceilings.input_db[-1], 100)
    assert impossible({"SI_SDR": np.full(100, 73.0)}, levels, ceilings) is not None
    good = {"SI_SDR": levels + 15.0, "ESTOI": np.full(100, 0.8), "PESQ_WB": np.full(100, 2.0)}
    assert impossible(good, levels, ceilings) is None
