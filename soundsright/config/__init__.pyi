from .aliases import ALIASES, flag_aliases, parameter
from .env_file import misspelt_names, read_env_file
from .executor import ExecutorSettings
from .executor_services import ExecutorServices
from .federation import PAY_ON_PUBLIC, RULES_OF_SETTINGS, UNUSED_SETTINGS, FederationSettings
from .federation_values import PeerValidator
from .reading import read_settings
from .redis_server import RedisServer
from .schema import LOG_LEVELS, PUBLIC_ENDPOINT, MinerSettings, Settings, ValidatorSettings
from .tiers import RULES_OF_TIER_SETTINGS, TiersFields, TiersSettings

__all__ = [
    "ALIASES",
    "LOG_LEVELS",
    "PAY_ON_PUBLIC",
    "PUBLIC_ENDPOINT",
    "RULES_OF_SETTINGS",
    "RULES_OF_TIER_SETTINGS",
    "UNUSED_SETTINGS",
    "ExecutorServices",
    "ExecutorSettings",
    "FederationSettings",
    "MinerSettings",
    "PeerValidator",
    "RedisServer",
    "Settings",
    "TiersFields",
    "TiersSettings",
    "ValidatorSettings",
    "flag_aliases",
    "misspelt_names",
    "parameter",
    "read_env_file",
    "read_settings",
]
