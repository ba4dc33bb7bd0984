"""A federation of validators: each judges tasks in its turn, and all add up each other's signed verdicts.

A validator publishes in its own bucket; peers read that and serve copies. Nothing from a peer is trusted.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
