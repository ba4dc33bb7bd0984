"""Addresses of hotkeys, compared with those of the library that signs."""

import bittensor_core
import pytest

from soundsright.core.ss58 import ALPHABET, is_address

ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"


def test_an_address_with_one_wrong_letter_is_refused() -> None:
    slips = [ALICE[:i] + letter + ALICE[i + 1 :] for i in range(48) for letter in ALPHABET if letter != ALICE[i]]
    assert is_address(ALICE)
    assert not any(map(is_address, slips))
    for slip in slips[::97]:
        with pytest.raises(ValueError):  # noqa: PT011 - all that the library says
            bittensor_core.ss58_decode(slip)


def test_a_text_of_another_length_or_alphabet_is_not_an_address() -> None:
    for text in ("", "ada", ALICE[:-1], ALICE + "Y", f" {ALICE}", ALICE.replace("G", "0"), 48 * "5", 48 * "z"):
        assert not is_address(text)


def test_an_address_of_another_network_is_refused() -> None:
    other = "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5"
    assert bittensor_core.ss58_decode(other)
    assert not is_address(other)
