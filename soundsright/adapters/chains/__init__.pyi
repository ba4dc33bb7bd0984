from .bittensor import BittensorChain
from .http import HttpChain
from .local import LocalChain, seeded_entropy, sole_author
from .timelock import DrandTimelock

__all__ = [
    "BittensorChain",
    "DrandTimelock",
    "HttpChain",
    "LocalChain",
    "seeded_entropy",
    "sole_author",
]
