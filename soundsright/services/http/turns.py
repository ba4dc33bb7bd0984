"""Turns: how many requests of one client a service works on at the same time. The others wait."""

from __future__ import annotations

import asyncio
from collections import Counter, deque


class Turns:
    """Turns by client, on one event loop. A request has its turn from its start to the start of its reply.

    A turn lasts until the work is done, also if its client has gone. So nobody can start more work by leaving.
    """

    def __init__(self, *, per_client: int, total: int) -> None:
        self._per_client = per_client
        self._total = total
        self._working: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[bool]]] = {}

    def request(self, client: str) -> asyncio.Future[bool]:
        """A turn, now or later, or False if there is none. Call `end` after a turn, but not after a False one."""
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._working.total() >= self._total:
            turn.set_result(False)
        elif self._working[client] < self._per_client:
            self._working[client] += 1
            turn.set_result(True)
        else:
            self._waiting.setdefault(client, deque()).append(turn)
        return turn

    def end(self, client: str) -> None:
        """End one turn of the client, and give it to the next of its requests that still waits."""
        waiting = self._waiting.get(client, deque())
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                break
        else:
            self._working[client] -= 1
            if not self._working[client]:
                del self._working[client]
        if not waiting:
            self._waiting.pop(client, None)

    def give_up(self, client: str, turn: asyncio.Future[bool]) -> None:
        """Stop waiting for this turn, because its client has gone."""
        if not turn.done():
            turn.set_result(False)
            waiting = self._waiting[client]
            waiting.remove(turn)
            if not waiting:
                del self._waiting[client]
