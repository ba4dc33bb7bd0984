"""Hotkeys in wallet files: they are read back, only their owner can read them, and errors show no secret."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from soundsright.adapters.peers.keys import Hotkey, new_hotkey
from soundsright.core.errors import UsageError


def test_a_key_is_read_back_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    key, path = new_hotkey(), tmp_path / "w" / "hotkeys" / "h"
    key.write(path)
    assert Hotkey.read(path).address == key.address
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="already has a key"):
        key.write(path)


def test_a_key_of_a_bittensor_wallet_is_read(tmp_path: Path) -> None:
    import bittensor as bt

    wallet = bt.Wallet(name="w", hotkey="h", path=str(tmp_path))
    wallet.create_new_hotkey(use_password=False, overwrite=False, suppress=True)
    assert Hotkey.read(tmp_path / "w" / "hotkeys" / "h").address == wallet.hotkey.ss58_address


@pytest.mark.parametrize("content", [None, b"", b"secret-planted text", b'{"secretSeed": "planted"}', b"\xff" * 99])
def test_an_error_about_a_wallet_names_the_setting_and_shows_no_secret(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "h").write_bytes(content)
    with pytest.raises(UsageError, match="HOTKEY") as caught:
        Hotkey.read(tmp_path / "h")
    assert "planted" not in str(caught.value)
    assert "planted" not in repr(caught.value.__context__ or "") or caught.value.__suppress_context__
