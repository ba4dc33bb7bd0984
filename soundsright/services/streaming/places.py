"""The places for streams: how many there are at a time, of all clients, of one key and of one address."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from soundsright.core.errors import RequestRefused

_RETRY_AFTER_S = 30


@dataclass
class StreamPlaces:
    """The places, and who has them. It belongs to one event loop."""

    in_all: int = 4
    per_key: int = 2
    per_address: int = 4
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
                "busy", "Too many streams; try again later", status=429, retry_after_s=_RETRY_AFTER_S
            )
        self._keys[key] += 1
        self._addresses[address] += 1
        try:
            yield
        finally:
            self._keys -= Counter({key: 1})
            self._addresses -= Counter({address: 1})
