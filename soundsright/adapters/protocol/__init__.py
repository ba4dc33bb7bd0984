"""The model protocol: how the harness talks to a model over HTTP or files.

`ModelClient` sends clips and checks every answer before anything else sees it.
See docs/reference/protocol.md for the messages.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
