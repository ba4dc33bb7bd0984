from .bittensor import BittensorChain
from .chain_file import authoring_lock
from .http import HttpChain
from .local import LocalChain, seeded_block_entropy
from .plugins import CHAIN_PLUGINS, ChainOptions, plugged_chain
from .timelock import DrandTimelock

__all__ = [
    "CHAIN_PLUGINS",
    "BittensorChain",
    "ChainOptions",
    "DrandTimelock",
    "HttpChain",
    "LocalChain",
    "authoring_lock",
    "plugged_chain",
    "seeded_block_entropy",
]
