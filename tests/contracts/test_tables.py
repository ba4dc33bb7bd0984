"""One suite for every adapter of `Records` and `Counters`: SQLite, PostgreSQL, Redis and the fakes."""

from collections.abc import Callable, Iterator

import pytest

from soundsright.adapters.state.counters import SqlCounters
from soundsright.adapters.state.records import SqlRecords
from soundsright.adapters.state.redis_counters import RedisCounters
from soundsright.core.errors import RecordConflict
from soundsright.core.ports import Counters, Records
from soundsright.core.ports.tables import MAX_COUNT, MAX_DELTAS, MAX_FACTS_BYTES, MAX_ROWS
from soundsright.testing import MemoryCounters, MemoryRecords
from tests.adapters.state import redis_program as redis
from tests.adapters.state.postgres import SQL
from tests.contracts.conftest import Place


@pytest.fixture(params=["memory", *SQL])
def records(request: pytest.FixtureRequest, place: Place) -> Iterator[Records]:
    if request.param == "memory":
        yield MemoryRecords()
        return
    url, organiser = place(request.param)
    opened = SqlRecords(url, scope=organiser)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def redis_server() -> Iterator[redis.TestServer]:
    pytest.importorskip("redis", reason="Redis needs soundsright[redis]")
    with redis.server() as running:
        yield running


@pytest.fixture(params=["memory", *SQL, pytest.param("redis", marks=redis.needs_redis)])
def open_counters(request: pytest.FixtureRequest, place: Place) -> Iterator[Callable[[], Counters]]:
    """A function that opens the same counters again, as a restarted verifier does."""
    opened: list[Counters] = []
    memory = MemoryCounters()
    url, organiser = ("", "") if request.param == "memory" else place(request.param)

    def open_one() -> Counters:
        if request.param == "memory":
            return memory
        if request.param == "redis":
            return RedisCounters(request.getfixturevalue("redis_server").address, scope=organiser)
        return SqlCounters(url, scope=organiser)

    def open_counters() -> Counters:
        opened.append(open_one())
        return opened[-1]

    yield open_counters
    for counters in opened:
        counters.close()


@pytest.fixture
def counters(open_counters: Callable[[], Counters]) -> Counters:
    return open_counters()


class TestRecords:
    def test_the_same_facts_are_recorded_once(self, records: Records) -> None:
        first = records.append("reports", "r1", {"b": [1, 2.5, None], "a": {"text": "naïve\x00"}})
        assert first.facts == {"a": {"text": "naïve\x00"}, "b": [1, 2.5, None]}
        assert records.append("reports", "r1", {"a": {"text": "naïve\x00"}, "b": [1, 2.5, None]}) == first
        assert records.read("reports") == (first,)

    def test_other_facts_are_refused_and_the_first_stay(self, records: Records) -> None:
        first = records.append("reports", "r1", {"score": 1})
        with pytest.raises(RecordConflict, match="reports/r1: other facts are recorded"):
            records.append("reports", "r1", {"score": 2})
        with pytest.raises(RecordConflict):
            records.append("reports", "r1", {"score": 1.0})
        assert records.latest("reports", "r1") == first

    def test_streams_have_their_own_keys_and_one_order(self, records: Records) -> None:
        written = [records.append(stream, key, {}) for key in "cab" for stream in ("x", "y")]
        assert [row.key for row in records.read("x")] == ["c", "a", "b"]
        positions = [row.position for row in written]
        assert positions == sorted(set(positions))
        assert positions[0] > 0

    def test_a_reader_goes_on_after_the_last_position(self, records: Records) -> None:
        for number in range(7):
            records.append("events", f"e{number}", {"number": number})
        seen, after = [], 0
        while rows := records.read("events", after=after, limit=3):
            seen += [row.facts["number"] for row in rows]
            after = rows[-1].position
        assert seen == list(range(7))

    def test_the_latest_is_that_of_a_key_or_of_the_stream(self, records: Records) -> None:
        assert records.latest("events") is None
        first, last = records.append("events", "b", {"n": 1}), records.append("events", "a", {"n": 2})
        assert records.latest("events") == last
        assert records.latest("events", "b") == first
        assert records.latest("events", "none") is None
        assert records.latest("others", "b") is None

    @pytest.mark.parametrize(
        ("stream", "key"),
        [("", "k"), ("s", ""), ("s" * 65, "k"), ("s", "k" * 256), ("a b", "k"), ("s", "k\n"), ("s", "ключ")],
    )
    def test_bad_names_are_refused(self, records: Records, stream: str, key: str) -> None:
        with pytest.raises(ValueError, match="printable ASCII"):
            records.append(stream, key, {})
        assert records.read("s") == ()

    @pytest.mark.parametrize(
        "facts",
        [
            {"x": float("nan")},
            {"x": float("inf")},
            {"x": {1: "number"}},
            {"x": b"bytes"},
            {"x": "x" * MAX_FACTS_BYTES},
        ],
    )
    def test_facts_that_are_not_bounded_json_are_refused(self, records: Records, facts: dict[str, object]) -> None:
        with pytest.raises(ValueError):  # noqa: PT011
            records.append("s", "k", facts)
        assert records.read("s") == ()

    def test_endless_nesting_is_refused(self, records: Records) -> None:
        deep: list[object] = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(ValueError, match="not JSON"):
            records.append("s", "k", {"deep": deep})

    @pytest.mark.parametrize(("after", "limit"), [(-1, 1), (0, 0), (0, MAX_ROWS + 1)])
    def test_pages_are_bounded(self, records: Records, after: int, limit: int) -> None:
        with pytest.raises(ValueError, match="limit from 1 to"):
            records.read("s", after=after, limit=limit)


class TestCounters:
    def test_once_makes_a_repeat_harmless(self, counters: Counters) -> None:
        assert counters.add("5F", {"attempts": 1}, once="i7:42")
        assert not counters.add("5F", {"attempts": 1}, once="i7:42")
        assert counters.read("5F") == {"attempts": 1}

    def test_a_repeat_after_a_restart_is_harmless(self, open_counters: Callable[[], Counters]) -> None:
        open_counters().add("5F", {"attempts": 1}, once="i7:42")
        assert not open_counters().add("5F", {"attempts": 1}, once="i7:42")
        assert open_counters().read("5F") == {"attempts": 1}

    def test_a_mark_belongs_to_its_scope(self, counters: Counters) -> None:
        assert counters.add("a", {"attempts": 1}, once="i7:42")
        assert counters.add("b", {"attempts": 1}, once="i7:42")
        assert counters.read_all() == {"a": {"attempts": 1}, "b": {"attempts": 1}}

    def test_several_counters_grow_together(self, counters: Counters) -> None:
        counters.add("5F", {"attempts": 2, "successes": 1})
        counters.add("5F", {"attempts": 1, "failures": 0})
        assert counters.read("5F") == {"attempts": 3, "successes": 1}
        assert counters.read("none") == {}

    def test_a_counter_is_exact_up_to_its_limit_and_refuses_more(self, counters: Counters) -> None:
        counters.add("5F", {"a": 1, "z": MAX_COUNT - 1})
        with pytest.raises(ValueError, match="the counter z would pass"):
            counters.add("5F", {"a": 1, "z": 2}, once="m")
        assert counters.read("5F") == {"a": 1, "z": MAX_COUNT - 1}
        assert counters.add("5F", {"z": 1}, once="m")
        assert counters.read("5F")["z"] == MAX_COUNT
        assert counters.close_interval("i1")["5F"]["z"] == MAX_COUNT

    @pytest.mark.parametrize(
        "deltas",
        [
            {"attempts": -1},
            {"attempts": 1.0},
            {"attempts": True},
            {"attempts": MAX_COUNT + 1},
            {"Attempts": 1},
            {"": 1},
            {f"c{number}": 1 for number in range(MAX_DELTAS + 1)},
        ],
    )
    def test_bad_deltas_are_refused(self, counters: Counters, deltas: dict[str, int]) -> None:
        with pytest.raises(ValueError):  # noqa: PT011
            counters.add("5F", {"good": 1} | deltas)
        assert counters.read("5F") == {}

    def test_bad_names_are_refused(self, counters: Counters) -> None:
        for scope, once in (("", "m"), ("a b", "m"), ("s", ""), ("s", "m m"), ("s" * 256, "m"), ("s", "m" * 256)):
            with pytest.raises(ValueError, match="printable ASCII"):
                counters.add(scope, {"attempts": 1}, once=once)
        with pytest.raises(ValueError, match="printable ASCII"):
            counters.close_interval("")
        assert counters.read_all() == {}

    def test_closing_returns_the_counts_and_sets_them_to_zero(self, counters: Counters) -> None:
        counters.add("a", {"attempts": 3, "total_successes": 2})
        counters.add("b", {"attempts": 1})
        closed = counters.close_interval("tiers:7", keep=["total_successes"])
        assert closed == {"a": {"attempts": 3, "total_successes": 2}, "b": {"attempts": 1}}
        assert counters.read_all() == {"a": {"total_successes": 2}}
        counters.add("a", {"attempts": 1, "total_successes": 1})
        assert counters.close_interval("tiers:8") == {"a": {"attempts": 1, "total_successes": 3}}
        assert counters.read_all() == {}

    def test_closing_again_changes_nothing(self, open_counters: Callable[[], Counters]) -> None:
        counters = open_counters()
        counters.add("a", {"attempts": 3})
        closed = counters.close_interval("tiers:7")
        counters.add("a", {"attempts": 1})
        assert open_counters().close_interval("tiers:7") == closed
        assert counters.read("a") == {"attempts": 1}
        assert counters.interval("tiers:7") == closed
        assert counters.interval("tiers:8") is None

    def test_an_interval_without_counts_is_closed_too(self, counters: Counters) -> None:
        assert counters.close_interval("tiers:7") == {}
        counters.add("a", {"attempts": 1})
        assert counters.close_interval("tiers:7") == {}
        assert counters.interval("tiers:7") == {}

    def test_a_repeat_is_recognised_until_two_more_intervals_are_closed(self, counters: Counters) -> None:
        counters.add("a", {"attempts": 1}, once="m")
        for name in ("own", "first", "second"):
            assert not counters.add("a", {"attempts": 1}, once="m"), name
            counters.close_interval(name)
        assert counters.read_all() == {}
        assert counters.add("a", {"attempts": 1}, once="m"), "the mark would be kept for ever"

    def test_old_intervals_are_forgotten_but_not_closed_again(self, counters: Counters) -> None:
        for number in range(4):
            counters.add("a", {"attempts": number + 1})
            counters.close_interval(f"i{number}")
        counters.add("a", {"attempts": 9})
        assert counters.forget_intervals(keep=2) == ("i0", "i1")
        assert counters.forget_intervals(keep=2) == ()
        removed = "i1: the interval was closed, and its counts were removed"
        with pytest.raises(RecordConflict, match=removed):
            counters.close_interval("i1")
        with pytest.raises(RecordConflict, match=removed):
            counters.interval("i1")
        assert counters.interval("i2") == {"a": {"attempts": 3}}
        assert counters.read("a") == {"attempts": 9}
        with pytest.raises(ValueError, match="keep=0"):
            counters.forget_intervals(keep=0)
