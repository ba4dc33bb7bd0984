"""Warnings of `soundsright miner` about its settings."""

from __future__ import annotations

import pytest

from soundsright.cli.commands.miner import _address_warnings
from soundsright.config.schema import MinerSettings

PRIVATE_CHAIN = "http://10.0.0.1:9944"


@pytest.mark.parametrize(("ip", "kind"), [("10.0.0.42", "a private"), ("127.0.0.1", "a loopback")])
def test_a_miner_of_the_public_chain_is_warned_of_an_address_that_validators_do_not_call(
    ip: str, kind: str
) -> None:
    (warning,) = _address_warnings(MinerSettings(axon_external_ip=ip))
    assert f"AXON_EXTERNAL_IP {ip} is {kind} address" in warning
    assert "not_revealed" in warning
    assert _address_warnings(MinerSettings(axon_external_ip=ip, subtensor_chain_endpoint=PRIVATE_CHAIN)) == []


@pytest.mark.parametrize("ip", ["", "8.8.8.8"])
def test_a_public_address_and_none_at_all_give_no_such_warning(ip: str) -> None:
    assert _address_warnings(MinerSettings(axon_external_ip=ip)) == []
