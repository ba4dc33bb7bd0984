"""Parts of files on a web server, read within bounds. Sizes are in bytes, times in seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from soundsright.core.errors import PeerUnavailable, UsageError, printable

if TYPE_CHECKING:
    import httpx

_TIMEOUT_S = 20.0
_MAX_S = 300.0
"""The longest time for one part, so that a server that sends a byte now and then does not hold a command."""
_PIECE_BYTES = 1 << 16
_MAX_ADDRESS_CHARS = 2_000


class WebFolder:
    """A folder on a web server. A redirection is not followed.

    Raises:
        UsageError: the address is not one of http or https.
    """

    def __init__(self, address: str) -> None:
        import httpx

        if not address.startswith(("http://", "https://")) or len(address) > _MAX_ADDRESS_CHARS:
            raise UsageError(
                f"{printable(address[:100])} is not an address", "Give http:// or https:// and a host."
            )
        self._address = address.rstrip("/")
        self._client = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False)

    def close(self) -> None:
        self._client.close()

    def part(self, name: str, start: int, end: int) -> bytes | None:
        """The bytes of a file from `start` to before `end`, or fewer where the file ends; None without the file.

        A server that does not know ranges sends the whole file, of which only these bytes are kept.

        Raises:
            PeerUnavailable: the server does not answer, or with an error.
        """
        with self._answer(name, start, end) as answer:
            if answer.status_code in (404, 410):
                return None
            if answer.status_code not in (200, 206):
                raise PeerUnavailable(f"{self._address}/{name} answers with status {answer.status_code}")
            skipped = start if answer.status_code == 200 else 0
            raw, until_s = bytearray(), time.monotonic() + _MAX_S
            for piece in answer.iter_raw(_PIECE_BYTES):
                if time.monotonic() > until_s:
                    raise PeerUnavailable(f"{self._address}/{name} was not sent within {_MAX_S:g} s")
                raw += piece[skipped:] if skipped < len(piece) else b""
                skipped = max(0, skipped - len(piece))
                if len(raw) >= end - start:
                    break
            return bytes(raw[: end - start])

    @contextmanager
    def _answer(self, name: str, start: int, end: int) -> Iterator[httpx.Response]:
        import httpx

        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        try:
            with self._client.stream("GET", f"{self._address}/{name}", headers=headers) as answer:
                yield answer
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PeerUnavailable(f"{self._address} does not answer ({error})") from error
