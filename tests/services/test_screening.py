"""Who may enter."""

from __future__ import annotations

import pytest

from soundsright.core.competition import PUBLISHED
from soundsright.core.ports import Neuron
from soundsright.core.submission import Commitment, ModelRef, Reveal, commitment_digest
from soundsright.services.screening import EntryRules, Screened, screened

COMPETITION = PUBLISHED[0].id
MODEL = ModelRef("alice", "model", "1" * 40)
NEURON = Neuron(uid=3, hotkey="alice", registered_at=10)


def commitment(block: int = 20, digest: str | None = None) -> Commitment:
    return Commitment("alice", digest or commitment_digest(MODEL, "alice", COMPETITION), block)


def screen(
    committed: Commitment,
    *,
    reveal: Reveal | None = Reveal(MODEL, COMPETITION),  # noqa: B008
    neurons: tuple[Neuron, ...] = (NEURON,),
    rules: EntryRules = EntryRules(),
) -> Screened:
    return screened(
        [committed], {"alice": reveal} if reveal else {}, neurons, PUBLISHED, entries_close_block=100, rules=rules
    )


def test_a_revealed_commitment_made_in_time_is_admitted() -> None:
    result = screen(commitment())
    assert result.refusals == ()
    (entry,) = result.submissions
    assert (entry.uid, entry.model, entry.block, entry.competition.id) == (3, MODEL, 20, COMPETITION)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (lambda: screen(commitment(block=101)), "too_late"),
        (lambda: screen(commitment(), neurons=()), "not_registered"),
        (lambda: screen(commitment(block=9)), "stale_commitment"),
        (lambda: screen(commitment(), reveal=None), "not_revealed"),
        (lambda: screen(commitment(digest="0" * 64)), "digest_mismatch"),
        (lambda: screen(commitment(), reveal=Reveal(MODEL, PUBLISHED[1].id)), "digest_mismatch"),
        (lambda: screen(commitment(), reveal=Reveal(MODEL, "SINGING_8000HZ")), "unknown_competition"),
        (lambda: screen(commitment(), rules=EntryRules(banned_hotkeys={"alice": 101})), "banned"),
        (
            lambda: screen(
                commitment(), rules=EntryRules(cooldown_blocks=30, previous_commitment_blocks={"alice": 5})
            ),
            "cooldown",
        ),
    ],
)
def test_each_broken_rule_is_named(result: object, code: str) -> None:
    assert callable(result)
    outcome = result()
    assert outcome.submissions == ()
    (refusal,) = outcome.refusals
    assert refusal.code == code
    assert refusal.sentence
    assert "commitment_block" in refusal.evidence
    # What no board stands for would be shown by none.
    assert refusal.competition_id in (None, *(c.id for c in PUBLISHED))


def test_a_commitment_in_the_closing_block_is_in_time() -> None:
    assert screen(commitment(block=100)).submissions


def test_a_ban_ends() -> None:
    assert screen(commitment(), rules=EntryRules(banned_hotkeys={"alice": 100})).submissions


def test_another_hotkeys_digest_does_not_fit() -> None:
    stolen = commitment_digest(MODEL, "bob", COMPETITION)
    assert screen(commitment(digest=stolen)).refusals[0].code == "digest_mismatch"
