"""A set that is drawn in parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.core.competition import PUBLISHED
from soundsright.core.material import Material
from soundsright.services.rounds.clipset import (
    MAX_CLIPS_OF_A_JOB,
    DrawnClips,
    SetRequest,
    draw_to_disk,
    start_set,
)
from soundsright.testing import InlinePool


@pytest.mark.parametrize(("clips", "jobs", "parts"), [(1, 4, 1), (10, 4, 4), (100, 2, 2), (1_001, 2, 21)])
def test_a_set_is_drawn_in_short_parts_that_have_every_clip_once(
    tmp_path: Path, clips: int, jobs: int, parts: int
) -> None:
    drawn: list[tuple[int, ...]] = []

    def draw(_request: SetRequest, indices: tuple[int, ...]) -> DrawnClips:
        drawn.append(indices)
        return DrawnClips({}, {}, {}, 0.0)

    request = SetRequest(PUBLISHED[0], 1, clips, Material(), tmp_path)
    start_set(request, InlinePool({draw_to_disk: draw}), jobs=jobs)
    assert len(drawn) == parts
    assert max(map(len, drawn)) <= MAX_CLIPS_OF_A_JOB
    assert sorted(index for part in drawn for index in part) == list(range(clips))
