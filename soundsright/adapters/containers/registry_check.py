"""Asks a registry that a submission chose where it leads, before the engine goes there.

An engine connects to any address of a name and follows redirects, so a registry could send it to a service that
only this network reaches. Here every address must be public: the registry's, those to which it redirects the
request for the manifest, and that of its token service. Times are in seconds.
"""

from __future__ import annotations

import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable
from urllib.parse import urljoin, urlsplit

from soundsright.adapters.peers import request
from soundsright.core.dockerfile import BaseImage
from soundsright.core.endpoint import PUBLIC
from soundsright.core.errors import ImageNotPulled, PeerUnavailable
from soundsright.core.ports import Reply

MAX_REDIRECTS = 5
MAX_REGISTRIES = 8
"""The registries of one Dockerfile that are asked. Each may take `_LONGEST_S`."""
_LONGEST_S = 30.0
_TIMEOUT_S = 10.0
_MAX_BYTES = 100_000
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REALM = re.compile(r'realm="([^"]{1,500})"', re.I)

Ask = Callable[[str, str], Reply]
LookUp = Callable[[str], Collection[str]]


def ask_registry(url: str, path: str) -> Reply:
    """The reply to one request without a body, from a public address."""
    return request(url, "HEAD", path, timeout_s=_TIMEOUT_S, max_bytes=_MAX_BYTES, networks=PUBLIC)


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


def check_registry(
    image: BaseImage, registries: Collection[str], *, ask: Ask = ask_registry, look_up: LookUp = addresses_of
) -> None:
    """Check where the registry of an image leads. A registry that does not answer passes: the pull names its fault.

    `registries` are those that the operator trusts. They and the engine's default registry are not asked.

    Raises:
        ImageNotPulled: the registry leads to an address that is not public, or redirects without an end.
    """
    if image.host is None or image.host in registries:
        return
    url = f"https://{image.host}{_manifest_path(image)}"
    deadline_s = time.monotonic() + _LONGEST_S
    for _ in range(MAX_REDIRECTS):
        if time.monotonic() > deadline_s:
            raise ImageNotPulled(f"the registry {image.host[:100]} answers too slowly", passing=True)
        _check_address(url, image.host, look_up)
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            reply = ask(f"{parts.scheme}://{parts.netloc}", path or "/")
        except PeerUnavailable as error:
            if error.code == "forbidden_address":
                raise _refused(image.host, "an address that is not public") from error
            return
        if (realm := _REALM.search(reply.headers.get("www-authenticate", ""))) is not None:
            _check_address(realm[1], image.host, look_up)
        if reply.status not in _REDIRECTS or "location" not in reply.headers:
            return
        try:
            url = urljoin(url, reply.headers["location"])
        except ValueError:
            raise _refused(image.host, "no address of HTTP") from None
    raise ImageNotPulled(f"the registry {image.host[:100]} redirects more than {MAX_REDIRECTS} times")


def check_registries(images: Iterable[BaseImage], registries: Collection[str]) -> None:
    """Check where the registries of a Dockerfile's images lead, each registry once.

    Raises:
        ImageNotPulled: as `check_registry` does, or the images come from more than `MAX_REGISTRIES` registries.
    """
    by_host = {image.host: image for image in images}
    if len(by_host) > MAX_REGISTRIES:
        raise ImageNotPulled(f"the Dockerfile uses {len(by_host)} registries; at most {MAX_REGISTRIES} are allowed")
    for image in by_host.values():
        check_registry(image, registries)


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


def _check_address(url: str, registry: str, look_up: LookUp) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        valid = parts.scheme in ("http", "https") and bool(host)
    except ValueError:
        valid = False
    if not valid:
        raise _refused(registry, "no address of HTTP")
    for address in look_up(host):
        if (kind := PUBLIC.refusal(address)) is not None:
            raise _refused(registry, kind)


def _refused(registry: str, kind: str) -> ImageNotPulled:
    return ImageNotPulled(f"the registry {registry[:100]} leads to {kind}; use one on the public Internet")
