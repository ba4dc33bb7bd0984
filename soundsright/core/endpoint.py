"""Endpoints: the `host:port` at which others reach a hotkey's service. The chain lists them."""

from __future__ import annotations

import ipaddress
import re

MAX_CHARS = 300
_PORT = re.compile(r"[0-9]{1,5}")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def is_endpoint(text: str) -> bool:
    """Whether the text is `host:port`. The host is an IPv4 address, an IPv6 address in brackets, or an ASCII name.

    >>> [is_endpoint(text) for text in ("10.0.0.7:6001", "[2001:db8::1]:6001", "miner.example:6001")]
    [True, True, True]
    >>> [is_endpoint(text) for text in ("10.0.0.7:99999", "2001:db8::1:6001", "10.0.0.700:6001", "miner")]
    [False, False, False, False]
    """
    host, _, port = text.rpartition(":")
    if len(text) > MAX_CHARS or not _PORT.fullmatch(port) or not 1 <= int(port) <= 65_535:
        return False
    try:
        if host.startswith("[") and host.endswith("]"):
            # After a % comes the name of a network card, which has no meaning on other machines.
            return "%" not in host and bool(ipaddress.IPv6Address(host[1:-1]))
        if not set(host) - set("0123456789."):
            return bool(ipaddress.IPv4Address(host))
    except ValueError:
        return False
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.split("."))


def client_network(host: str) -> str:
    """The network that counts as one client: an IPv4 address, or the /64 of an IPv6 address.

    Whoever has one IPv6 address usually has the whole /64, so a limit per address would limit nobody.

    >>> client_network("203.0.113.7"), client_network("2001:db8::1:2:3:4"), client_network("::ffff:203.0.113.7")
    ('203.0.113.7', '2001:db8::/64', '203.0.113.7')
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
