from .api import miner_app
from .entry import Entry, EntryCommitment, stored_salt
from .feedback_hook import HookRunner, hook_fault
from .service import MinerContext, MinerService

__all__ = [
    "Entry",
    "EntryCommitment",
    "HookRunner",
    "MinerContext",
    "MinerService",
    "hook_fault",
    "miner_app",
    "stored_salt",
]
