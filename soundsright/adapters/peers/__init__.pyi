from .auth import MAX_AGE_S, Gate, RateLimit, signed_headers
from .client import SignedPeers, json_of, request
from .keys import Hotkey, new_hotkey, valid_signature

__all__ = [
    "MAX_AGE_S",
    "Gate",
    "Hotkey",
    "RateLimit",
    "SignedPeers",
    "json_of",
    "new_hotkey",
    "request",
    "signed_headers",
    "valid_signature",
]
