from .access import ProverAccess
from .api import prover_app
from .callers import CallerRules, PermittedCallers
from .keeping import Enhanced, QueueLimits
from .service import Prover, ProverLimits

__all__ = [
    "CallerRules",
    "Enhanced",
    "PermittedCallers",
    "Prover",
    "ProverAccess",
    "ProverLimits",
    "QueueLimits",
    "prover_app",
]
