"""The model protocol: how the harness talks to a model, over HTTP or over files.

`HttpModelClient` and `FileModelClient` send clips and check every answer.
docs/reference/protocol.md specifies the messages.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
