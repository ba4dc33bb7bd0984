from .api import miner_app
from .entry import Entry, EntryCommitment
from .feedback_hook import HookRunner, hook_fault
from .secrets_store import SealedModel, store_archive, stored_archive, stored_salt, write_secret
from .service import MinerContext, MinerService

__all__ = [
    "Entry",
    "EntryCommitment",
    "HookRunner",
    "MinerContext",
    "MinerService",
    "SealedModel",
    "hook_fault",
    "miner_app",
    "store_archive",
    "stored_archive",
    "stored_salt",
    "write_secret",
]
