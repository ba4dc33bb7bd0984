"""The readers that follow the running round. One client cannot take the places of all others."""

from __future__ import annotations

from collections import Counter


class Stream:
    """The connection of one reader. It ends itself soon after `has_ended` became true."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.has_ended = False


class Streams:
    """The open streams, oldest first: at most `most`, of which one client has at most `per_client`."""

    def __init__(self, *, most: int, per_client: int) -> None:
        self._most = most
        self._per_client = per_client
        self._open: list[Stream] = []

    def opened(self, client: str) -> Stream | None:
        """A stream for this client, or None if no other client has more streams than it has.

        The client's own oldest stream makes room, otherwise the oldest of the client that has most.
        """
        counts = Counter(stream.client for stream in self._open)
        if counts[client] >= self._per_client:
            self._end_oldest_of(client)
        elif len(self._open) >= self._most:
            greediest, count = counts.most_common(1)[0]
            if count <= counts[client] + 1:
                return None
            self._end_oldest_of(greediest)
        stream = Stream(client)
        self._open.append(stream)
        return stream

    def close(self, stream: Stream) -> None:
        stream.has_ended = True
        if stream in self._open:
            self._open.remove(stream)

    def _end_oldest_of(self, client: str) -> None:
        self.close(next(stream for stream in self._open if stream.client == client))
