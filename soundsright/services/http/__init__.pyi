from .answers import sign_answers
from .chain import ChainAccess, chain_app
from .etags import TaggedBody, names_etag
from .front import server_config, vouch
from .health import EmptyView, Models, health_app
from .limits import Limits
from .readings import SharedReading
from .requests import (
    Admit,
    HttpService,
    PortTaken,
    Throttle,
    answer_refusals,
    bounded_body,
    deny,
    described_body,
    listening,
    parsed,
    refusals,
    signed_body,
    signed_refusals,
    signed_upgrade,
)
from .state import Health, configure_logging
from .trailers import trailing_response

__all__ = [
    "Admit",
    "ChainAccess",
    "EmptyView",
    "Health",
    "HttpService",
    "Limits",
    "Models",
    "PortTaken",
    "SharedReading",
    "TaggedBody",
    "Throttle",
    "answer_refusals",
    "bounded_body",
    "chain_app",
    "configure_logging",
    "deny",
    "described_body",
    "health_app",
    "listening",
    "names_etag",
    "parsed",
    "refusals",
    "server_config",
    "sign_answers",
    "signed_body",
    "signed_refusals",
    "signed_upgrade",
    "trailing_response",
    "vouch",
]
