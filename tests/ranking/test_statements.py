"""Which views count and who is paid, by what validators state on the chain."""

from __future__ import annotations

from soundsright.ranking import (
    NO_WINNER,
    EpochStatement,
    StatedEpoch,
    attested_views,
    has_majority,
    standing_winners,
    stated_winners,
)

FIVE = ("a", "b", "c", "d", "e")


def _read(*validators: str) -> EpochStatement:
    return EpochStatement("00" * 32, frozenset(validators))


def _named(winner: str | None) -> EpochStatement:
    return EpochStatement("00" * 32, winners={} if winner is None else {"X": winner})


def test_a_view_counts_if_a_majority_of_all_validators_has_read_it() -> None:
    assert attested_views(FIVE, [_read("a", "b"), _read("a", "b"), _read("a")]) == {"a"}


def test_a_view_that_is_shown_to_nobody_or_to_a_few_counts_for_nobody() -> None:
    assert attested_views(FIVE, [_read("e"), _read("e", "a"), _read("a"), _read("a"), _read("a")]) == {"a"}


def test_a_validator_off_the_list_does_not_count() -> None:
    assert attested_views(FIVE, [_read("z")] * 5) == frozenset()


def test_the_winner_that_a_majority_of_all_validators_names_is_paid() -> None:
    assert stated_winners(FIVE, [_named("m"), _named("m"), _named("m"), _named("n")], ["X"]) == {"X": "m"}


def test_two_liars_and_two_silent_validators_change_no_winner() -> None:
    assert stated_winners(FIVE, [_named("liar"), _named("liar"), _named("m")], ["X"]) == {}


def test_a_majority_for_nobody_is_a_winner_of_its_own() -> None:
    assert stated_winners(FIVE, [_named(NO_WINNER)] * 3, ["X"]) == {"X": NO_WINNER}
    assert stated_winners(FIVE, [_named(None)] * 5, ["X"]) == {}


def test_competitions_have_separate_majorities() -> None:
    statements = [EpochStatement("", winners={"X": "m", "Y": y}) for y in ("m", "n", "o")]
    assert stated_winners(FIVE, statements, ["X", "Y"]) == {"X": "m"}


def _epoch(*winners: str | None) -> StatedEpoch:
    return StatedEpoch(FIVE, [_named(winner) for winner in winners])


def test_without_a_majority_the_last_winner_stands() -> None:
    torn, sure = _epoch("m", "m", "n", "n"), _epoch("m", "m", "m")
    assert standing_winners([torn, torn, sure], ["X"]) == {"X": "m"}
    assert standing_winners([torn, {"X": "n"}, sure], ["X"]) == {"X": "n"}
    assert standing_winners([sure, {"X": "n"}], ["X"]) == {"X": "m"}


def test_a_winner_that_is_not_known_any_more_is_not_nobody() -> None:
    assert standing_winners([_epoch("m", "m", "n", "n")] * 5, ["X"]) is None


def test_at_the_start_nobody_stands_whatever_a_liar_names() -> None:
    assert standing_winners([_epoch("liar", None, None, None, None)] * 5, ["X"]) == {}
    assert standing_winners([], ["X"]) == {}


def test_the_verdicts_of_a_majority_of_all_validators_decide() -> None:
    assert has_majority(FIVE, ["a", "b", "e", "e"])
    assert not has_majority(FIVE, ["a", "b", "b", "z"])
