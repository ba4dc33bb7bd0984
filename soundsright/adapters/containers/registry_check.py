"""Asks a registry that a submission chose where it leads, before the engine goes there.

An engine connects to any address of a name and follows redirects, so a registry could send it to a service that
only this network reaches. Here every address must be public: the registry's, those to which it redirects the first
request and those for manifests, and that of each token service that it names. What cannot be read or looked up is
refused, because the engine could read or find it. Times are in seconds.
"""

from __future__ import annotations

import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from soundsright.adapters.peers import request
from soundsright.core.dockerfile import BaseImage
from soundsright.core.endpoint import PUBLIC
from soundsright.core.errors import ImageNotPulled, PeerUnavailable, printable
from soundsright.core.ports import Reply

MAX_REDIRECTS = 5
MAX_REGISTRIES = 8
"""The registries of one Dockerfile that are asked. Each may take `_LONGEST_S`."""
_LONGEST_S = 30.0
_TIMEOUT_S = 10.0
_MAX_BYTES = 100_000
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REALM = re.compile(r'(?:\b(Basic)\s+)?\brealm="([^"\\]{1,500})"', re.I)
_ANY_REALM = re.compile(r"realm\s*=", re.I)

Ask = Callable[[str, str, str], Reply]
"""Sends a request without a body: its method, `scheme://host:port`, and the path."""
LookUp = Callable[[str], Collection[str]]


def ask_registry(method: str, url: str, path: str) -> Reply:
    """The reply to one request without a body, from a public address."""
    return request(url, method, path, timeout_s=_TIMEOUT_S, max_bytes=_MAX_BYTES, networks=PUBLIC)


def addresses_of(host: str) -> tuple[str, ...]:
    """All addresses of a name; none if the look-up fails or takes too long."""
    answers: queue.SimpleQueue[tuple[str, ...]] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(tuple(str(answer[4][0]) for answer in socket.getaddrinfo(host, None)))
        except (OSError, ValueError):
            answers.put(())

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        return answers.get(timeout=_TIMEOUT_S)
    except queue.Empty:
        return ()


def check_registries(
    images: Iterable[BaseImage],
    registries: Collection[str],
    *,
    ask: Ask = ask_registry,
    look_up: LookUp = addresses_of,
) -> None:
    """Check where the registries of a Dockerfile's images lead, as an engine would ask them.

    `registries` are those that the operator trusts. They and the engine's default registry are not asked.

    Raises:
        ImageNotPulled: a registry leads to an address that is not public, redirects without an end, or does not
            answer, or the images come from more than `MAX_REGISTRIES` registries.
    """
    by_host: dict[str, list[BaseImage]] = {}
    for image in images:
        if image.host is not None and image.host not in registries:
            by_host.setdefault(image.host, []).append(image)
    if len(by_host) > MAX_REGISTRIES:
        raise ImageNotPulled(f"the Dockerfile uses {len(by_host)} registries; at most {MAX_REGISTRIES} are allowed")
    for host, own in by_host.items():
        check = _Check(host, own[0].reference, ask, look_up, time.monotonic() + _LONGEST_S)
        check.follow("GET", f"https://{host}/v2/")
        for path in dict.fromkeys(map(_manifest_path, own)):
            check.follow("HEAD", f"https://{host}{path}")


@dataclass(frozen=True)
class _Check:
    """The requests to one registry, until `deadline_s`."""

    host: str
    reference: str
    ask: Ask
    look_up: LookUp
    deadline_s: float

    def follow(self, method: str, url: str) -> None:
        """Make a request and follow its redirects. Check each address first, and each token service."""
        for _ in range(MAX_REDIRECTS):
            if time.monotonic() > self.deadline_s:
                raise self._not_provided("it answers too slowly")
            reply = self._reply(method, url)
            for realm in self._realms(reply.headers.get("www-authenticate", "")):
                self._check_address(realm)
            if reply.status not in _REDIRECTS or "location" not in reply.headers:
                return
            try:
                url = urljoin(url, reply.headers["location"])
            except ValueError:
                raise self._refused("no address of HTTP") from None
        raise ImageNotPulled(f"the registry {self.host[:100]} redirects more than {MAX_REDIRECTS} times")

    def _reply(self, method: str, url: str) -> Reply:
        self._check_address(url)
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            return self.ask(method, f"{parts.scheme}://{parts.netloc}", path or "/")
        except PeerUnavailable as error:
            if error.code == "forbidden_address":
                raise self._refused("an address that is not public") from error
            raise self._not_provided(f"it does not answer ({error.code})") from error

    def _realms(self, header: str) -> Iterator[str]:
        """The addresses of token services in a WWW-Authenticate header. A name in `Basic` is none of them."""
        found = list(_REALM.finditer(header))
        if len(found) != len(_ANY_REALM.findall(header)):
            raise self._refused("a token service in a form that cannot be read")
        return (realm[2] for realm in found if realm[1] is None or "//" in realm[2])

    def _check_address(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
            valid = parts.scheme in ("http", "https") and bool(host)
        except ValueError:
            valid = False
        if not valid:
            raise self._refused("no address of HTTP")
        addresses = self.look_up(host)
        if not addresses:
            raise self._not_provided(f"{printable(host[:100])} has no address")
        for address in addresses:
            if (kind := PUBLIC.refusal(address)) is not None:
                raise self._refused(kind)

    def _not_provided(self, reason: str) -> ImageNotPulled:
        """The fault of a registry that may do better at another try."""
        names = self.reference[:200]
        return ImageNotPulled(f"the registry that the model chose does not provide {names}: {reason}", passing=True)

    def _refused(self, kind: str) -> ImageNotPulled:
        return ImageNotPulled(f"the registry {self.host[:100]} leads to {kind}; use one on the public Internet")


def _manifest_path(image: BaseImage) -> str:
    """The path of an image's manifest at its registry.

    >>> [_manifest_path(BaseImage(1, name)) for name in ("reg.example/lab/gate@sha256:00", "reg.example/a:1")]
    ['/v2/lab/gate/manifests/sha256:00', '/v2/a/manifests/1']
    """
    name = image.reference.partition("/")[2]
    repository, at, version = name.partition("@")
    if not at:
        repository, _, version = name.partition(":")
    return f"/v2/{repository.partition(':')[0]}/manifests/{version or 'latest'}"
