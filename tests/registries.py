"""A registry of images that tests let misbehave. It speaks the part of the protocol that a pull needs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

Misbehaviour = Callable[["Request"], bool]
"""Answers a request in a wrong way and returns True, or returns False for the right answer."""


class Request(BaseHTTPRequestHandler):
    """One request, with the answers that a misbehaviour may give."""

    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        registry = self.server.registry
        registry.requests.append(self.path)
        if registry.misbehaviour is not None and registry.misbehaviour(self):
            return
        content = registry.content.get(self.path.rpartition("/")[2])
        if self.path == "/v2/":
            self.answer(200, b"{}")
        elif content is None:
            unknown = "MANIFEST_UNKNOWN" if "/manifests/" in self.path else "BLOB_UNKNOWN"
            self.refuse(404, unknown, f"{unknown.lower().replace('_', ' ')} to this registry")
        else:
            self.answer(200, content[1], kind=content[0])

    do_HEAD = do_GET

    @property
    def is_blob(self) -> bool:
        return "/blobs/" in self.path

    @property
    def is_manifest(self) -> bool:
        return "/manifests/" in self.path

    def answer(self, status: int, body: bytes, *, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        told = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
        for name, value in told.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str, sentence: str) -> None:
        self.answer(status, json.dumps({"errors": [{"code": code, "message": sentence}]}).encode())

    def redirect(self, address: str) -> None:
        self.answer(307, b"", Location=address)

    def content(self) -> bytes:
        """The right content of what this request asks for."""
        return self.server.registry.content[self.path.rpartition("/")[2]][1]

    def log_message(self, *_: object) -> None:
        """Write nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    registry: FakeRegistry

    def handle_error(self, *_: object) -> None:
        """Write nothing: a client that gives up is what the tests want."""


class FakeRegistry:
    """The registry. `closed` is set when its server ends, so that a slow answer ends too."""

    def __init__(self, server: _Server) -> None:
        self.address = f"127.0.0.1:{server.server_address[1]}"
        self.repository = f"{self.address}/lab/gate"
        self.content: dict[str, tuple[str, bytes]] = {}
        self.requests: list[str] = []
        self.misbehaviour: Misbehaviour | None = None
        self.closed = threading.Event()

    def put(self, content: bytes, kind: str) -> dict[str, Any]:
        """Store bytes. Returns the descriptor that a manifest has for them."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.content[digest] = (kind, content)
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    def put_image(
        self,
        layer: bytes = b"x",
        *,
        told_layer: Mapping[str, Any] | None = None,
        architecture: str = "amd64",
        packed: bytes | None = None,
    ) -> dict[str, Any]:
        """Store an image with one file. Returns the descriptor of its manifest.

        `told_layer` replaces facts of the layer in the manifest; `packed` is sent as the layer instead.
        """
        archive = one_file(layer)
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/file"], "Labels": {"content": hashlib.sha256(layer).hexdigest()}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(archive).hexdigest()}"]},
        }
        sent = gzip.compress(archive, mtime=0) if packed is None else packed
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.put(json.dumps(config).encode(), _CONFIG),
            "layers": [{**self.put(sent, _LAYER), **(told_layer or {})}],
        }
        return self.put(json.dumps(manifest).encode(), MANIFEST)

    def put_list(self, *images: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Store a list of manifests by their architecture."""
        rows = [
            {**manifest, "platform": {"os": "linux", "architecture": architecture}}
            for architecture, manifest in images
        ]
        document = {"schemaVersion": 2, "mediaType": MANIFEST_LIST, "manifests": rows}
        return self.put(json.dumps(document).encode(), MANIFEST_LIST)

    def name_of(self, manifest: Mapping[str, Any]) -> str:
        return f"{self.repository}@{manifest['digest']}"


def one_file(data: bytes) -> bytes:
    """A tar archive with one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size, member.mode = len(data), 0o755
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@contextmanager
def fake_registry() -> Iterator[FakeRegistry]:
    """A registry on the loopback interface, for the time of the block."""
    server = _Server(("127.0.0.1", 0), Request)
    server.registry = FakeRegistry(server)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.registry
    finally:
        server.registry.closed.set()
        server.shutdown()
        server.server_close()
