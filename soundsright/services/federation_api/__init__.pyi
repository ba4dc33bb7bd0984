from .app import federation_api_app
from .client import ApiService, FederationReporter
from .heads import Heads
from .lists import MAX_REASON, Blacklist, Validator, ValidatorList, checked_reason
from .media import Media
from .samples import MinerReport, Report
from .sending import FederationAccess, admins_only
from .shown import FederationShown
from .store import FederationStore

__all__ = [
    "MAX_REASON",
    "ApiService",
    "Blacklist",
    "FederationAccess",
    "FederationReporter",
    "FederationShown",
    "FederationStore",
    "Heads",
    "Media",
    "MinerReport",
    "Report",
    "Validator",
    "ValidatorList",
    "admins_only",
    "checked_reason",
    "federation_api_app",
]
