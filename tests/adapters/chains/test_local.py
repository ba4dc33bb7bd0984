"""The private chain in one file: permissions, hashes, commitments, and files that it cannot use."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from soundsright.adapters.chains.commitment_log import KEPT, MAX_PER_PERIOD, PERIOD_BLOCKS
from soundsright.adapters.chains.local import MAX_COMMITMENT_CHARS, LocalChain, seeded_block_entropy
from soundsright.adapters.chains.registrations import GRACE_BLOCKS, STALE_BLOCKS
from soundsright.core.errors import ChainUnavailable, UsageError


def test_a_content_that_is_committed_again_keeps_its_first_block(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "chain.db")
    chain.register("alice")
    first = chain.publish("alice", "one").block
    chain.publish("alice", "two")
    chain.publish("alice", "one")
    assert [c.first_block for c in chain.commitments()] == [first]
    assert first is not None
    assert [c.first_block for c in chain.snapshot(first + 1).commitments] == [first + 1]


def test_a_commitment_has_the_block_that_it_was_made_in(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    chain.advance(5)
    result = chain.publish("alice", "digest")
    assert result.ok
    (commitment,) = chain.commitments()
    assert (commitment.hotkey, commitment.digest, commitment.block) == ("alice", "digest", result.block)
    assert commitment.block == chain.head().number


def test_the_last_commitment_counts_with_its_own_block(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    first = chain.publish("alice", "one")
    second = chain.publish("alice", "two")
    (commitment,) = chain.commitments()
    assert (commitment.digest, commitment.block) == ("two", second.block)
    assert first.block is not None
    assert commitment.block > first.block


def test_one_process_reads_the_writes_of_another(tmp_path: Path) -> None:
    writer, reader = LocalChain(tmp_path / "c.db"), LocalChain(tmp_path / "c.db")
    uid = writer.register("alice", stake=5.0, permit=True)
    assert [(n.uid, n.hotkey, n.stake, n.permit) for n in reader.neurons()] == [(uid, "alice", 5.0, True)]
    assert reader.head() == writer.head()


def test_registering_twice_keeps_the_uid_and_makes_no_block(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    uid = chain.register("alice")
    head = chain.head()
    assert chain.register("alice") == uid
    assert chain.head() == head


def test_the_hashes_of_future_blocks_are_unpredictable(tmp_path: Path) -> None:
    hashes = {LocalChain(tmp_path / f"{i}.db").advance(3).hash for i in range(4)}
    assert len(hashes) == 4


def test_two_chains_of_one_seed_have_the_same_hashes_with_any_writes(tmp_path: Path) -> None:
    one = LocalChain(tmp_path / "1.db", entropy=seeded_block_entropy(7))
    two = LocalChain(tmp_path / "2.db", entropy=seeded_block_entropy(7))
    one.register("alice")
    one.publish("alice", "x")
    assert one.advance(10 - one.head().number) == two.advance(10)
    assert LocalChain(tmp_path / "3.db", entropy=seeded_block_entropy(8)).advance(10) != two.head()


@pytest.mark.parametrize("weights", [{}, {"alice": math.nan}, {"alice": -0.1}, {"alice": math.inf}])
def test_weights_that_are_empty_negative_or_not_finite_are_refused(
    tmp_path: Path, weights: dict[str, float]
) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    chain.register("v", permit=True)
    assert chain.set_weights("v", weights).code == "bad_weights"
    assert chain.weights("v") == {}


def test_only_a_permitted_validator_sets_weights_and_only_for_the_registered(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    chain.register("v", permit=True)
    assert chain.set_weights("alice", {"alice": 1.0}).code == "no_permit"
    assert chain.set_weights("bob", {"alice": 1.0}).code == "not_registered"
    assert chain.set_weights("v", {"bob": 1.0}).code == "unknown_hotkey"
    assert chain.set_weights("v", {"alice": 0.25, "v": 0.75}).ok
    assert chain.set_weights("v", {"alice": 1.0}).ok
    assert chain.weights("v") == {0: 1.0}


def test_an_unregistered_hotkey_and_an_overlong_digest_cannot_commit(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    assert chain.publish("ghost", "digest").code == "not_registered"
    chain.register("alice")
    assert chain.publish("alice", "x" * (MAX_COMMITMENT_CHARS + 1)).code == "too_long"
    assert chain.commitments() == ()


def test_the_error_about_a_file_that_is_not_a_database_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"not a database at all, just some text" * 50)
    with pytest.raises(UsageError, match=r"c\.db.*Move it away"):
        LocalChain(tmp_path / "c.db")


def test_the_database_of_another_program_is_refused_and_not_changed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "c.db")) as db:
        db.execute("CREATE TABLE rounds (id TEXT)")
    before = (tmp_path / "c.db").read_bytes()
    with pytest.raises(UsageError, match=r"c\.db is not a chain.*rounds"):
        LocalChain(tmp_path / "c.db")
    assert (tmp_path / "c.db").read_bytes() == before


def test_a_chain_from_before_some_tables_were_added_is_opened(tmp_path: Path) -> None:
    LocalChain(tmp_path / "c.db").register("alice")
    with closing(sqlite3.connect(tmp_path / "c.db")) as db:
        db.execute("DROP TABLE block_times")
        db.execute("DROP TABLE commitment_log")
        db.execute("DROP TABLE endpoints")
    chain = LocalChain(tmp_path / "c.db")
    chain.check()
    assert [n.hotkey for n in chain.neurons()] == ["alice"]
    assert chain.ahead_s() == 0.0


def test_a_block_that_does_not_exist_yet_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(ChainUnavailable, match="no block 99"):
        LocalChain(tmp_path / "c.db").block_hash(99)


def test_processes_that_open_a_new_chain_at_once_get_the_same_chain(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from soundsright.adapters.chains.local import LocalChain; sys.stdin.read();"
        f"print(LocalChain(pathlib.Path({str(tmp_path / 'c.db')!r})).head())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
    for process in started:
        process.stdin = None
    heads = {process.communicate(timeout=60)[0] for process in started}
    assert heads == {f"{LocalChain(tmp_path / 'c.db').head()}\n"}


def test_a_chain_is_made_completely_or_not_at_all(tmp_path: Path) -> None:
    def killed(_number: int) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalChain(tmp_path / "c.db", entropy=killed)
    with closing(sqlite3.connect(tmp_path / "c.db")) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == []
    assert LocalChain(tmp_path / "c.db").head().number == 0


def test_a_chain_is_read_while_another_process_is_about_to_write(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    with closing(sqlite3.connect(tmp_path / "c.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert [n.hotkey for n in chain.neurons()] == ["alice"]
        assert LocalChain(tmp_path / "c.db").head() == chain.head()
        writer.execute("ROLLBACK")


def test_a_snapshot_has_the_blocks_of_earlier_commitments(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    blocks = [chain.publish("alice", f"{i}").block for i in range(4)]
    (commitment,) = chain.commitments()
    assert (commitment.earlier_blocks, commitment.block) == (tuple(blocks[:3]), blocks[3])
    (commitment,) = chain.snapshot(blocks[1]).commitments
    assert (commitment.earlier_blocks, commitment.block) == ((blocks[0],), blocks[1])


def test_writes_make_no_blocks_if_blocks_come_with_time(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db", block_per_write=False)
    chain.register("alice")
    chain.register("v", permit=True)
    assert (chain.head().number, chain.neurons()) == (0, ())
    assert chain.publish("alice", "one").block == 1
    chain.advance()
    assert {n.hotkey: n.registered_at for n in chain.neurons()} == {"alice": 1, "v": 1}
    for number in range(5):
        assert chain.publish("alice", f"{number}").block == 2
        assert chain.publish("v", f"{number}").block == 2
        chain.publish_endpoint("alice", f"10.0.0.1:{number + 1}")
        chain.set_weights("v", {"alice": 1.0})
    assert chain.head().number == 1
    assert [(c.hotkey, c.digest, c.block) for c in chain.commitments()] == [("alice", "one", 1)]
    assert [n.endpoint for n in chain.neurons()] == ["10.0.0.1:5", None]
    assert chain.weights("v") == {0: 1.0}
    before = chain.snapshot(1)
    chain.advance()
    commitments = {c.hotkey: (c.digest, c.block, c.earlier_blocks) for c in chain.commitments()}
    assert commitments == {"alice": ("4", 2, (1,)), "v": ("4", 2, ())}
    # An earlier block shows the same commitments as before.
    assert chain.snapshot(1).commitments == before.commitments


def test_a_chain_with_the_old_log_of_commitments_is_upgraded_without_loss(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    for name in ("alice", "bob"):
        chain.register(name)
        chain.publish(name, "old")
        chain.publish(name, "new")
    before = chain.snapshot()
    with closing(sqlite3.connect(tmp_path / "c.db")) as db, db:
        db.execute(
            "CREATE TABLE log (hotkey TEXT NOT NULL, digest TEXT NOT NULL, block INTEGER PRIMARY KEY) STRICT"
        )
        db.execute("INSERT INTO log SELECT hotkey, digest, block FROM commitment_log")
        db.execute("DROP TABLE commitment_log")
        db.execute("ALTER TABLE log RENAME TO commitment_log")
    chain = LocalChain(tmp_path / "c.db", block_per_write=False)
    assert chain.snapshot() == before
    assert chain.publish("alice", "x").block == chain.publish("bob", "y").block
    chain.advance()
    assert [c.digest for c in chain.commitments()] == ["x", "y"]


def test_a_chain_that_kept_every_commitment_is_cut_and_keeps_the_first_block_of_each_text(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    with closing(sqlite3.connect(tmp_path / "c.db")) as db, db:
        db.execute("DROP TABLE commitment_log")
        db.execute(
            "CREATE TABLE commitment_log (hotkey TEXT NOT NULL, digest TEXT NOT NULL, block INTEGER NOT NULL, "
            "PRIMARY KEY (hotkey, block)) STRICT"
        )
        rows = [("same" if n % 2 else str(n), n) for n in range(1_000)]
        db.executemany("INSERT INTO commitment_log VALUES ('alice', ?, ?)", rows)
        db.executemany("INSERT INTO blocks VALUES (?, ?)", [(n, "0x") for n in range(2, 1_000)])
    chain = LocalChain(tmp_path / "c.db")
    (commitment,) = chain.commitments()
    assert (commitment.digest, commitment.block, commitment.first_block) == ("same", 999, 1)
    assert commitment.earlier_blocks == tuple(range(899, 999))
    assert _lines(tmp_path / "c.db") == KEPT


def _lines(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT count(*) FROM commitment_log").fetchone()[0])


def test_the_log_keeps_the_last_commitments_of_each_hotkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundsright.adapters.chains.commitment_log.KEPT", 3)
    monkeypatch.setattr("soundsright.adapters.chains.commitment_log.MAX_EARLIER_BLOCKS", 1)
    chain = LocalChain(tmp_path / "c.db")
    for hotkey in ("alice", "bob"):
        chain.register(hotkey)
    bobs = chain.publish("bob", "once")
    for number in range(10):
        chain.publish("alice", str(number))
    assert _lines(tmp_path / "c.db") == 4
    alice = next(c for c in chain.commitments() if c.hotkey == "alice")
    assert (alice.digest, alice.block, len(alice.earlier_blocks)) == ("9", chain.head().number, 1)
    # Another hotkey's commitments cannot push out a commitment.
    assert next(c for c in chain.commitments() if c.hotkey == "bob").block == bobs.block
    assert chain.snapshot(chain.head().number - 1).commitments[-1].digest == "8"


def test_a_block_is_shown_as_it_was_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundsright.adapters.chains.commitment_log.KEPT", 4)
    monkeypatch.setattr("soundsright.adapters.chains.commitment_log.MAX_EARLIER_BLOCKS", 2)
    chain = LocalChain(tmp_path / "c.db")
    empty = chain.head().number
    chain.register("alice")
    shown = [chain.snapshot()]
    for number in range(9):
        chain.publish("alice", str(number))
        shown.append(chain.snapshot())
    chain = LocalChain(tmp_path / "c.db")  # It has forgotten what it read.
    for before in shown[-2:]:
        assert chain.snapshot(before.block.number) == before
    for before in shown[:-2]:
        with pytest.raises(ChainUnavailable, match="no longer has alice's commitments as of block"):
            chain.snapshot(before.block.number)
    assert chain.snapshot(empty).commitments == (), "alice was not registered then"


def test_a_log_that_an_earlier_version_cut_shows_no_block_before_its_cut(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    chain.register("bob")
    chain.publish("bob", "x")
    chain.advance(400)
    with closing(sqlite3.connect(tmp_path / "c.db")) as db, db:
        db.execute("DROP TABLE commitment_cuts")
        db.executemany(
            "INSERT INTO commitment_log VALUES ('alice', ?, ?, ?)", [(str(n), n, n) for n in range(100, 356)]
        )
    chain = LocalChain(tmp_path / "c.db")
    assert [(c.hotkey, c.digest) for c in chain.snapshot(200).commitments] == [("bob", "x"), ("alice", "200")]
    for block in (50, 199):
        with pytest.raises(ChainUnavailable, match="alice"):
            chain.snapshot(block)


def test_a_chain_from_before_the_log_does_not_show_earlier_blocks_as_empty(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    for text in ("one", "two"):
        chain.publish("alice", text)
    with closing(sqlite3.connect(tmp_path / "c.db")) as db, db:
        db.execute("DROP TABLE commitment_log")
        db.execute("DROP TABLE commitment_cuts")
    chain = LocalChain(tmp_path / "c.db")
    assert [c.digest for c in chain.commitments()] == ["two"]
    with pytest.raises(ChainUnavailable, match="alice"):
        chain.snapshot(chain.head().number - 1)


def test_a_hotkey_that_commits_too_often_has_to_wait_and_others_do_not(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    for hotkey in ("alice", "bob"):
        chain.register(hotkey)
    results = [chain.publish("alice", str(number)) for number in range(MAX_PER_PERIOD + 1)]
    assert [r.ok for r in results] == [True] * MAX_PER_PERIOD + [False]
    assert (results[-1].code, results[-1].retryable) == ("too_often", True)
    assert chain.publish("bob", "x").ok
    chain.advance(PERIOD_BLOCKS)
    assert chain.publish("alice", "again").ok


def test_a_full_chain_gives_the_seats_of_hotkeys_that_never_committed_to_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundsright.adapters.chains.local.MAX_NEURONS", 6)
    chain = LocalChain(tmp_path / "c.db")
    chain.register("invited")
    chain.register("validator", permit=True, stake=1.0)
    for hotkey in ("idle", "committed", "invited-later", "late"):
        chain.register(hotkey, by_itself=True)
    chain.publish("committed", "x")
    chain.publish_endpoint("idle", "10.0.0.1:5")
    chain.set_weights("validator", {"idle": 0.5, "committed": 0.5})
    chain.register("invited-later")
    with pytest.raises(UsageError, match="full"):
        chain.register("new", by_itself=True)  # Each may still commit.
    chain.advance(GRACE_BLOCKS)
    before = chain.head().number
    assert chain.register("new", by_itself=True) == 2
    assert [n.hotkey for n in chain.neurons()] == [
        "invited", "validator", "new", "committed", "invited-later", "late"
    ]  # fmt: skip
    assert chain.neurons()[2].endpoint is None
    assert chain.weights("validator") == {3: 0.5}, "the new hotkey does not inherit weight"
    assert "new" not in [n.hotkey for n in chain.snapshot(before).neurons]
    assert chain.register("newer", by_itself=True) == 5
    with pytest.raises(UsageError, match="full"):
        chain.register("newest", by_itself=True)
    assert not chain.publish("idle", "too late").ok


def test_keys_that_register_themselves_cannot_keep_others_out_with_one_commitment_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundsright.adapters.chains.local.MAX_NEURONS", 16)
    chain = LocalChain(tmp_path / "c.db")
    chain.register("validator", permit=True, stake=1.0)
    flood = [f"flood-{number}" for number in range(13)]
    for hotkey in flood:
        chain.register(hotkey, by_itself=True)
        chain.publish(hotkey, "x")
    with pytest.raises(UsageError, match="full"):
        chain.register("miner", by_itself=True)
    assert chain.register("invited") == 14, "two seats are the organiser's"
    chain.set_weights("validator", {"flood-0": 1.0})
    chain.advance(STALE_BLOCKS)
    chain.publish("flood-1", "again")
    assert chain.register("miner", by_itself=True) == 3, "of flood-2: flood-0 is paid, flood-1 committed today"
    hotkeys = {n.hotkey for n in chain.neurons()}
    assert "flood-2" not in hotkeys
    assert {"validator", "invited", "flood-0", "flood-1", "miner"} <= hotkeys
    assert "flood-2" not in {c.hotkey for c in chain.commitments()}
    chain.register("flood-2", by_itself=True)
    assert "flood-2" not in {c.hotkey for c in chain.commitments()}, "a key that comes back commits again"
    assert chain.publish("flood-2", "y").ok


@pytest.mark.parametrize("commits", [False, True])
def test_whoever_fills_the_chain_loses_its_own_seats_first(
    commits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundsright.adapters.chains.local.MAX_NEURONS", 8)
    chain = LocalChain(tmp_path / "c.db")

    def enter(hotkey: str, client: str) -> None:
        chain.register(hotkey, by_itself=True, client=client)
        if commits:
            chain.publish(hotkey, "x")

    for hotkey in ("honest", "neighbour"):  # The first ones: without a look at the client they would leave first.
        enter(hotkey, f"client of {hotkey}")
    for number in range(5):
        enter(f"flood-{number}", "flood")
    monkeypatch.setattr("soundsright.adapters.chains.registrations.GRACE_BLOCKS", 2)
    monkeypatch.setattr("soundsright.adapters.chains.registrations.STALE_BLOCKS", 2)
    for number in range(5, 15):
        chain.advance(2)
        enter(f"flood-{number}", "flood")
    chain.advance(2)
    hotkeys = {n.hotkey for n in chain.neurons()}
    assert {"honest", "neighbour"} <= hotkeys
    enter("newcomer", "another client")
    assert {"honest", "neighbour", "newcomer"} <= {n.hotkey for n in chain.neurons()}


def test_a_client_with_many_seats_takes_none_of_a_client_with_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundsright.adapters.chains.local.MAX_NEURONS", 4)
    chain = LocalChain(tmp_path / "c.db")
    chain.register("honest", by_itself=True, client="its client")
    chain.publish("honest", "x")
    chain.advance(STALE_BLOCKS)
    for number in range(3):
        chain.register(f"flood-{number}", by_itself=True, client="flood")
        chain.publish(f"flood-{number}", "x")
    with pytest.raises(UsageError, match="full"):
        chain.register("flood-3", by_itself=True, client="flood")
    assert chain.register("invited") == 0, "the organiser may give any seat that has no recent commitment"


def test_a_commitment_of_the_last_day_keeps_the_seat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundsright.adapters.chains.local.MAX_NEURONS", 2)
    chain = LocalChain(tmp_path / "c.db")
    for hotkey in ("alice", "bob"):
        chain.register(hotkey, by_itself=True)
        chain.publish(hotkey, "x")
    chain.advance(STALE_BLOCKS - 4)
    for by_itself in (True, False):
        with pytest.raises(UsageError, match="full"):
            chain.register("new", by_itself=by_itself)
    chain.advance()
    assert chain.register("new") == 0


@pytest.mark.parametrize(
    "endpoint", ["1.2.3.4:99999", "1.2.3.4:0", "1.2.3.4", "[abc:80", "[::1", "2001:db8::1:8091", "a b:1", "1.2.3:1"]
)
def test_a_malformed_endpoint_is_refused(tmp_path: Path, endpoint: str) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    result = chain.publish_endpoint("alice", endpoint)
    assert (result.ok, result.code) == (False, "bad_endpoint")
    assert f"{endpoint!r} is not an endpoint: give HOST:PORT" in result.message
    for right in ("1.2.3.4:8091", "[2001:db8::1]:8091", "miner.example:1"):
        assert chain.publish_endpoint("alice", right).ok
        assert chain.neurons()[0].endpoint == right
