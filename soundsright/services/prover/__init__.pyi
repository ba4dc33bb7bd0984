from .api import ProverAccess, prover_app
from .callers import CallerRules, PermittedCallers
from .keeping import Enhanced
from .service import Prover, ProverLimits

__all__ = [
    "CallerRules",
    "Enhanced",
    "PermittedCallers",
    "Prover",
    "ProverAccess",
    "ProverLimits",
    "prover_app",
]
