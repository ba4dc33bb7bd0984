from __future__ import annotations

import pytest

from soundsright.core.groups import ClipGroups


def test_labels_follow_the_order_of_the_clips_asked_for() -> None:
    groups = ClipGroups(("a", "b", "c"), {"noise": ("rain", "wind", "rain"), "prompt": ("x", "y", "z")})
    assert groups.labels(["c", "a"]) == (("rain", "rain"), ("z", "x"))


def test_a_clip_without_groups_is_an_error_and_not_a_group_of_its_own() -> None:
    with pytest.raises(KeyError):
        ClipGroups(("a",), {"noise": ("rain",)}).labels(["b"])


@pytest.mark.parametrize(
    ("clip_ids", "factors"),
    [
        (("a", "a"), {"noise": ("x", "y")}),
        (("a",), {}),
        (("a", "b"), {"noise": ("x",)}),
        (("a",), dict.fromkeys("abcde", ("x",))),
    ],
)
def test_groups_that_do_not_fit_the_clips_are_refused(
    clip_ids: tuple[str, ...], factors: dict[str, tuple[str, ...]]
) -> None:
    with pytest.raises(ValueError, match=r"clip|factor|labels"):
        ClipGroups(clip_ids, factors)
