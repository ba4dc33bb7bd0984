"""Entries that gain more on used recordings than on new ones."""

import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.ranking.memorisation import memorised, why_unmeasurable

CLIPS = 100
FRESH = np.arange(CLIPS) % 5 == 0
RECORDINGS = [f"speech-{n}" for n in range(CLIPS)]


HARDNESS = np.random.default_rng(0).normal(0.0, 2.8, CLIPS)
"""A score of the unprocessed input."""


def honest(entries: int, seed: int, *, sd: float = 1.5) -> NDArray[np.float64]:
    """Gains in dB of enhancers of different quality: clips differ by 3 dB, entries on one clip by `sd`."""
    rng = np.random.default_rng(seed)
    clips = HARDNESS + rng.normal(0.0, 1.0, CLIPS)
    return clips + rng.uniform(2.0, 7.0, (entries, 1)) + rng.normal(0.0, sd, (entries, CLIPS))


def found(gains: NDArray[np.float64], groups: list[int] | None = None) -> set[int]:
    rows = groups or list(range(len(gains)))
    return set(memorised({"SI_SDR": gains}, FRESH, RECORDINGS, alpha=0.001, groups=rows, inputs=[HARDNESS]))


def test_a_parrot_is_found_with_its_gains() -> None:
    gains = honest(8, 1)
    gains[3, ~FRESH] += 30.0
    evidence = memorised({"SI_SDR": gains}, FRESH, RECORDINGS, alpha=0.001, groups=range(8))
    assert set(evidence) == {3}
    assert evidence[3].excess == pytest.approx(30.0, abs=1.5)
    assert evidence[3].used_gain - evidence[3].new_gain == pytest.approx(30.0, abs=3.0)
    assert evidence[3].p_value < 1e-12
    assert (evidence[3].used_recordings, evidence[3].new_recordings) == (80, 20)


def test_honest_entries_are_not_found() -> None:
    assert not any(found(honest(8, seed)) for seed in range(200))


def test_hard_new_recordings_accuse_nobody() -> None:
    """All gain less on new recordings, so the recordings are hard and nobody memorised."""
    gains = honest(8, 2)
    gains[:, FRESH] -= 4.0
    assert not found(gains)


@pytest.mark.parametrize("parrots", [1, 4, 5])
def test_up_to_half_of_the_entries_can_be_parrots(parrots: int) -> None:
    gains = honest(10, 3)
    gains[:parrots, ~FRESH] += 30.0
    assert found(gains) == set(range(parrots))


@pytest.mark.parametrize("parrots", [6, 8, 9])
def test_a_majority_of_parrots_accuses_no_honest_entry(parrots: int) -> None:
    gains = honest(10, 3)
    gains[:parrots, ~FRESH] += 30.0
    assert found(gains) <= set(range(parrots))


@pytest.mark.parametrize(("entries", "attackers"), [(1, 1), (1, 2), (5, 1), (3, 4), (5, 9)])
def test_entries_that_do_worse_on_used_recordings_accuse_no_honest_entry(entries: int, attackers: int) -> None:
    """An attacker that knows the used recordings can make all others stand out there."""
    for seed in range(40):
        gains = honest(entries + attackers, seed)
        gains[entries:, ~FRESH] -= 4.0
        assert not found(gains)


def test_a_parrot_is_found_whatever_is_known_of_the_input() -> None:
    gains = honest(4, 3)
    gains[1, ~FRESH] += 30.0
    constant = np.ones(CLIPS)
    marked = (~FRESH).astype(float)
    for inputs, expected in (([], {1}), ([constant], {1}), ([HARDNESS, HARDNESS], {1}), ([marked], set())):
        known = memorised({"SI_SDR": gains}, FRESH, RECORDINGS, alpha=0.001, groups=range(4), inputs=inputs)
        assert set(known) == expected


def test_equal_gains_have_no_spread_and_still_a_sign() -> None:
    gains = np.ones((2, CLIPS))
    gains[0, ~FRESH] = 4.0
    assert found(gains) == {0}


def test_copies_of_one_parrot_count_once() -> None:
    gains = honest(10, 3)
    gains[:7, ~FRESH] += 30.0
    assert found(gains, [0] * 7 + [7, 8, 9]) == set(range(7))


def test_a_parrot_that_is_held_does_not_hide_another() -> None:
    gains = honest(3, 4)
    gains[:2, ~FRESH] += 30.0
    without = memorised({"SI_SDR": gains}, FRESH, RECORDINGS, alpha=0.001, groups=range(3), unreliable=[0])
    assert set(without) == {0, 1}


def test_many_clips_of_one_recording_are_one_value() -> None:
    """Five used recordings with one lucky outlier prove nothing, however often they are used."""
    recordings = [f"new-{n}" if FRESH[n] else f"used-{n % 6}" for n in range(CLIPS)]
    gains = honest(6, 5)
    gains[2, [name == "used-1" for name in recordings]] += 12.0
    assert not memorised({"SI_SDR": gains}, FRESH, recordings, alpha=0.001, groups=range(6))


def test_entries_that_enhance_nothing_do_not_weaken_the_test() -> None:
    gains = honest(6, 6)
    gains[2, ~FRESH] += 2.5
    junk = np.random.default_rng(7).normal(-5.0, 0.1, (200, CLIPS))
    assert found(gains) == found(np.vstack([gains, junk])) == {2}


def test_a_lone_entry_has_nobody_to_be_compared_with() -> None:
    gains = honest(1, 8)
    gains[0, ~FRESH] += 30.0
    assert not found(gains)


def test_the_order_of_entries_and_clips_changes_nothing() -> None:
    gains = honest(6, 9)
    gains[1, ~FRESH] += 3.0
    clips = np.random.default_rng(0).permutation(CLIPS)
    names = [RECORDINGS[n] for n in clips]
    shuffled = memorised({"SI_SDR": gains[::-1][:, clips]}, FRESH[clips], names, alpha=0.001, groups=range(6))
    assert set(shuffled) == {4}


@pytest.mark.parametrize(
    ("fresh", "words"),
    [
        ([None] * 12, "does not say"),
        ([True] * 12, "All recordings are new"),
        ([False] * 12, "All recordings are used"),
        ([True] * 3 + [False] * 9, "3 new and 9 used recordings; the test needs 5 of each"),
        ([True] * 6 + [False] * 6, ""),
    ],
)
def test_a_set_that_does_not_allow_the_test_says_why(fresh: list[bool | None], words: str) -> None:
    why = why_unmeasurable(fresh, [f"speech-{n}" for n in range(12)])
    assert (words in why) if words else why == ""
