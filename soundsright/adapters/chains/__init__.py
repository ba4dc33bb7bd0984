"""Chains: a local one in a file, a private one over HTTP, Bittensor, and chains of other packages.

Each chain implements the port `LiveChain`, and one contract suite tests them all.
`DrandTimelock` implements the port `Timelock`: it seals a text until a given time.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
