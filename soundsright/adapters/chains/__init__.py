"""Chains: a local one in a file, a private one over HTTP, and Bittensor.

Each class implements the port `Chain` or `LiveChain`; one contract suite tests them all.
`DrandTimelock` seals a text until a given time.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
