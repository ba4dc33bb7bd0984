from .drand import ROUND_1000_S, SIGNATURES, Relay, served_relay
from .http import ORGANISER, served_chain
from .ledger import Ledger
from .node import RunningNode, running_node

__all__ = [
    "ORGANISER",
    "ROUND_1000_S",
    "SIGNATURES",
    "Ledger",
    "Relay",
    "RunningNode",
    "running_node",
    "served_chain",
    "served_relay",
]
