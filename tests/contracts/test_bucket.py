"""The contract of the port `Bucket`: the same tests for a folder and for two services with S3's API."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from soundsright.adapters.buckets import FolderBucket, S3Bucket, check_bucket, may_write, new_bucket_folder
from soundsright.adapters.buckets.opening import CHECK_KEY, CHECK_TEXT
from soundsright.core.errors import (
    BucketExists,
    BucketForbidden,
    BucketMissing,
    BucketTooLarge,
    BucketUnavailable,
    BucketUnsuitable,
    UsageError,
)
from soundsright.core.ports import Bucket, StoredObject
from tests.adapters.buckets.services import Canned, moto, place, proxy, rclone

_numbers = count()

OPERATIONS: tuple[Callable[[Bucket], object], ...] = (
    lambda bucket: bucket.get("a", 1),
    lambda bucket: bucket.get("none", 1),
    lambda bucket: bucket.head("a"),
    lambda bucket: bucket.list("", 10),
    lambda bucket: bucket.put("a", b"y"),
    lambda bucket: bucket.delete("a"),
)


@dataclass(frozen=True)
class Service:
    """A bucket, the same bucket with another name, and what the service does not do."""

    bucket: Bucket
    elsewhere: Bucket
    creates: bool = True
    url: str = ""


@pytest.fixture(scope="module", params=["folder", "rclone", "moto"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("bucket")
    if request.param == "folder":
        yield Service(FolderBucket(new_bucket_folder(folder / "b")), FolderBucket(folder / "none"))
    elif request.param == "rclone":
        with rclone(folder) as url:
            yield _served(url, creates=False)
    else:
        with moto() as url:
            yield _served(url, creates=True)


def _served(url: str, *, creates: bool) -> Service:
    return Service(S3Bucket(place(url)), S3Bucket(place(url, bucket="no-such-bucket")), creates, url)


@pytest.fixture
def under() -> str:
    """A folder of keys that no other test uses."""
    return f"t{next(_numbers)}/"


@pytest.mark.parametrize("data", [b"", b"{}", bytes(range(256)) * 9_000], ids=["empty", "small", "2 MB"])
def test_what_was_put_is_read_back(service: Service, under: str, data: bytes) -> None:
    etag = service.bucket.put(f"{under}a/b.json", data)
    assert service.bucket.get(f"{under}a/b.json", len(data)) == data
    assert service.bucket.head(f"{under}a/b.json") == StoredObject(f"{under}a/b.json", len(data), etag)


def test_a_second_put_replaces_the_object_and_its_mark(service: Service, under: str) -> None:
    first = service.bucket.put(f"{under}k", b"one")
    second = service.bucket.put(f"{under}k", b"two")
    assert first != second
    assert service.bucket.get(f"{under}k", 10) == b"two"


def test_a_put_that_creates_never_overwrites(service: Service, under: str) -> None:
    if service.creates:
        etag = service.bucket.put(f"{under}k", b"one", create=True)
        with pytest.raises(BucketExists):
            service.bucket.put(f"{under}k", b"two", create=True)
        assert service.bucket.head(f"{under}k").etag == etag
    else:
        service.bucket.put(f"{under}k", b"one")
        with pytest.raises(BucketUnsuitable, match="overwrites an object that a put must create"):
            service.bucket.put(f"{under}k", b"two", create=True)
    assert service.bucket.get(f"{under}k", 10) == b"one"


def test_of_creators_at_the_same_time_one_succeeds(service: Service, under: str) -> None:
    if not service.creates:
        pytest.skip("this service cannot create safely, and says so")

    def created(number: int) -> bool:
        try:
            service.bucket.put(f"{under}k", str(number).encode(), create=True)
        except BucketExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number, won in enumerate(pool.map(created, range(8))) if won]
    assert len(winners) == 1
    assert service.bucket.get(f"{under}k", 10) == str(winners[0]).encode()


def test_a_missing_object_is_missing(service: Service, under: str) -> None:
    service.bucket.put(f"{under}a/b", b"x")
    for key in (f"{under}none", f"{under}a", f"{under}a/b2", "nowhere/at/all"):
        with pytest.raises(BucketMissing):
            service.bucket.get(key, 10)
        with pytest.raises(BucketMissing):
            service.bucket.head(key)


def test_a_bucket_that_does_not_exist_is_unavailable_and_not_empty(service: Service) -> None:
    with pytest.raises(BucketUnavailable):
        service.elsewhere.list("", 10)
    with pytest.raises(BucketUnavailable):
        service.elsewhere.get("a", 10)
    with pytest.raises(BucketUnavailable):
        service.elsewhere.head("a")
    with pytest.raises(BucketUnavailable):
        service.elsewhere.put("a", b"x")
    with pytest.raises(BucketUnavailable):
        service.elsewhere.delete("a")


def test_a_larger_object_than_the_caller_reads_is_refused(service: Service, under: str) -> None:
    service.bucket.put(f"{under}k", b"12345")
    assert service.bucket.get(f"{under}k", 5) == b"12345"
    with pytest.raises(BucketTooLarge, match="5 bytes, more than 4"):
        service.bucket.get(f"{under}k", 4)


def test_a_list_has_all_keys_of_the_prefix_in_order(service: Service, under: str) -> None:
    names = ["a", "a-b/c", "a.b", "b/10", "b/2", "b/2x/y", "bb", "B"]
    marks = {name: service.bucket.put(f"{under}{name}", name.encode()) for name in names}
    listed = service.bucket.list(under, 100)
    expected = [StoredObject(f"{under}{n}", len(n), marks[n]) for n in sorted(names)]
    assert list(listed) == expected
    for prefix in ("b", "b/", "b/2", "a", "none", "b/2x/y"):
        keys = [item.key.removeprefix(under) for item in service.bucket.list(under + prefix, 100)]
        assert keys == sorted(name for name in names if name.startswith(prefix))


def test_an_object_that_was_removed_is_missing_and_its_neighbours_stay(service: Service, under: str) -> None:
    for name in ("a", "ab", "a.b/c"):
        service.bucket.put(f"{under}{name}", b"x")
    for _ in range(2):
        service.bucket.delete(f"{under}a")
    for absent in ("none", "none/at/all"):
        service.bucket.delete(f"{under}{absent}")
    assert [item.key for item in service.bucket.list(under, 5)] == [f"{under}a.b/c", f"{under}ab"]
    with pytest.raises(BucketMissing):
        service.bucket.get(f"{under}a", 1)
    service.bucket.put(f"{under}a", b"again")
    assert service.bucket.get(f"{under}a", 5) == b"again"


def test_a_longer_list_than_the_caller_reads_is_refused_and_not_cut(service: Service, under: str) -> None:
    for name in "abc":
        service.bucket.put(f"{under}{name}", b"x")
    assert len(service.bucket.list(under, 3)) == 3
    for fewer in (2, 0):
        with pytest.raises(BucketTooLarge, match=f"more than {fewer}"):
            service.bucket.list(under, fewer)
    assert service.bucket.list(f"{under}none", 0) == ()


@pytest.mark.parametrize(
    "key",
    [
        *("", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a b", "a\n", "ä", "a\\b", "a\0", "a?b", "a" * 241),
        "/".join(["a" * 99] * 6),
    ],
)
def test_a_malformed_key_reaches_no_bucket(service: Service, key: str) -> None:
    with pytest.raises(UsageError, match="is not the key of an object"):
        service.bucket.put(key, b"x")
    with pytest.raises(UsageError):
        service.bucket.get(key, 1)
    with pytest.raises(UsageError):
        service.bucket.head(key)
    with pytest.raises(UsageError):
        service.bucket.presigned(key, 60)
    with pytest.raises(UsageError):
        service.bucket.delete(key)


@pytest.mark.parametrize("prefix", ["/", "../", "a//", "a b", "a/../"])
def test_a_malformed_prefix_is_refused(service: Service, prefix: str) -> None:
    with pytest.raises(UsageError, match="No key begins with"):
        service.bucket.list(prefix, 10)


def test_the_longest_key_can_be_stored(service: Service, under: str) -> None:
    key = under + "/".join(["k" * 240, "k" * 240, "k" * 240])[: 512 - len(under)]
    service.bucket.put(key, b"x")
    assert [item.key for item in service.bucket.list(under, 5)] == [key]
    assert service.bucket.get(key, 1) == b"x"


def test_a_presigned_address_shows_the_object_to_anybody(service: Service, under: str) -> None:
    service.bucket.put(f"{under}k", b"audio")
    address = service.bucket.presigned(f"{under}k", 60)
    if not service.url:
        assert address is None
        return
    assert address is not None
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert answer.read() == b"audio"
    for seconds in (0, -1, 604_801):
        with pytest.raises(UsageError, match="is not how long an address can last"):
            service.bucket.presigned(f"{under}k", seconds)


def test_the_check_of_a_bucket_tells_whether_it_can_create(service: Service) -> None:
    check_bucket(service.bucket, writes=False)
    if service.creates:
        check_bucket(service.bucket, writes=True)
        check_bucket(service.bucket, writes=True)
    else:
        with pytest.raises(BucketUnsuitable):
            check_bucket(service.bucket, writes=True)
    with pytest.raises(BucketUnavailable):
        check_bucket(service.elsewhere, writes=False)


def test_wrong_keys_are_forbidden_for_every_operation(tmp_path: Path) -> None:
    with rclone(tmp_path) as url:
        S3Bucket(place(url)).put("a", b"x")
        for wrong in ({"secret_key": "wrong"}, {"access_key": "NOBODYSKEY01"}):
            for operation in OPERATIONS:
                with pytest.raises(BucketForbidden):
                    operation(S3Bucket(place(url, **wrong)))
        assert S3Bucket(place(url)).get("a", 1) == b"x"


def test_a_peers_key_that_may_only_read_cannot_write(tmp_path: Path) -> None:
    with rclone(tmp_path) as url:
        S3Bucket(place(url)).put("a", b"x")
    with rclone(tmp_path, "--read-only") as url:
        peer = S3Bucket(place(url), pause=lambda s: None)
        assert peer.get("a", 1) == b"x"
        assert [item.key for item in peer.list("", 10)] == ["a"]
        with pytest.raises((BucketForbidden, BucketUnavailable)):
            peer.put("b", b"y")
        with pytest.raises((BucketForbidden, BucketUnavailable)):
            peer.delete("a")
        assert [item.key for item in peer.list("", 10)] == ["a"]


def test_keys_that_may_write_are_noticed_and_leave_nothing(tmp_path: Path) -> None:
    file = tmp_path / place("http://127.0.0.1").bucket / CHECK_KEY
    with rclone(tmp_path) as url:
        assert may_write(S3Bucket(place(url))) is None
        assert S3Bucket(place(url)).list("", 10) == ()
    file.parent.mkdir()
    file.write_bytes(CHECK_TEXT)
    with rclone(tmp_path) as url:
        assert may_write(S3Bucket(place(url))) is True
        assert [each.key for each in S3Bucket(place(url)).list("", 10)] == [CHECK_KEY]
    assert file.read_bytes() == CHECK_TEXT
    with rclone(tmp_path, "--read-only") as url:
        assert may_write(S3Bucket(place(url))) is None  # This service says that it failed, not that it refuses.
        with proxy(url) as front:
            refusal = Canned(403, b"<Error><Code>AccessDenied</Code></Error>")
            front.fault = lambda method, path: refusal if method == "PUT" else None
            assert may_write(S3Bucket(place(front.url))) is False
    file.write_bytes(b"something of theirs")
    with rclone(tmp_path) as url:
        assert may_write(S3Bucket(place(url))) is None
