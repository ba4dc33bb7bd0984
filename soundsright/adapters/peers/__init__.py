"""Signed HTTP between miners, validators and private chains.

`SignedPeers` makes signed requests, and `Gate` checks them: signature, age, replay and rate.
`Hotkey` is a key on this machine.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
