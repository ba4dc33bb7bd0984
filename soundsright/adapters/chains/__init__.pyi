from .bittensor import BittensorChain
from .http import HttpChain
from .local import LocalChain, seeded_entropy, sole_author
from .plugins import CHAIN_PLUGINS, ChainOptions, plugged_chain
from .timelock import DrandTimelock

__all__ = [
    "CHAIN_PLUGINS",
    "BittensorChain",
    "ChainOptions",
    "DrandTimelock",
    "HttpChain",
    "LocalChain",
    "plugged_chain",
    "seeded_entropy",
    "sole_author",
]
