"""A relay of drand's beacon on loopback, with signatures that the beacon "quicknet" published in August 2023.

With them, tests open texts sealed to these rounds and need no network. Anyone can check the signatures.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIGNATURES = {
    1: "b55e7cb2d5c613ee0b2e28d6750aabbb78c39dcc96bd9d38c2c2e12198df95571de8e8e402a0cc48871c7089a2b3af4b",
    123: "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92",
    1000: "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39",
}
ROUND_1000_S = 1_692_806_364
"""The time at which round 1000 was published: 2023-08-23 15:59:24 UTC."""


@dataclass
class Relay:
    """A relay: its signatures by round, an answer that overrides them, and the paths that were requested."""

    url: str = ""
    signatures: Mapping[int, str] = field(default_factory=lambda: SIGNATURES)
    override: tuple[int, bytes] | None = None
    requests: list[str] = field(default_factory=list)


@contextmanager
def served_relay() -> Iterator[Relay]:
    """A relay with `SIGNATURES`, until the block ends."""
    relay = Relay()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            relay.requests.append(self.path)
            number = self.path.rpartition("/")[2]
            signature = relay.signatures.get(int(number)) if number.isdigit() else None
            status, body = 200, json.dumps({"round": number, "signature": signature}).encode()
            if signature is None:
                status, body = 404, b"{}"
            if relay.override is not None:
                status, body = relay.override
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests read `relay.requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    relay.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(
        target=server.serve_forever, name="drand", kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield relay
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
