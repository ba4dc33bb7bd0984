"""The HTTP service of a private chain, in this process, on a free port of loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soundsright.adapters.chains import HttpChain, LocalChain
from soundsright.adapters.peers import Hotkey, RateLimit, RequestGate, valid_signature
from soundsright.core.ss58 import is_address
from soundsright.services.http import ChainAccess, HttpService, chain_app, listening

ORGANISER = Hotkey.of_seed("organiser")


@contextmanager
def served_chain(
    path: Path,
    *,
    open_registration: bool = False,
    block_s: float | None = None,
    per_minute: float = 1e6,
    reads: RateLimit | None = None,
    registrations: RateLimit | None = None,
) -> Iterator[tuple[LocalChain, str]]:
    """The chain in the file `path`, and the URL of its service."""
    chain = LocalChain(path, block_s=block_s)
    chain.appoint(ORGANISER.address)
    app = chain_app(
        chain,
        ChainAccess(
            address=ORGANISER.address,
            organiser=ORGANISER.address,
            admit=RequestGate(ORGANISER.address).admit,
            throttle=RateLimit(per_minute=per_minute, burst=max(1, int(per_minute))).check,
            is_address=is_address,
            open_registration=open_registration,
            reads=reads,
            registrations=registrations.check if registrations else None,
            valid_signature=valid_signature,
        ),
    )
    service = HttpService(app, listening("127.0.0.1", 0, host_variable="", port_variable=""), name="chain")
    service.start()
    try:
        yield chain, f"http://127.0.0.1:{service.port}"
    finally:
        service.close()


def client(url: str, account: Hotkey | None = None) -> HttpChain:
    return HttpChain(url, account, timeout_s=5.0)
