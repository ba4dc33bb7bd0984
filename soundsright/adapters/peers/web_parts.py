"""Parts of files on a web server, read within bounds. Sizes are in bytes, times in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from soundsright.core.errors import PeerUnavailable, UsageError, printable

if TYPE_CHECKING:
    import httpx

_TIMEOUT_S = 20.0
_MAX_S = 300.0
"""The longest time for one part, so that a server that sends a byte now and then does not hold a command."""
_PAUSE_S = 0.5
_FINAL = "refused"
"""The code of a failure that another try has too."""
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_PIECE_BYTES = 1 << 16
_MAX_ADDRESS_CHARS = 2_000


class WebFolder:
    """A folder on a web server. A redirection is not followed. A request that fails is tried `tries` times.

    Raises:
        UsageError: the address is not one of http or https.
    """

    def __init__(self, address: str, *, tries: int = 3, sleep: Callable[[float], None] = time.sleep) -> None:
        import httpx

        if not address.startswith(("http://", "https://")) or len(address) > _MAX_ADDRESS_CHARS:
            raise UsageError(
                f"{printable(address[:100])} is not an address", "Give http:// or https:// and a host."
            )
        self._address = address.rstrip("/")
        self._tries = tries
        self._sleep = sleep
        self._client = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False)

    def close(self) -> None:
        self._client.close()

    def part(self, name: str, start: int, end: int) -> bytes | None:
        """The bytes of a file from `start` to before `end`, or fewer where the file ends; None without the file.

        A server that does not know ranges sends the whole file, of which only these bytes are kept.

        Raises:
            PeerUnavailable: the server does not answer, or with an error.
        """
        for number in range(1, self._tries):
            try:
                return self._part(name, start, end)
            except PeerUnavailable as error:
                if error.code == _FINAL:
                    raise
                self._sleep(_PAUSE_S * 2 ** (number - 1))
        return self._part(name, start, end)

    def _part(self, name: str, start: int, end: int) -> bytes | None:
        with self._answer(name, start, end) as answer:
            if answer.status_code in (404, 410):
                return None
            if answer.status_code not in (200, 206):
                raise PeerUnavailable(
                    f"{self._address}/{name} answers with status {answer.status_code}",
                    code="busy" if answer.status_code in _BUSY else _FINAL,
                )
            skipped = start if answer.status_code == 200 else 0
            raw, until_s = bytearray(), time.monotonic() + _MAX_S
            for piece in answer.iter_raw(_PIECE_BYTES):
                if time.monotonic() > until_s:
                    raise PeerUnavailable(f"{self._address}/{name} was not sent within {_MAX_S:g} s", code=_FINAL)
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
