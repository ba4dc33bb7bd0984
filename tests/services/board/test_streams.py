"""The readers of the running round: nobody takes the places of others."""

from __future__ import annotations

from soundsright.services.board.streams import Stream, Streams


def open_ones(streams: list[Stream | None]) -> list[bool]:
    return [stream is not None and not stream.has_ended for stream in streams]


def test_a_client_at_its_limit_loses_its_own_oldest_stream() -> None:
    streams = Streams(most=10, per_client=2)
    other = streams.opened("b")
    own = [streams.opened("a") for _ in range(4)]
    assert open_ones(own) == [False, False, True, True]
    assert open_ones([other]) == [True]


def test_the_client_with_most_streams_makes_room_for_one_with_fewer() -> None:
    streams = Streams(most=4, per_client=3)
    greedy = [streams.opened("a") for _ in range(3)]
    others = [streams.opened(name) for name in "bcd"]
    assert open_ones(greedy) == [False, False, True]
    assert open_ones(others) == [True] * 3


def test_when_all_have_one_stream_the_next_reader_waits_until_one_leaves() -> None:
    streams = Streams(most=2, per_client=2)
    first, second = streams.opened("a"), streams.opened("b")
    assert first is not None
    assert streams.opened("c") is None
    streams.close(first)
    assert open_ones([second, streams.opened("c")]) == [True, True]
