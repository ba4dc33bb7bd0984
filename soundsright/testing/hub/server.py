"""A server on loopback with the API of the Hub: tree, resolve, LFS by redirect, ranges, commits; and faults."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from soundsright.testing.hub.repositories import HubServer
from soundsright.testing.hub.writes import reply_to_write

LFS_FROM_BYTES = 2_000


@contextmanager
def served_hub() -> Iterator[HubServer]:
    """A hub without repositories, until the block ends. The test fills it."""
    hub = HubServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_HubHandler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, name="hub", kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def git_hash(data: bytes) -> str:
    """Git's hash of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class _HubHandler(BaseHTTPRequestHandler):
    """Answers one request. A subclass sets `hub`."""

    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        if (authorization := self.headers.get("Authorization")) is not None:
            self.hub.authorizations.add(authorization)
        for part, statuses in self.hub.failing.items():
            if part in path and statuses:
                self.refuse(statuses.pop(0), "Busy")
                return
        if match := re.fullmatch(r"/api/(?:models/)?((?:datasets/)?[^/]+/[^/]+)/tree/([^/]+)", path):
            self.tree(*match.groups())
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.resolve(*match.groups())
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/raw/([^/]+)/(.+)", path):
            self.raw(*match.groups())
        elif match := re.fullmatch(r"/cdn/([^/]+/[^/]+)/([^/]+)/(.+)", path):
            repository, revision, name = match.groups()
            self.body(self.hub.repositories[repository].commits[revision][name], name, {})
        else:
            self.refuse(404, "NotFound")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.hub.requests.append((self.command, path, None))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # The URL of an upload is signed, so the client sends no token.
        if not path.startswith("/lfs/") and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self.refuse(401, "Unauthorized", "Invalid credentials in Authorization header")
            return
        for part, statuses in self.hub.failing.items():
            if part in path and statuses:
                self.refuse(statuses.pop(0), "Busy")
                return
        reply = reply_to_write(self.hub, path, url.query, body)
        if reply is None:
            self.refuse(404, "NotFound")
            return
        self.answer(reply.status, json.dumps(reply.document).encode(), {"Content-Type": "application/json"})

    do_PUT = do_POST

    def files(self, repository: str, revision: str) -> dict[str, bytes] | None:
        stored = self.hub.repositories.get(repository)
        authorized = self.headers.get("Authorization") == f"Bearer {self.hub.token}"
        if "Authorization" in self.headers and not authorized:
            self.refuse(401, "Unauthorized", "Invalid credentials in Authorization header")
        elif stored is None or (stored.private and not authorized):
            self.refuse(401 if not authorized else 404, "RepoNotFound")
        elif stored.gated and not authorized:
            self.refuse(403, "GatedRepo")
        elif revision not in stored.commits:
            self.refuse(404, "RevisionNotFound")
        else:
            return stored.commits[revision]
        return None

    def tree(self, repository: str, revision: str) -> None:
        files = self.files(repository, revision)
        if files is None:
            return
        start = int(urlsplit(self.path).query.partition("cursor=")[2] or 0)
        names = sorted(files)
        rows = [self.row(name, files[name]) for name in names[start : start + self.hub.page]]
        headers = {"Content-Type": "application/json"}
        if start + self.hub.page < len(names):
            path = f"/api/models/{repository}/tree/{revision}?recursive=True&cursor={start + self.hub.page}"
            headers["Link"] = f'<{self.hub.url}{path}>; rel="next"'
        self.answer(200, json.dumps(rows).encode(), headers)

    def row(self, name: str, data: bytes) -> dict[str, object]:
        row: dict[str, object] = {
            "type": "file",
            "path": self.hub.listed_as.get(name, name),
            "size": len(data),
            "oid": git_hash(data),
        }
        if len(data) >= LFS_FROM_BYTES:
            row["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return row

    def resolve(self, repository: str, revision: str, name: str) -> None:
        files = self.files(repository, revision)
        if files is None:
            return
        if name not in files:
            self.refuse(404, "EntryNotFound")
            return
        data = files[name]
        headers = {"X-Repo-Commit": revision, "ETag": f'"{git_hash(data)}"'}
        if len(data) >= LFS_FROM_BYTES:
            headers |= {
                "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
                "X-Linked-Size": str(len(data)),
                # A redirect to another host, as to the Hub's store. The library follows it only for the body.
                "Location": f"{self.hub.url.replace('127.0.0.1', 'localhost')}/cdn/{repository}/{revision}/{name}",
            }
            self.answer(302, b"", headers)
            return
        self.body(data, name, headers)

    def raw(self, repository: str, revision: str, name: str) -> None:
        """A file without redirect. Of a large file the Hub sends only the pointer, so this sends nothing."""
        files = self.files(repository, revision)
        if files is None:
            return
        if name not in files or len(files[name]) >= LFS_FROM_BYTES:
            self.refuse(404, "EntryNotFound")
            return
        self.body(files[name], name, {})

    def body(self, data: bytes, name: str, headers: dict[str, str]) -> None:
        if name in self.hub.corrupt:
            data = bytes([data[0] ^ 1]) + data[1:]
        if name in self.hub.extend and self.command == "GET":
            # Send no length, like a server that streams.
            self.send_response(200)
            for key, value in (headers | {"Connection": "close"}).items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data + b"x" * 5_000_000)
            self.close_connection = True
            return
        status, start = 200, 0
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            status, start = 206, int(match[1])
            headers = headers | {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        cut = self.hub.cut_at.pop(name, None) if self.command == "GET" else None
        if cut is None:
            self.answer(status, data[start:], headers)
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start : start + cut])
        self.close_connection = True

    def refuse(self, status: int, code: str, message: str = "") -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": message or code}
        self.answer(status, b"{}", headers | ({"Retry-After": "0"} if status == 429 else {}))

    def answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Tests read `self.hub.requests`."""
