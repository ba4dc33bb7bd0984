"""Fake chains in this process, for tests: a Subtensor node, a private chain's HTTP service, and a drand relay.

The node has the JSON-RPC, the runtime and the ledger that the Bittensor SDK expects.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
