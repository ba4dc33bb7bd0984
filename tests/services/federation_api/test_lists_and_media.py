"""Admins change the owner's lists, and a task's page has links to its audio."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from fastapi.testclient import TestClient

from soundsright.core.errors import BucketTooLarge, BucketUnavailable, ChainUnavailable, StateUnavailable
from soundsright.core.ports import ETag, StoredObject
from soundsright.services.federation_api.heads import Heads
from soundsright.services.federation_api.media import Media
from tests.services.federation_api.api_bench import (
    ADMIN,
    MINERS,
    STRANGER,
    TASK,
    VALIDATORS,
    Bench,
    HeadChain,
    post,
    report,
    sample,
    send,
    signed,
)


@dataclass
class ListedBucket:
    """A bucket with these keys. It counts how often it was listed. With `fault`, it raises that."""

    keys: tuple[str, ...] = ()
    fault: Exception | None = None
    lists: int = 0
    has_addresses: bool = True
    asked: list[tuple[str, int]] = field(default_factory=list)

    def list(self, prefix: str, _max_keys: int) -> tuple[StoredObject, ...]:
        self.lists += 1
        if self.fault is not None:
            raise self.fault
        return tuple(StoredObject(key, 1, ETag("e")) for key in sorted(self.keys) if key.startswith(prefix))

    def presigned(self, key: str, seconds: int) -> str | None:
        self.asked.append((key, seconds))
        return f"https://bucket.example/{key}?signature" if self.has_addresses else None

    def put(self, key: str, data: bytes, create: bool = False) -> ETag:
        raise AssertionError("the API writes into no bucket")

    def get(self, key: str, max_bytes: int) -> bytes:
        raise AssertionError("the API reads no object")

    def head(self, key: str) -> StoredObject:
        raise AssertionError("the API reads no object")

    def delete(self, key: str) -> None:
        raise AssertionError("the API writes into no bucket")


def delete(client: TestClient, path: str) -> tuple[int, object]:
    reply = client.delete(path, headers=signed("DELETE", path, key=ADMIN))
    return reply.status_code, reply.json()


class TestBlacklist:
    def test_admins_add_list_and_remove(self) -> None:
        bench = Bench()
        client = bench.client()
        added = post(client, "/blacklist", {"hotkey": MINERS[0], "reason": "registered thrice"}, key=ADMIN)
        assert added.json() == {"hotkey": MINERS[0], "changed": True}
        assert post(client, "/blacklist", {"hotkey": MINERS[1]}, key=ADMIN).json()["changed"]
        again = post(client, "/blacklist", {"hotkey": MINERS[1]}, key=ADMIN)
        assert again.json() == {"hotkey": MINERS[1], "changed": False}
        listed = client.get("/blacklist", headers=signed("GET", "/blacklist", key=ADMIN)).json()
        assert {row["hotkey"]: row["reason"] for row in listed} == {MINERS[0]: "registered thrice", MINERS[1]: ""}
        assert delete(client, f"/blacklist?hotkey={MINERS[0]}") == (200, {"hotkey": MINERS[0], "changed": True})
        status, refusal = delete(client, f"/blacklist?hotkey={MINERS[0]}")
        assert (status, refusal) == (404, {"code": "not_listed", "sentence": "The hotkey is not in the list"})
        assert list(bench.store.blacklist.members()) == [MINERS[1]]

    @pytest.mark.parametrize(
        "values",
        [
            {"hotkey": "alice"},
            {"hotkey": 7},
            {"hotkey": MINERS[0], "reason": 7},
            {"hotkey": MINERS[0], "reason": "x" * 201},
            {"hotkey": MINERS[0], "reason": "two\nlines"},
            {"hotkey": MINERS[0], "reason": "\x1b[2J"},
            {"hotkey": MINERS[0], "uid": 1},
            {"reason": "x"},
            [],
        ],
    )
    def test_another_form_is_a_422(self, values: object) -> None:
        bench = Bench()
        reply = post(bench.client(), "/blacklist", values, key=ADMIN)
        assert (reply.status_code, reply.json()["code"]) == (422, "malformed")
        assert not bench.store.blacklist.members()

    def test_a_long_body_is_a_413(self) -> None:
        reply = post(Bench().client(), "/blacklist", b" " * 2_001, key=ADMIN)
        assert (reply.status_code, reply.json()["code"]) == (413, "too_large")

    def test_the_ranks_do_not_change(self) -> None:
        bench = Bench()
        client = bench.client()
        send(client, sample(0, TASK - 3), sample(1, TASK - 3))
        before = client.get("/scores/rank").json()
        bench.store.blacklist.add(MINERS[0], "")
        assert client.get("/scores/rank").json() == before


class TestValidators:
    def test_admins_add_and_remove(self) -> None:
        client = Bench().client()
        assert send(client, sample(), key=STRANGER).status_code == 403
        added = post(client, "/validators", {"hotkey": STRANGER.address, "uid": 9}, key=ADMIN)
        assert added.json() == {"hotkey": STRANGER.address, "changed": True}
        assert send(client, sample(), key=STRANGER).status_code == 200
        status, _ = delete(client, f"/validators?hotkey={STRANGER.address}")
        assert status == 200
        assert send(client, sample(1), key=STRANGER).status_code == 403
        assert delete(client, f"/validators?hotkey={STRANGER.address}")[0] == 404

    @pytest.mark.parametrize("uid", [-1, 65_536, "7", None, True, 1.0])
    def test_a_uid_out_of_its_bounds_is_a_422(self, uid: object) -> None:
        reply = post(Bench().client(), "/validators", {"hotkey": STRANGER.address, "uid": uid}, key=ADMIN)
        assert (reply.status_code, reply.json()["code"]) == (422, "malformed")

    def test_a_uid_of_another_is_a_409(self) -> None:
        reply = post(Bench().client(), "/validators", {"hotkey": STRANGER.address, "uid": 0}, key=ADMIN)
        assert (reply.status_code, reply.json()["code"]) == (409, "uid_taken")

    def test_a_delete_without_a_hotkey_is_a_422(self) -> None:
        assert delete(Bench().client(), "/validators")[0] == 422


KEYS = (
    f"{TASK}/metadata.json",
    f"{TASK}/original/000.flac",
    f"{TASK}/generated/{MINERS[0]}/000.flac",
    f"{TASK}/generated/{MINERS[0]}/notes.txt",
    f"{TASK}1/original/000.flac",
)


class TestTasks:
    def test_a_task_has_its_order_samples_and_links(self) -> None:
        bucket = ListedBucket(KEYS)
        bench = Bench(buckets={VALIDATORS[2].address: bucket, VALIDATORS[0].address: ListedBucket(KEYS)})
        client = bench.client()
        send(client, sample(0), sample(1))
        send(client, sample(0), key=VALIDATORS[3])
        page = client.get(f"/tasks/{TASK}").json()
        assert page["order"] == [VALIDATORS[index].address for index in (2, 3, 0, 1)]
        assert page["sampled_by"] == [VALIDATORS[2].address, VALIDATORS[3].address]
        assert page["canonical"] == VALIDATORS[2].address
        assert [row["number"] for row in page["samples"]] == [1, 2, 3]
        # The validator 0 sampled nothing, so its bucket is not asked.
        assert page["media"] == [
            {
                "validator_hotkey": VALIDATORS[2].address,
                "key": key,
                "url": f"https://bucket.example/{key}?signature",
            }
            for key in (KEYS[1], KEYS[2])
        ]
        assert page["unread"] == []
        assert {seconds for _, seconds in bucket.asked} == {600}

    def test_a_bucket_that_is_away_is_unknown_and_not_empty(self) -> None:
        for fault in (BucketUnavailable("It did not answer", "Wait."), BucketTooLarge("more than 5000 keys")):
            bench = Bench(buckets={VALIDATORS[2].address: ListedBucket(fault=fault)})
            client = bench.client()
            send(client, sample(0))
            page = client.get(f"/tasks/{TASK}").json()
            assert (page["media"], page["unread"]) == ([], [VALIDATORS[2].address])

    def test_a_bucket_without_addresses_has_no_links(self) -> None:
        bench = Bench(buckets={VALIDATORS[2].address: ListedBucket(KEYS, has_addresses=False)})
        client = bench.client()
        send(client, sample(0))
        assert client.get(f"/tasks/{TASK}").json()["media"] == []

    @pytest.mark.parametrize("task", [TASK, 0, 2**53 - 1])
    def test_a_task_that_nobody_sampled_is_a_404(self, task: int) -> None:
        bucket = ListedBucket(KEYS)
        reply = Bench(buckets={VALIDATORS[2].address: bucket}).client().get(f"/tasks/{task}")
        assert (reply.status_code, reply.json()["code"]) == (404, "no_task")
        assert bucket.lists == 0

    @pytest.mark.parametrize("task", ["x", "-1", "1.5", str(2**60), "1e3"])
    def test_what_is_no_task_is_a_422(self, task: str) -> None:
        reply = Bench().client().get(f"/tasks/{task}")
        assert (reply.status_code, reply.json()["code"]) == (422, "malformed")

    def test_a_list_is_used_for_five_minutes(self) -> None:
        now_s = [0.0]
        bucket = ListedBucket(KEYS)
        media = Media({"v": bucket}, monotonic_s=lambda: now_s[0])
        for at_s, lists in ((0.0, 2), (300.0, 2), (301.0, 4)):
            now_s[0] = at_s
            assert len(media.of_task(TASK, ("v",)).links) == 2
            assert bucket.lists == lists
        for task in range(100):
            media.of_task(task, ("v",))
        assert len(media._lists) == 64


class TestHeads:
    def test_the_chain_is_read_every_twelve_seconds(self) -> None:
        now_s, chain = [0.0], HeadChain(number=100)
        heads = Heads(chain, monotonic_s=lambda: now_s[0])  # type: ignore[arg-type]
        assert heads.block() == 100
        chain.number = 105
        assert heads.block() == 100
        now_s[0] = 12.5
        assert heads.block() == 105
        chain.number = 90  # A node that is behind.
        now_s[0] = 30.0
        assert heads.block() == 105

    def test_the_last_block_counts_for_ten_minutes(self) -> None:
        now_s, chain = [0.0], HeadChain(number=100)
        heads = Heads(chain, monotonic_s=lambda: now_s[0])  # type: ignore[arg-type]
        assert heads.block() == 100
        chain.is_away = True
        now_s[0] = 599.0
        assert heads.known() == 100
        now_s[0] = 620.0
        assert heads.known() is None
        with pytest.raises(ChainUnavailable):
            heads.block()


def test_a_database_that_does_not_answer_is_a_503() -> None:
    bench = Bench()
    client = bench.client()

    def fails(*_values: object, **_options: object) -> None:
        raise StateUnavailable("postgresql://user:secret@db failed", "Start it.")

    bench.records.read = fails  # type: ignore[method-assign, assignment]
    for path in ("/health", "/overview", "/validators", "/miners/list"):
        reply = client.get(path)
        assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
        assert "secret" not in reply.text
    assert post(client, "/miners/report", report(0)).status_code == 503
