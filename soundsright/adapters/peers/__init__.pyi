from .auth import MAX_AGE_S, RateLimit, RequestGate, signed_headers
from .client import SignedPeers, allowed_connection, reply_json, request, valid_answer_signature
from .keys import Hotkey, new_hotkey, valid_signature
from .pem_keys import PemKey
from .service import SignedService
from .web_parts import WebFolder

__all__ = [
    "MAX_AGE_S",
    "Hotkey",
    "PemKey",
    "RateLimit",
    "RequestGate",
    "SignedPeers",
    "SignedService",
    "WebFolder",
    "allowed_connection",
    "new_hotkey",
    "reply_json",
    "request",
    "signed_headers",
    "valid_answer_signature",
    "valid_signature",
]
