"""The agreement of a coldkey to own a hotkey of a private chain.

Without it, a hotkey could name the coldkey of somebody else.
"""

from __future__ import annotations


def coldkey_consent(chain: str, hotkey: str) -> bytes:
    """The message that a coldkey signs to own the hotkey on the chain of that address.

    >>> coldkey_consent("5Chain", "5Hotkey")
    b'soundsright.coldkey/1:5Chain:5Hotkey'
    """
    return f"soundsright.coldkey/1:{chain}:{hotkey}".encode()
