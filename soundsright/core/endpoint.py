"""Endpoints: the `host:port` at which others reach a hotkey's service, and the networks in which they may be."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

MAX_CHARS = 300
_PORT = re.compile(r"[0-9]{1,5}")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


# The services that tell a rented machine its own credentials: AWS, Azure, Google, Oracle, Alibaba.
_METADATA = _networks(
    "169.254.169.254/32",
    "fd00:ec2::/32",
    "168.63.129.16/32",
    "fd20:ce::/32",
    "192.0.0.192/32",
    "100.100.100.200/32",
)
_LOOPBACK = _networks("127.0.0.0/8", "::1/128")
_PRIVATE = _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "64:ff9b:1::/48")
_NEVER = (
    ("a cloud's metadata service", _METADATA),
    ("a link-local address", _networks("169.254.0.0/16", "fe80::/10")),
    ("a multicast address", _networks("224.0.0.0/4", "ff00::/8")),
    ("an unspecified address", _networks("0.0.0.0/8", "::/128")),
    ("a broadcast address", _networks("255.255.255.255/32")),
)
_WORDS = {"loopback": _LOOPBACK, "private": _PRIVATE}
_RESERVED = _networks("192.88.99.0/24", "fec0::/10")
_LOCAL_TRANSLATOR = ipaddress.IPv6Network("64:ff9b:1::/48")
# Translators reach the IPv4 address in the last 32 bits.
_TRANSLATED = (*_networks("64:ff9b::/96", "::/96", "::ffff:0:0:0/96"), _LOCAL_TRANSLATOR)


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, or the address itself."""
    if address.version == 4:
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if int(address) > 1 and _is_in(address, _TRANSLATED):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


@dataclass(frozen=True)
class PeerNetworks:
    """The networks, besides the public Internet, in which a service may call its peers.

    Strangers publish the endpoints of peers, so an endpoint could lead to a service that only this machine or its
    network should reach. Link-local, multicast and metadata addresses are never allowed.

    >>> PeerNetworks().refusal("10.0.0.7")
    'a private address'
    >>> PeerNetworks.of("10.0.0.0/8").refusal("10.0.0.7") is None
    True
    >>> PeerNetworks.of("private, loopback").refusal("169.254.169.254")
    "a cloud's metadata service"
    """

    allowed: tuple[Network, ...] = ()

    @classmethod
    def of(cls, text: str) -> PeerNetworks:
        """The networks in a list such as `private, loopback, 10.20.0.0/16`.

        Raises:
            ValueError: a part is neither a word nor a network, or the network is never allowed.
        """
        allowed: list[Network] = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            if part in _WORDS:
                allowed += _WORDS[part]
                continue
            try:
                network = ipaddress.ip_network(part)
            except ValueError:
                raise ValueError(
                    f"{part[:60]!r} is not a network: give private, loopback, or such as 10.20.0.0/16"
                ) from None
            for kind, never in _NEVER[1:]:
                if any(network.version == each.version and network.subnet_of(each) for each in never):  # type: ignore[arg-type]
                    raise ValueError(f"{part} is {kind}, where no peer can be: leave it out")
            allowed.append(network)
        return cls(tuple(allowed))

    def refusal(self, address: str) -> str | None:
        """The kind of the address if no peer may be there. None if a service may connect to it."""
        given = ipaddress.ip_address(address.partition("%")[0])
        target = _embedded(given)
        # A translator of the local network may read the IPv4 address from another place in its own prefix.
        judged = (target, given) if given in _LOCAL_TRANSLATOR else (target,)
        return next(filter(None, map(self._refusal, judged)), None)

    def _refusal(self, address: Address) -> str | None:
        for kind, networks in _NEVER:
            if _is_in(address, networks):
                return kind
        if _is_in(address, self.allowed):
            return None
        for kind, networks in (("a loopback address", _LOOPBACK), ("a private address", _PRIVATE)):
            if _is_in(address, networks):
                return kind
        is_public = address.is_global and not _is_in(address, _RESERVED)
        return None if is_public else "a reserved address"


PUBLIC = PeerNetworks()


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
