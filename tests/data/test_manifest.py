"""The groups of the clips of a set, by the lines of its manifest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from soundsright.core.competition import competition_by_id
from soundsright.data import Corpus, draw_clips, groups_of, recipe_fields
from soundsright.data.rooms import simulated_room


@pytest.mark.parametrize(
    ("competition", "factors"),
    [("DENOISING_16000HZ", ["noise", "prompt"]), ("DEREVERBERATION_16000HZ", ["room", "prompt"])],
)
def test_a_drawn_set_is_grouped_by_its_noise_or_room_and_by_its_prompt(
    competition: str, factors: list[str]
) -> None:
    clips = list(draw_clips(competition_by_id(competition), 3, 3, corpus=Corpus.open()))
    groups = groups_of({clip.id: recipe_fields(clip.recipe) for clip in clips})
    assert groups is not None
    assert groups.clip_ids == tuple(clip.id for clip in clips)
    assert list(groups.factors) == factors


def test_lines_and_recipes_give_the_same_groups() -> None:
    recipe = {"speech": "s1", "noise": "rain", "rir": None}
    assert groups_of([{"id": "a", **recipe}]) == groups_of({"a": recipe})


def test_voices_of_babble_are_one_kind_of_noise() -> None:
    assert factors_of({"noise": "babble:s2+s3"}, {"noise": "babble:s4"}, {"noise": "wind"})["noise"] == (
        "babble",
        "babble",
        "wind",
    )


def test_a_simulated_room_is_one_at_any_distance() -> None:
    room = simulated_room(np.random.default_rng(0), 16_000, rt60_s=(0.3, 0.4))
    assert factors_of({"rir": room.id}, {"rir": "kitchen-mic2"})["room"] == (room.group, "kitchen-mic2")


def test_the_prompt_is_the_longest_piece_of_speech() -> None:
    pieces = [{"speech": "s1", "duration_s": 1.0}, {"speech": "s2", "duration_s": 2.0}]
    assert factors_of({"noise": "rain", "pieces": pieces})["prompt"] == ("s2",)


def test_a_source_that_only_some_clips_have_is_no_factor() -> None:
    assert list(factors_of({"noise": "rain"}, {"noise": None})) == ["prompt"]


@pytest.mark.parametrize(
    "line",
    [
        {"id": "b", "digest": "0", "degraded_sha256": "1", "recipe_sha256": "2"},
        {"id": "b", "audio": "b.wav"},
        {"id": "b", "speech": ["s1"]},
        {"id": "b", "speech": "s1", "pieces": [{"speech": "s1"}]},
        {"id": "b", "speech": "s1", "pieces": 3},
    ],
    ids=["hidden", "foreign", "list", "piece-without-length", "pieces-of-another-form"],
)
def test_a_clip_that_does_not_say_what_it_was_made_from_leaves_the_groups_unknown(line: dict[str, Any]) -> None:
    assert groups_of([{"id": "a", "speech": "s1", "noise": "rain"}, line]) is None


def test_no_clip_gives_no_groups() -> None:
    assert groups_of([]) is None


def test_two_lines_of_one_clip_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        groups_of([{"id": "a", "speech": "s1"}, {"id": "a", "speech": "s2"}])


def factors_of(*recipes: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    groups = groups_of(
        {str(i): {"speech": f"s{i}", "noise": None, "rir": None, **r} for i, r in enumerate(recipes)}
    )
    assert groups is not None
    return dict(groups.factors)
