"""Rounds of images follow from the latest final block alone."""

from __future__ import annotations

import pytest

from soundsright.core.competition import PUBLISHED
from soundsright.core.image_rounds import ImageRound, image_round_at


def test_a_round_lasts_from_its_seed_block_to_the_block_before_the_next() -> None:
    rounds = [image_round_at(block, 180) for block in (180, 359, 360)]
    assert rounds == [ImageRound(1, 180), ImageRound(1, 180), ImageRound(2, 360)]
    assert [one.id for one in rounds if one] == ["images-180", "images-180", "images-360"]


@pytest.mark.parametrize("block", [0, 1, 179])
def test_there_is_no_round_before_the_first_seed_block(block: int) -> None:
    assert image_round_at(block, 180) is None


def test_competitions_take_turns_in_the_organisers_order() -> None:
    turns = [ImageRound(number, 180 * number).competition(PUBLISHED).id for number in (4, 5, 6, 7, 8)]
    ids = [competition.id for competition in PUBLISHED]
    assert turns == [*ids, ids[0]]


def test_wrong_numbers_are_refused() -> None:
    for block, length in ((5, 0), (-1, 180)):
        with pytest.raises(ValueError, match="in no round"):
            image_round_at(block, length)
    with pytest.raises(ValueError, match="cannot begin"):
        ImageRound(2, 1)
    with pytest.raises(ValueError, match="needs a competition"):
        ImageRound(1, 180).competition(())
