"""Live audio over a WebSocket: the conversation with a client, which prover and gateway share.

`converse` leads one conversation within `StreamBounds`, and `StreamPlaces` limits how many there are.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
