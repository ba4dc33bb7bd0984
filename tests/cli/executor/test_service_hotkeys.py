"""The hotkeys of the executor's services come from the settings, otherwise from the chain's owner."""

from __future__ import annotations

import re
from typing import cast

import pytest

from soundsright.adapters.peers import Hotkey
from soundsright.cli.shared.executor_services import ServiceHotkeys, check_own_hotkey
from soundsright.config import ExecutorServices
from soundsright.core.errors import UsageError
from soundsright.core.ports import LiveChain

OWNER, ALICE = (Hotkey.of_seed(name).address for name in ("owner", "alice"))


class OwnedChain:
    """A chain that has an owner, or none, and counts how often it is asked."""

    def __init__(self, owner: str | None) -> None:
        self._owner, self.asked = owner, 0

    def owner(self) -> str | None:
        self.asked += 1
        return self._owner


def hotkeys_of(chain: OwnedChain, **settings: str) -> ServiceHotkeys:
    return ServiceHotkeys(ExecutorServices(**settings), cast(LiveChain, chain))


def test_both_services_are_the_owners_and_the_chain_is_asked_once() -> None:
    chain = OwnedChain(OWNER)
    hotkeys = hotkeys_of(chain)
    assert (hotkeys.coordinator, hotkeys.executor, hotkeys.executor) == (OWNER, OWNER, OWNER)
    assert chain.asked == 1


def test_the_settings_count_before_the_owner() -> None:
    chain = OwnedChain(None)
    hotkeys = hotkeys_of(chain, subnet_api_hotkey=ALICE)
    assert (hotkeys.coordinator, chain.asked) == (ALICE, 0)
    with pytest.raises(UsageError, match="EXECUTOR_API_HOTKEY is empty, and the chain has no owner"):
        hotkeys.executor  # noqa: B018


def test_a_service_with_another_hotkey_than_others_expect_does_not_start() -> None:
    check_own_hotkey(OWNER, OWNER, setting="SUBNET_API_HOTKEY", service="coordinator")
    problem = re.escape(f"This hotkey is {ALICE}, and the coordinator's is {OWNER}") + ".*SUBNET_API_HOTKEY"
    with pytest.raises(UsageError, match=problem):
        check_own_hotkey(ALICE, OWNER, setting="SUBNET_API_HOTKEY", service="coordinator")
