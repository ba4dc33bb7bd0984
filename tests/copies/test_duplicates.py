"""The earliest of several copies stays."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from soundsright.copies.duplicates import DuplicateRule, Likeness, without_duplicates
from soundsright.core.competition import Competition
from soundsright.core.submission import FetchedModel
from tests.ranking.builders import IN_DB, ONE_METRIC, entry

NAMED = dataclasses.replace(ONE_METRIC, name="summer")


def model(
    uid: int,
    *,
    block: int,
    content: str | None = None,
    checkpoints: Sequence[str] = (),
    name: str | None = None,
    competition: Competition = ONE_METRIC,
) -> FetchedModel:
    submission = entry(uid, competition, block=block, name=name)
    return FetchedModel(submission, Path("/models"), content or f"content{uid}", tuple(checkpoints))


def outcome(
    models: list[FetchedModel],
    *,
    since: Mapping[str, Mapping[str, int]] | None = None,
    likenesses: Sequence[Likeness] = (),
) -> tuple[list[int], list[tuple[int, int, DuplicateRule]]]:
    """The uids that stay, and of each refused copy its uid, the original's uid and the rule."""
    unique = without_duplicates(models, since=since, likenesses=likenesses)
    kept = [m.submission.uid for m in unique.kept]
    return kept, [(d.duplicate.uid, d.original.uid, d.rule) for d in unique.duplicates]


def test_the_earliest_of_equal_contents_stays() -> None:
    assert outcome([model(1, block=20, content="c"), model(2, block=10, content="c")]) == (
        [2],
        [(1, 2, DuplicateRule.SAME_CONTENT)],
    )


def test_in_the_same_block_the_lowest_uid_stays() -> None:
    assert outcome([model(2, block=10, content="c"), model(1, block=10, content="c")])[0] == [1]


def test_one_shared_checkpoint_is_enough() -> None:
    models = [model(1, block=1, checkpoints=("a", "b")), model(2, block=2, checkpoints=("c", "b"))]
    assert outcome(models) == ([1], [(2, 1, DuplicateRule.SHARED_CHECKPOINT)])


def test_the_same_reference_is_found_before_anything_else() -> None:
    first = model(1, block=1, content="c")
    second = dataclasses.replace(
        first, submission=dataclasses.replace(first.submission, uid=2, hotkey="hk002", block=2)
    )
    assert outcome([second, first])[1] == [(2, 1, DuplicateRule.SAME_REFERENCE)]


def test_a_copy_of_a_copy_counts_against_the_original_only() -> None:
    models = [
        model(1, block=1, checkpoints=("a",)),
        model(2, block=2, checkpoints=("a", "b")),
        model(3, block=3, checkpoints=("b",)),
    ]
    assert outcome(models)[0] == [1, 3]


def since(models: list[FetchedModel], *blocks: dict[str, int]) -> dict[str, dict[str, int]]:
    return {m.submission.entry_id: marks for m, marks in zip(models, blocks, strict=True)}


def test_the_first_holder_of_a_shared_file_stays_even_if_it_committed_last() -> None:
    models = [model(1, block=30, checkpoints=("a", "b")), model(2, block=20, checkpoints=("a", "c"))]
    held = since(models, {"a": 10}, {"c": 5})
    assert outcome(models, since=held) == ([1], [(2, 1, DuplicateRule.SHARED_CHECKPOINT)])
    refusal = without_duplicates(models, since=held).duplicates[0].refusal()
    assert "ns/model1 (uid 1, held since block 10)" in refusal.sentence
    assert (refusal.evidence["original_block"], refusal.evidence["original_since_block"]) == ("30", "10")


def test_a_mark_shared_with_an_accomplice_does_not_count_against_a_third_entry() -> None:
    models = [
        model(1, block=20, checkpoints=("stolen", "own")),
        model(2, block=30, checkpoints=("own",)),
        model(3, block=15, checkpoints=("stolen",)),
    ]
    assert outcome(models, since=since(models, {"own": 1}, {}, {}))[0] == [3, 2]


def test_in_a_circle_of_copies_the_holder_of_the_earliest_mark_stays() -> None:
    models = [
        model(1, block=90, checkpoints=("a", "b")),
        model(2, block=91, checkpoints=("b", "c")),
        model(3, block=92, checkpoints=("c", "a")),
    ]
    ring = since(models, {"a": 20, "b": 40}, {"b": 50, "c": 5}, {"c": 6, "a": 10})
    for order in (models, models[::-1]):
        assert outcome(order, since=ring)[0] == [2]


def likeness(a: FetchedModel, b: FetchedModel, rule: DuplicateRule) -> Likeness:
    return Likeness(a.submission.entry_id, b.submission.entry_id, rule, {"shown": "by this"})


def test_a_likeness_drops_the_later_of_the_pair() -> None:
    models = [model(1, block=1), model(2, block=2), model(3, block=3)]
    alike = [likeness(models[1], models[0], DuplicateRule.SAME_TENSORS)]
    assert outcome(models, likenesses=alike) == ([1, 3], [(2, 1, DuplicateRule.SAME_TENSORS)])


def test_the_first_holder_of_two_similar_entries_stays() -> None:
    models = [model(1, block=1), model(2, block=2)]
    alike = dataclasses.replace(likeness(models[1], models[0], DuplicateRule.SAME_TENSORS), since=(0, 1))
    assert outcome(models, likenesses=[alike]) == ([2], [(1, 2, DuplicateRule.SAME_TENSORS)])


def test_an_entry_that_is_similar_only_to_a_dropped_copy_stays() -> None:
    models = [model(1, block=1), model(2, block=2), model(3, block=3)]
    alike = [
        likeness(models[0], models[1], DuplicateRule.NEAR_COPY),
        likeness(models[1], models[2], DuplicateRule.NEAR_COPY),
    ]
    assert outcome(models, likenesses=alike)[0] == [1, 3]


def test_a_near_copy_can_be_reported_without_being_excluded() -> None:
    models = [model(1, block=1), model(2, block=2)]
    alike = [likeness(models[0], models[1], DuplicateRule.NEAR_COPY)]
    unique = without_duplicates(models, likenesses=alike, reported_only=[DuplicateRule.NEAR_COPY])
    assert [m.submission.uid for m in unique.kept] == [1, 2]
    assert [(d.duplicate.uid, d.evidence["shown"]) for d in unique.suspected] == [(2, "by this")]


def test_a_copy_in_another_competition_with_the_same_task_and_rate_is_refused() -> None:
    models = [model(1, block=1, content="c"), model(2, block=2, content="c", competition=NAMED)]
    assert outcome(models) == ([1], [(2, 1, DuplicateRule.SAME_CONTENT)])
    models = [model(1, block=1), model(2, block=2, competition=NAMED)]
    alike = [likeness(models[0], models[1], DuplicateRule.SAME_TENSORS)]
    assert outcome(models, likenesses=alike)[0] == [1]


def test_only_copies_in_the_same_competition_widen_the_margin() -> None:
    models = [
        model(uid, block=uid, content="c", competition=NAMED if uid == 3 else ONE_METRIC) for uid in range(1, 4)
    ]
    assert without_duplicates(models).copies_of(models[0].submission) == 1


def test_one_model_may_enter_competitions_at_two_rates() -> None:
    models = [model(1, block=1, content="c"), model(2, block=2, content="c", competition=IN_DB)]
    assert outcome(models)[0] == [1, 2]


def test_the_refusal_names_the_original() -> None:
    unique = without_duplicates([model(1, block=1, content="c"), model(2, block=2, content="c")])
    refusal = unique.duplicates[0].refusal()
    assert refusal.code == "same_content_hash"
    assert "ns/model1 (uid 1, block 1)" in refusal.sentence
    assert refusal.evidence["original_hotkey"] == "hk001"
    assert unique.copies_of(unique.kept[0].submission) == 1
