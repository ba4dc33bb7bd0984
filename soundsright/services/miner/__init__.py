"""The miner: commit a model, reveal it to validators, and receive feedback.

`MinerService` does the work and `miner_app` is its HTTP API.
`HookRunner` runs your own program for each new feedback document.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
