"""Statements on the chain decide who is paid, and need no bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.core.errors import InfrastructureFault
from soundsright.core.federation_commitments import UNKNOWN_WINNER, ViewCommitment, winner_mark
from soundsright.services.federation.stated import PaidWinners, RecordedPaid, Stated, hotkeys_of
from soundsright.services.federation.weights_context import FederationMemory
from soundsright.testing import MemoryRecords
from tests.services.federation.published import sha
from tests.services.federation.voters import ALICE, BOB, NAMES, Voters

EPOCH = 80


@pytest.fixture
def voters(tmp_path: Path) -> Voters:
    made = Voters(tmp_path, count=5)
    made.publish_list()
    made.advance_to(EPOCH)
    return made


def marks(hotkey: str | None) -> tuple[str, ...]:
    ordered = sorted(NAMES)
    return tuple(UNKNOWN_WINNER if hotkey is None else winner_mark(name, hotkey) for name in ordered)


def state(voters: Voters, epoch: int, *winners: str | None) -> None:
    """Let the first validators state these winners in an epoch, and its half pass."""
    voters.advance_to(epoch)
    for address, winner in zip(voters.addresses, winners, strict=False):
        voters.chain.publish(address, ViewCommitment(epoch, sha(address), "", "0", marks(winner)).text)
    voters.advance_to(epoch + voters.rules.half_epoch)


def stated(voters: Voters, paid: RecordedPaid | None = None) -> Stated:
    context = voters.context(voters.addresses[0])
    memory = FederationMemory(context)
    return Stated(context.chain, context.rules, memory, paid or RecordedPaid(MemoryRecords()))


def named(found: Stated, epoch: int) -> set[str]:
    return set(hotkeys_of(found.marks(epoch), [ALICE, BOB]).values())


def test_the_winner_of_a_majority_is_paid_also_after_a_restart(voters: Voters) -> None:
    state(voters, EPOCH, ALICE, ALICE, ALICE, BOB, None)
    assert named(stated(voters), EPOCH) == {ALICE}


def test_without_a_majority_the_last_winner_stays_and_a_new_process_finds_it_on_the_chain(voters: Voters) -> None:
    state(voters, EPOCH, ALICE, ALICE, ALICE, ALICE, ALICE)
    state(voters, EPOCH + 40, ALICE, ALICE, BOB, BOB)
    assert named(stated(voters), EPOCH + 40) == {ALICE}


def test_a_winner_that_is_no_longer_on_the_chain_is_unknown_and_not_nobody(voters: Voters) -> None:
    for epoch in range(EPOCH, EPOCH + 240, 40):
        state(voters, epoch, ALICE, ALICE, BOB, BOB)
    with pytest.raises(InfrastructureFault, match="is not known here"):
        stated(voters).marks(EPOCH + 200)


def test_at_the_start_nobody_defends_whatever_a_liar_names(voters: Voters) -> None:
    for epoch in range(EPOCH, EPOCH + 240, 40):
        state(voters, epoch, BOB, None, None, None, None)
    assert stated(voters).marks(EPOCH + 200) == {}
    with pytest.raises(InfrastructureFault, match="has a majority"):
        stated(voters).pay(EPOCH + 200)


def test_what_was_paid_is_recorded(voters: Voters) -> None:
    state(voters, EPOCH, ALICE, ALICE, ALICE)
    paid = RecordedPaid(MemoryRecords())
    stated(voters, paid).pay(EPOCH)
    assert paid.last() == PaidWinners(EPOCH, dict(zip(sorted(NAMES), marks(ALICE), strict=True)))
