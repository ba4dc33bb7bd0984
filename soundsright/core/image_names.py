"""The rules for the names of images that a submission may use: from a registry, and from one that others can reach.

A submission is not trusted. It may name neither a local image of the engine nor a registry inside the operator's
network, because the engine would send requests there.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Collection

from soundsright.core.dockerfile import BaseImage

_LOCAL_PREFIXES = ("docker.io/", "index.docker.io/", "localhost/")
"""Prefixes under which engines find their own local images."""
_IMAGE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}")

_TOP_LEVEL = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]{1,59}")
"""No number: `127.1` is a short form of an address."""
_PRIVATE_DOMAINS = frozenset({"localhost", "local", "internal", "lan", "home", "localdomain"})
"""Top-level domains that mean a machine nearby."""


def name_refusal(image: BaseImage, registries: Collection[str]) -> str | None:
    """Why a submission may not name this image, or None if it may.

    `registries` are those that the operator trusts, as `host:port`.

    >>> name_refusal(BaseImage(1, "reg.example/lab/gate:1"), ())
    >>> name_refusal(BaseImage(1, "10.0.0.7:5000/lab/gate:1"), ())
    '10.0.0.7:5000 is not a public registry; use one with a domain name'
    >>> name_refusal(BaseImage(1, "10.0.0.7:5000/lab/gate:1"), ("10.0.0.7:5000",))
    """
    name = image.reference.lower()
    for prefix in _LOCAL_PREFIXES:
        name = name.removeprefix(prefix)
    if name.startswith("soundsright/") or _IMAGE_ID.fullmatch(name):
        return f"{image.reference[:100]} is not an image of a registry; use a public base image"
    if image.host is None or image.host in registries or _is_public(image.host):
        return None
    return f"{image.host[:100]} is not a public registry; use one with a domain name"


def _is_public(host: str) -> bool:
    """Whether a registry has a domain name with a dot, so that others can reach it too."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name.strip("[]"))
        return False
    labels = name.lower().rstrip(".").split(".")
    return len(labels) > 1 and bool(_TOP_LEVEL.fullmatch(labels[-1])) and labels[-1] not in _PRIVATE_DOMAINS
