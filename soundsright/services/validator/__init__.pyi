from .chain import check_account
from .lease import LEASE_S, living_holder, sole_process
from .round import minute_of
from .service import ValidatorService
from .setup import SubnetSettings, ValidatorContext, Work
from .view import ValidatorView

__all__ = [
    "LEASE_S",
    "SubnetSettings",
    "ValidatorContext",
    "ValidatorService",
    "ValidatorView",
    "Work",
    "check_account",
    "living_holder",
    "minute_of",
    "sole_process",
]
