from .api import validator_app
from .attempt import Attempt
from .chain import PinnedChain, check_account
from .exchange import RevealExchange
from .gossip import RevealsRequest, SharedReveals
from .lease import Leases, in_use, living_holder, sole_process
from .paying import PayingService
from .peers import RevealCollector
from .repeating import IDLE, RUNNING, WAITING, RepeatedWork
from .reveals import REVEALS_SCOPE, MinerReveals, as_digests
from .round import Backoff, minute_of
from .service import ValidatorService
from .setup import PaymentContext, SubnetSettings, ValidatorContext, Work
from .subsystems import Payees, Subsystem
from .ticking import keep_ticking
from .view import ValidatorView

__all__ = [
    "IDLE",
    "REVEALS_SCOPE",
    "RUNNING",
    "WAITING",
    "Attempt",
    "Backoff",
    "Leases",
    "MinerReveals",
    "Payees",
    "PayingService",
    "PaymentContext",
    "PinnedChain",
    "RepeatedWork",
    "RevealCollector",
    "RevealExchange",
    "RevealsRequest",
    "SharedReveals",
    "SubnetSettings",
    "Subsystem",
    "ValidatorContext",
    "ValidatorService",
    "ValidatorView",
    "Work",
    "as_digests",
    "check_account",
    "in_use",
    "keep_ticking",
    "living_holder",
    "minute_of",
    "sole_process",
    "validator_app",
]
