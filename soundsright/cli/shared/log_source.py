"""A log at an address, for the commands that read one. Times are in seconds, sizes in bytes."""

from __future__ import annotations

from pathlib import Path

from soundsright.core.errors import LogRefused, PeerUnavailable, UsageError
from soundsright.core.ports import Reply

TIMEOUT_S = 60.0
_NOBODY = frozenset({"refused", "unknown_host", "unreachable", "bad_endpoint"})


class HttpLog:
    """The `LogSource` at an address. One deadline covers each request. It follows no redirects."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        from urllib.parse import urlsplit

        from soundsright.services.log import checked_address

        self._url = checked_address(url)
        self._timeout_s = timeout_s
        parts = urlsplit(self._url)
        self._server, self._prefix = f"{parts.scheme}://{parts.netloc}", parts.path

    @property
    def name(self) -> str:
        """Its address."""
        return self._url

    def get(self, path: str, max_bytes: int) -> bytes:
        """The body of the answer to a GET.

        Raises:
            LogRefused: it is a refusal, too large, too slow or no HTTP.
            UsageError: nothing answers there.
        """
        reply = self.send("GET", path, max_bytes=max_bytes)
        if reply.status != 200:
            raise LogRefused(f"{self._url}{path} answered {reply.status}", "Check that it is the address of a log.")
        return reply.body

    def send(self, method: str, path: str, *, body: bytes = b"", max_bytes: int) -> Reply:
        """The reply to one request.

        Raises:
            LogRefused: it is too large, too slow or no HTTP.
            UsageError: nothing answers there.
        """
        from soundsright.adapters.peers import request

        try:
            return request(
                self._server,
                method,
                self._prefix + path,
                body=body,
                timeout_s=self._timeout_s,
                max_bytes=max_bytes,
            )
        except PeerUnavailable as error:
            if error.code in _NOBODY:
                raise UsageError(error.problem, error.remedy) from error
            raise LogRefused(error.problem, "Check that it is the address of a log, or try again.") from error


def document_bytes(path: Path) -> bytes:
    """The bytes of a signed document, at most one more than a log takes.

    Raises:
        UsageError: the file cannot be read.
    """
    from soundsright.services.log import MAX_DOCUMENT_BYTES

    try:
        with path.open("rb") as file:
            return file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror})",
            "Give a signed document, such as the round.json of a bundle.",
        ) from error
