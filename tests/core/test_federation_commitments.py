"""A validator keeps its other commitments beside its view, because a chain has one text for each hotkey."""

from __future__ import annotations

import pytest

from soundsright.core.corpus_commitment import CorpusCommitment, corpus_commitment_in
from soundsright.core.federation_commitments import (
    UNKNOWN_WINNER,
    AllowlistCommitment,
    ViewCommitment,
    allowlist_commitment_in,
    beside_view,
    validators_bits,
    validators_in,
    view_commitment_in,
    winner_mark,
)
from soundsright.core.round_commitment import RoundCommitment, keeps, reason_to_leave, round_commitment_in
from soundsright.core.system_commitments import is_entry_commitment

SHA = "ab" * 32
CORPUS = CorpusCommitment("cd" * 32, "0" * 16)
ROUND = RoundCommitment("2030-01-05", "ef" * 32)
OTHERS = ["", CORPUS.text, ROUND.text, RoundCommitment("r1", SHA, CORPUS).text, AllowlistCommitment(SHA).text]


@pytest.mark.parametrize("beside", OTHERS)
def test_a_text_has_a_view_and_what_the_hotkey_was_committed_to_before(beside: str) -> None:
    text = ViewCommitment(123_300, SHA, beside).text
    assert view_commitment_in(text) == ViewCommitment(123_300, SHA, beside)
    assert beside_view(text) == beside_view(beside) == beside
    assert corpus_commitment_in(text) == corpus_commitment_in(beside)
    assert round_commitment_in(text) == round_commitment_in(beside)
    assert allowlist_commitment_in(text) == allowlist_commitment_in(beside)
    assert not is_entry_commitment(text)
    assert len(text) <= 512, "Bittensor stores no longer text"


@pytest.mark.parametrize("beside", OTHERS[:4])
def test_a_round_and_a_corpus_may_take_the_place_of_a_view_and_keep_the_other(beside: str) -> None:
    text = ViewCommitment(180, SHA, beside).text
    assert reason_to_leave(text, round_id="r2") == ""
    assert keeps(text, CORPUS) == keeps(beside, CORPUS)


@pytest.mark.parametrize("beside", OTHERS)
def test_a_text_also_has_the_views_that_were_read_and_the_winners(beside: str) -> None:
    many = [f"validator{number:03}" for number in range(256)]
    winners = tuple(winner_mark(str(number), "5" * 48) for number in range(3))
    stated = ViewCommitment(123_300, SHA, beside, validators_bits(many, many), (*winners, UNKNOWN_WINNER))
    assert view_commitment_in(stated.text) == stated
    assert beside_view(stated.text) == beside
    assert not is_entry_commitment(stated.text)
    assert len(stated.text) <= 512, "Bittensor stores no longer text"


def test_the_validators_of_a_list_are_bits_in_its_sorted_order() -> None:
    validators = ["e", "d", "c", "b", "a"]
    assert validators_bits({"a", "e"}, validators) == "11"
    assert validators_bits(set(), validators) == "00"
    assert validators_in("11", validators) == {"a", "e"}
    assert validators_in("f0", validators) == {"e"}


def test_an_allowlist_beside_a_view_stays() -> None:
    text = ViewCommitment(180, SHA, AllowlistCommitment(SHA).text).text
    assert "belongs to another system" in reason_to_leave(text, round_id="r2")


def test_an_entry_beside_a_view_stays() -> None:
    assert "has an entry on the chain" in reason_to_leave(ViewCommitment(180, SHA, SHA).text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soundsright:view",
        f"soundsright:view:0180:{SHA}",
        f"soundsright:view:-1:{SHA}",
        f"soundsright:view:{10**12}:{SHA}",
        f"soundsright:view:180:{SHA[1:]}",
        f"soundsright:view:180:{SHA.upper()}",
        f"soundsright:view:180:{SHA} ",
        f"soundsright:view:180:{SHA}\n",
        f"leoma:view:180:{SHA}",
        f"soundsright:view:180:{SHA}:5",
        f"soundsright:view:180:{SHA}:5:",
        f"soundsright:view:180:{SHA}::-",
        f"soundsright:view:180:{SHA}:g:-",
        f"soundsright:view:180:{SHA}:5:{'0' * 15}",
        f"soundsright:view:180:{SHA}:5:{'.'.join('-' * 17)}",
        f"{ViewCommitment(180, SHA).text} {ViewCommitment(360, SHA).text}",
    ],
)
def test_another_text_names_no_view(text: str) -> None:
    assert view_commitment_in(text) is None
    assert beside_view(text) == text


def test_an_allowlist_is_named_in_this_form_and_in_the_original_one() -> None:
    assert allowlist_commitment_in(f"soundsright:allowlist:v1:{SHA}") == AllowlistCommitment(SHA)
    assert allowlist_commitment_in(f"leoma:allowlist:v1:{SHA}") == AllowlistCommitment(SHA, "leoma")
    for other in (
        f"soundsright:allowlist:v2:{SHA}",
        f"other:allowlist:v1:{SHA}",
        f"soundsright:allowlist:v1:{SHA}x",
    ):
        assert allowlist_commitment_in(other) is None


def test_what_is_no_commitment_cannot_be_made() -> None:
    for make in (
        lambda: ViewCommitment(-1, SHA),
        lambda: ViewCommitment(180, "ab"),
        lambda: ViewCommitment(180, SHA, ViewCommitment(180, SHA).text),
        lambda: ViewCommitment(180, SHA, read="5"),
        lambda: ViewCommitment(180, SHA, winners=("-",)),
        lambda: AllowlistCommitment(SHA, "other"),
        lambda: AllowlistCommitment("ab"),
    ):
        with pytest.raises(ValueError, match="are not the parts of a commitment"):
            make()
