"""The places for streams and other long requests: how many at a time, of all clients, a key and an address."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from soundsright.core.errors import RequestRefused


@dataclass
class StreamPlaces:
    """The places, and who has them. It belongs to one event loop. `what` they are is in the refusal."""

    in_all: int = 4
    per_key: int = 2
    per_address: int = 4
    what: str = "streams"
    retry_after_s: int = 30
    _keys: Counter[str] = field(default_factory=Counter)
    _addresses: Counter[str] = field(default_factory=Counter)

    @contextlib.contextmanager
    def taken(self, key: str, address: str) -> Iterator[None]:
        """A place, while the context lasts.

        Raises:
            RequestRefused: `busy`.
        """
        is_full = self._keys.total() >= self.in_all
        if is_full or self._keys[key] >= self.per_key or self._addresses[address] >= self.per_address:
            raise RequestRefused(
                "busy",
                f"Too many {self.what} at the same time; try again later",
                status=429,
                retry_after_s=self.retry_after_s,
            )
        self._keys[key] += 1
        self._addresses[address] += 1
        try:
            yield
        finally:
            self._keys -= Counter({key: 1})
            self._addresses -= Counter({address: 1})
