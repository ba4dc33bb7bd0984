"""A sealed text opens with the signature of its round from the beacon, and with nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from soundsright.adapters.chains.timelock import DrandTimelock, seal, sealed_parts, sealed_text, unseal
from soundsright.core.errors import EntryRefused, PeerUnavailable
from soundsright.testing.fakechain.drand import ROUND_1000_S, SIGNATURES, Relay, served_relay

TEXT = f"{'n' * 96}:{'m' * 96}:{'a' * 40}:{'5' * 48}:DEREVERBERATION_16000HZ"


@pytest.fixture
def relay() -> Iterator[Relay]:
    with served_relay() as served:
        yield served


@pytest.mark.parametrize("round_number", SIGNATURES)
def test_a_sealed_text_opens_with_the_signature_of_its_round(round_number: int) -> None:
    sealed = seal(TEXT, round_number)
    assert TEXT not in sealed
    assert unseal(sealed, SIGNATURES[round_number]) == TEXT
    # The longest possible entry fits into a commitment on Bittensor.
    assert len(sealed_parts(sealed)[1]) <= 1_024


def test_a_sealed_text_does_not_open_with_the_signature_of_another_round() -> None:
    with pytest.raises(EntryRefused):
        unseal(seal(TEXT, 1_001), SIGNATURES[1_000])


def test_two_seals_of_one_text_differ() -> None:
    assert seal(TEXT, 1_000) != seal(TEXT, 1_000)


def test_a_damaged_seal_is_refused_and_never_opens_as_another_text() -> None:
    round_number, encrypted = sealed_parts(seal("short", 1_000))
    refused = 0
    for at in range(1, len(encrypted), 7):
        damaged = bytearray(encrypted)
        damaged[at] ^= 0x5A
        for piece in (bytes(damaged), encrypted[:at]):
            try:
                # Damage to a byte that does not encode anything has no effect.
                assert unseal(sealed_text(round_number, piece), SIGNATURES[1_000]) == "short"
            except EntryRefused:
                refused += 1
    assert refused > 0.9 * 2 * len(range(1, len(encrypted), 7))


@pytest.mark.parametrize(
    "sealed",
    ["", "sealed:", "sealed:x:YQ==", "sealed:0:YQ==", "sealed:5:", "sealed:5:?", "sealed:+5:YQ==", "a" * 64],
)
def test_a_text_that_is_not_sealed_is_refused(sealed: str) -> None:
    with pytest.raises(EntryRefused) as caught:
        DrandTimelock([]).opens_s(sealed)
    assert caught.value.code == "bad_seal"


def test_a_lock_opens_at_its_time_and_fetches_each_signature_once(relay: Relay) -> None:
    lock = DrandTimelock([relay.url])
    sealed = [lock.sealed(TEXT, until_s=ROUND_1000_S - 0.5), lock.sealed("another", until_s=ROUND_1000_S)]
    assert [lock.opens_s(text) for text in sealed] == [ROUND_1000_S] * 2
    assert [lock.opened(text) for text in sealed] == [TEXT, "another"]
    assert len(relay.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        (500, b"{}"),
        (404, b"{}"),
        (200, b"no json"),
        (200, b"[]"),
        (200, b'{"signature": 5}'),
        (200, b'{"signature": "%s"}' % SIGNATURES[1].encode()),
        (200, b'{"signature": "%s"}' % (b"zz" * 48)),
        (200, b"x" * 20_000),
    ],
)
def test_a_relay_that_fails_or_lies_is_replaced_by_the_next(relay: Relay, reply: tuple[int, bytes]) -> None:
    relay.override = reply
    sealed = seal(TEXT, 1_000)
    with pytest.raises(PeerUnavailable, match="DRAND_RELAYS"):
        DrandTimelock([relay.url]).opened(sealed)
    with served_relay() as honest:
        assert DrandTimelock([relay.url, honest.url]).opened(sealed) == TEXT
