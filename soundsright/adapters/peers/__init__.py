"""Signed HTTP between miners, validators and private chains.

`SignedPeers` sends signed requests. `RequestGate` checks their signature, age and replay; `RateLimit` their number.
`SignedService` calls one service whose answers are signed. `Hotkey` is a key in a wallet's file on this machine.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
