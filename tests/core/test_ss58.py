"""Addresses of accounts: what a hotkey's address is, as the library that signs with it says."""

import bittensor_core
import pytest

from soundsright.core.ss58 import ALPHABET, is_address

ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"


def test_no_slip_of_one_letter_leaves_an_address() -> None:
    slips = [ALICE[:i] + letter + ALICE[i + 1 :] for i in range(48) for letter in ALPHABET if letter != ALICE[i]]
    assert is_address(ALICE)
    assert not any(map(is_address, slips))
    for slip in slips[::97]:
        with pytest.raises(ValueError):  # noqa: PT011 - all that the library says
            bittensor_core.ss58_decode(slip)


def test_what_is_too_long_or_too_short_or_of_another_alphabet_is_none() -> None:
    for text in ("", "ada", ALICE[:-1], ALICE + "Y", f" {ALICE}", ALICE.replace("G", "0"), 48 * "5", 48 * "z"):
        assert not is_address(text)


def test_an_address_of_another_network_names_no_hotkey_here() -> None:
    other = "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5"
    assert bittensor_core.ss58_decode(other)
    assert not is_address(other)
