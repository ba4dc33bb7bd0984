from .api import miner_app
from .feedback_hook import HookRunner, hook_fault
from .service import Committing, Entry, MinerService

__all__ = [
    "Committing",
    "Entry",
    "HookRunner",
    "MinerService",
    "hook_fault",
    "miner_app",
]
