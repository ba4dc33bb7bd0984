from .chain import ChainAccess, chain_app
from .front import Limits, server_config, vouch
from .health import Models, health_app
from .requests import Admit, HttpService, PortTaken, Throttle, answer_refusals, listening, parsed, signed_body
from .state import Health, configure_logging

__all__ = [
    "Admit",
    "ChainAccess",
    "Health",
    "HttpService",
    "Limits",
    "Models",
    "PortTaken",
    "Throttle",
    "answer_refusals",
    "chain_app",
    "configure_logging",
    "health_app",
    "listening",
    "parsed",
    "server_config",
    "signed_body",
    "vouch",
]
