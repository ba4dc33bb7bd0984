"""The listeners of a gateway: each has a key, or uses the open demo. Keys are compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from soundsright.core.endpoint import client_network
from soundsright.core.errors import RequestRefused
from soundsright.services.http import Throttle, vouch

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

STREAM_SUBPROTOCOL = "soundsright-live"
KEY_SUBPROTOCOL = "key."
"""A browser cannot set headers of a WebSocket. It offers this and its key as a subprotocol beside the other one."""
_KEY_HEADER = "x-api-key"
_BEARER = "bearer "
_DEMO = "demo"


@dataclass(frozen=True)
class Listener:
    """Somebody who asks. `key` names the key for limits, without showing it; listeners without one share a name."""

    key: str
    address: str
    is_demo: bool


def _no_limit(_name: str) -> None:
    return None


@dataclass(frozen=True)
class GatewayAccess:
    """Who may use a gateway, and how often.

    `per_address`, `per_key` and `per_demo` count requests: by address before anything else, by key, and by the
    address of a listener without a key. `keys` come from TIERS_API_KEYS, and `open_demo` from TIERS_OPEN_DEMO.
    Without either nobody may use it.
    """

    keys: tuple[str, ...] = ()
    open_demo: bool = False
    per_address: Throttle = _no_limit
    per_key: Throttle = _no_limit
    per_demo: Throttle = _no_limit

    def counted(self, request: HTTPConnection) -> str:
        """The address of a client, whose request is counted.

        Raises:
            RequestRefused: `busy`.
        """
        address = client_network(request.client.host if request.client else "")
        self.per_address(address)
        return address

    def listener(self, request: HTTPConnection) -> Listener:
        """The listener behind a request, which is counted.

        Raises:
            RequestRefused: `busy`, `no_key`, `wrong_key` or `foreign_page`.
        """
        address = self.counted(request)
        given = given_key(request.headers, request.scope.get("subprotocols", ()))
        if given is None:
            self._check_demo(request)
            self.per_demo(address)
            return Listener(_DEMO, address, is_demo=True)
        name = self._name_of(given)
        if name is None:
            raise RequestRefused("wrong_key", "This gateway does not know the key; ask its operator", status=401)
        self.per_key(name)
        vouch(request)
        return Listener(name, address, is_demo=False)

    def _check_demo(self, request: HTTPConnection) -> None:
        if not self.open_demo:
            raise RequestRefused("no_key", "Send your key in the header X-Api-Key", status=401)
        origin = request.headers.get("origin")
        if origin is not None and _host_of(origin) != request.headers.get("host", ""):
            raise RequestRefused("foreign_page", "Pages of other sites need a key", status=403)

    def _name_of(self, given: str) -> str | None:
        """The name of a known key. Every key is compared, by digests of one size."""
        digest = hashlib.sha256(given.encode()).digest()
        found = None
        for key in self.keys:
            known = hashlib.sha256(key.encode()).digest()
            if hmac.compare_digest(known, digest):
                found = hashlib.sha256(b"soundsright.listener/1:" + known).hexdigest()[:16]
        return found


def given_key(headers: Mapping[str, str], subprotocols: tuple[str, ...] | list[str]) -> str | None:
    """The key in a request; None if there is none.

    >>> given_key({"x-api-key": "abc"}, ()), given_key({"authorization": "Bearer abc"}, ()), given_key({}, ())
    ('abc', 'abc', None)
    """
    if _KEY_HEADER in headers:
        return headers[_KEY_HEADER]
    authorization = headers.get("authorization", "")
    if authorization.lower().startswith(_BEARER):
        return authorization[len(_BEARER) :].strip()
    offered = [each for each in subprotocols if each.startswith(KEY_SUBPROTOCOL)]
    return offered[0].removeprefix(KEY_SUBPROTOCOL) if offered else None


def _host_of(origin: str) -> str:
    """The host and port of an origin; empty if it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
