"""An S3 bucket behind a network that cuts, delays and lies: no fault passes for an answer."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.buckets import BucketPlace, S3Bucket, s3_list
from soundsright.core.errors import (
    BucketExists,
    BucketForbidden,
    BucketMissing,
    BucketRefusal,
    BucketTooLarge,
    BucketUnavailable,
    FaultClass,
    fault_class,
)
from tests.adapters.buckets.services import ACCESS, BUCKET, SECRET, Canned, Proxy, moto, place, proxy

PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
XHTML = b"<html><body>Please log in</body></html>"
MARKS = {"ETag": '"x"', "Last-Modified": "Mon, 30 Nov 2026 02:00:00 GMT"}
ERROR = b"<Error><Code>InternalError</Code></Error>"

READS: dict[str, Callable[[S3Bucket], object]] = {
    "get": lambda bucket: bucket.get("here", 100),
    "get of none": lambda bucket: bucket.get("none", 100),
    "head": lambda bucket: bucket.head("here"),
    "list": lambda bucket: bucket.list("", 100),
    "empty list": lambda bucket: bucket.list("nothing/", 100),
}
WRITES: dict[str, Callable[[S3Bucket], object]] = {
    "put": lambda bucket: bucket.put("new", b"x"),
    "create": lambda bucket: bucket.put("new", b"x", create=True),
}
LIES: dict[str, Canned | str] = {
    "a web page": Canned(200, PAGE, {"Content-Type": "text/html"}),
    "a web page that is XML": Canned(200, XHTML, {"Content-Type": "text/html"}),
    "a web page with the marks of an object": Canned(200, PAGE, MARKS | {"Content-Type": "text/html; charset=x"}),
    "nothing": Canned(200, b""),
    "nested XML": Canned(200, b"<a>" * 100_000),
    "garbage": Canned(200, b"\xff\x00garbage"),
    "an error with status 200": Canned(200, ERROR),
    "an error with status 200 and marks": Canned(200, PAGE, MARKS | {"Content-Type": "application/xhtml+xml"}),
    "half a body": Canned(200, b"half", MARKS, length=100),
    "no answer": "cut",
    "a late answer": Canned(200, b"late", MARKS, delay_s=1.5),
    "404 of a web server": Canned(404, PAGE),
    "404 without a body": Canned(404),
    "404 of the bucket": Canned(404, b"<Error><Code>NoSuchBucket</Code></Error>"),
    "404 with a code in the wrong place": Canned(404, b"<Error><Message>NoSuchKey</Message></Error>"),
    "400": Canned(400, PAGE),
    "408": Canned(408, PAGE),
    "409": Canned(409, PAGE),
    "425": Canned(425, PAGE),
    "429": Canned(429, b"<Error><Code>TooManyRequests</Code></Error>"),
    "500": Canned(500, ERROR),
    "503": Canned(503, b"<Error><Code>SlowDown</Code></Error>"),
    "redirect in a circle": Canned(301, b"", {"Location": "/"}),
}

WITH_MARKS = ("a web page with the marks of an object", "an error with status 200 and marks", "half a body")
# With the marks of an object these are what a service answers to such a request.
NO_LIES = {("head", "half a body"), *(("put", lie) for lie in WITH_MARKS)}


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with moto() as url:
        S3Bucket(place(url)).put("here", b"content")
        yield url


@pytest.fixture
def front(service: str) -> Iterator[Proxy]:
    with proxy(service) as standing:
        yield standing


def bucket_at(front: Proxy, **changes: Any) -> S3Bucket:
    return S3Bucket(place(front.url, **changes), pause=lambda seconds: None)


@pytest.mark.parametrize(
    ("operation", "lie"),
    [(operation, lie) for operation in READS | WRITES for lie in LIES if (operation, lie) not in NO_LIES],
)
def test_a_lie_is_never_an_answer(front: Proxy, operation: str, lie: str) -> None:
    front.always(LIES[lie])
    with pytest.raises(BucketUnavailable) as caught:
        (READS | WRITES)[operation](S3Bucket(place(front.url), timeout_s=0.4, pause=lambda seconds: None))
    assert fault_class(caught.value) is (FaultClass.BUSY if lie == "429" else FaultClass.TRANSIENT)
    attempts = [path for _, path in front.seen if path != "/"]
    assert len(attempts) <= 6, "three attempts at most, and a second request in place of a HEAD"


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("operation", READS | WRITES)
def test_a_refusal_of_the_keys_is_told_at_once(front: Proxy, operation: str, status: int) -> None:
    front.always(Canned(status, b"<Error><Code>AccessDenied</Code></Error>"))
    with pytest.raises(BucketForbidden) as caught:
        (READS | WRITES)[operation](bucket_at(front))
    assert fault_class(caught.value) is FaultClass.PERMANENT
    # An answer to HEAD has no code, so one GET asks for the reason.
    assert len(front.seen) == (2 if operation == "head" else 1)


@pytest.mark.parametrize("operation", READS | WRITES)
def test_a_wrong_clock_of_this_machine_is_not_charged_to_the_bucket(front: Proxy, operation: str) -> None:
    front.always(Canned(403, b"<Error><Code>RequestTimeTooSkewed</Code></Error>"))
    with pytest.raises(BucketUnavailable, match="Check this machine's clock") as caught:
        (READS | WRITES)[operation](bucket_at(front))
    # A bucket can lie about the time, so the answer of a peer's bucket does not stop the caller either.
    assert fault_class(caught.value) is FaultClass.TRANSIENT
    front.seen.clear()
    with pytest.raises(BucketUnavailable) as caught:
        (READS | WRITES)[operation](bucket_at(front, own=True))
    assert fault_class(caught.value) is FaultClass.LOCAL
    assert len(front.seen) == (2 if operation == "head" else 1), "another attempt does not set a clock"


@pytest.mark.parametrize(("status", "attempts"), [(400, 1), (408, 3), (409, 3), (425, 3), (429, 3), (503, 3)])
def test_a_status_that_passes_is_tried_three_times(front: Proxy, status: int, attempts: int) -> None:
    front.always(Canned(status))
    with pytest.raises(BucketUnavailable):
        bucket_at(front).get("here", 100)
    assert len(front.seen) == attempts


@pytest.mark.parametrize("fault", ["500", "503", "no answer", "nothing", "a web page"])
@pytest.mark.parametrize("operation", READS)
def test_a_fault_that_passes_costs_an_attempt(front: Proxy, operation: str, fault: str) -> None:
    front.once(LIES[fault], LIES[fault])
    bucket = bucket_at(front)
    if operation == "get of none":
        with pytest.raises(BucketMissing):
            READS[operation](bucket)
    else:
        assert READS[operation](bucket) is not None
    assert len(front.seen) >= 3


def test_the_fault_of_ones_own_bucket_is_local(front: Proxy) -> None:
    own = S3Bucket(BucketPlace(BUCKET, front.url, own=True), timeout_s=0.5, pause=lambda seconds: None)
    for answer in (Canned(429), Canned(500), Canned(403), Canned(404)):
        front.always(answer)
        with pytest.raises((BucketUnavailable, BucketForbidden)) as caught:
            own.list("", 5)
        assert fault_class(caught.value) is FaultClass.LOCAL


def test_a_creation_whose_answer_is_lost_still_succeeds(front: Proxy) -> None:
    bucket = bucket_at(front)
    bucket.put("warm", b"", create=True)
    front.once("lost")
    etag = bucket.put("lost/own", b"mine", create=True)
    assert bucket.head("lost/own").etag == etag


def test_a_creation_whose_answer_is_lost_meets_anothers_object(front: Proxy, service: str) -> None:
    bucket = bucket_at(front)
    bucket.put("warm2", b"", create=True)
    S3Bucket(place(service)).put("lost/other", b"anothers, and longer")
    front.once("cut")
    with pytest.raises(BucketExists):
        bucket.put("lost/other", b"mine", create=True)
    assert bucket.get("lost/other", 100) == b"anothers, and longer"


def test_a_list_of_many_pages_is_whole(front: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_list, "PAGE_KEYS", 10)
    bucket = S3Bucket(place(front.url))
    for number in range(25):
        bucket.put(f"many/{number:05d}", b"")
    front.seen.clear()
    keys = [item.key for item in bucket.list("many/", 5_000)]
    assert keys == [f"many/{number:05d}" for number in range(25)]
    assert len(front.seen) == 3
    assert len(bucket.list("many/", 25)) == 25
    for fewer in (24, 20, 10, 1):
        with pytest.raises(BucketTooLarge):
            bucket.list("many/", fewer)
    pages: list[str] = []

    def fails_on_the_second_page(method: str, path: str) -> Canned | None:
        pages.append(path)
        return Canned(500) if "continuation-token" in path else None

    front.fault = fails_on_the_second_page
    with pytest.raises(BucketUnavailable):
        bucket_at(front).list("many/", 5_000)
    assert len(pages) == 4


NAMES = "<Name>verdicts</Name><Prefix>p/</Prefix>"


def listing(*keys: str, truncated: str = "false", extra: str = "", size: str = "1", names: str = NAMES) -> Canned:
    contents = "".join(f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>e</ETag></Contents>" for key in keys)
    truncation = f"<IsTruncated>{truncated}</IsTruncated>" if truncated else ""
    return Canned(200, f"<ListBucketResult>{names}{truncation}{extra}{contents}</ListBucketResult>".encode())


TOKEN = "<NextContinuationToken>t</NextContinuationToken>"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (listing("p/a", truncated="true"), "has no token for the rest"),
        (listing("p/a", truncated=""), "does not say whether it is complete"),
        (listing("p/a", truncated="true", extra=TOKEN), "has a key twice"),
        (listing(truncated="true", extra=TOKEN), "has no end"),
        (listing("p/a", "p/a"), "has a key twice"),
        (listing("q/a"), "keys of another prefix"),
        (listing("p/a b"), "which no object of SoundsRight has"),
        (listing("p/"), "which no object of SoundsRight has"),
        (listing("p/../a"), "which no object of SoundsRight has"),
        (listing("p/a", size="-1"), "without size or ETag"),
        (listing("p/a", size="1e3"), "without size or ETag"),
        (listing("p/a", size="9" * 20), "without size or ETag"),
        (listing(names="<Name>another-bucket</Name><Prefix>p/</Prefix>"), "the list of something else"),
        (listing(names="<Name>verdicts</Name><Prefix>q/</Prefix>"), "the list of something else"),
        (listing(names=""), "the list of something else"),
        (listing(extra="<KeyCount>7</KeyCount>"), "another number of keys"),
        (listing(extra=f"<IsTruncated>true</IsTruncated>{TOKEN}"), "once at most, or never"),
        (listing(extra="<Error><Code>InternalError</Code></Error>"), "once at most, or never"),
        (listing(extra="<CommonPrefixes><Prefix>p/x/</Prefix></CommonPrefixes>"), "once at most, or never"),
        (Canned(200, b"<ListBucketResult>"), "it is not XML"),
        (Canned(200, b"<ListAllMyBucketsResult/>"), "it is not a list"),
        (Canned(200, b'<!DOCTYPE a [<!ENTITY b "c">]><ListBucketResult/>'), "not the XML of a list"),
        (Canned(200, b"<a>" * 200_000), "it is not"),
    ],
)
def test_a_list_that_is_cut_or_of_something_else_is_refused(front: Proxy, answer: Canned, reason: str) -> None:
    front.always(answer)
    with pytest.raises(BucketUnavailable, match=reason):
        bucket_at(front).list("p/", 100)


def test_more_bytes_than_a_page_can_have_are_not_read(front: Proxy) -> None:
    front.always(Canned(200, b"<ListBucketResult>" + b" " * 5_000_000))
    with pytest.raises(BucketUnavailable):
        bucket_at(front).list("", 10)


def test_a_large_object_is_refused_by_its_length(front: Proxy) -> None:
    front.always(Canned(200, b"x" * 1_000, MARKS, length=10**12))
    with pytest.raises(BucketTooLarge):
        bucket_at(front).get("k", 10_000)
    assert len(front.seen) == 1


def test_no_service_at_all_is_unavailable(front: Proxy) -> None:
    bucket = S3Bucket(place("http://127.0.0.1:9"), timeout_s=0.5, pause=lambda seconds: None)
    for operation in (READS | WRITES).values():
        with pytest.raises(BucketUnavailable):
            operation(bucket)


def test_keys_are_in_no_message_log_or_representation(
    front: Proxy, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    bucket = bucket_at(front)
    shown = [repr(place(front.url)), repr(bucket), str(vars(bucket))]
    for answer in (Canned(403, f"<Error><Message>{SECRET}</Message></Error>".encode()), Canned(500), "cut"):
        front.always(answer)
        for operation in (READS | WRITES).values():
            try:
                operation(bucket)
            except (BucketRefusal, BucketUnavailable, BucketForbidden) as error:
                shown += [str(error), repr(error), str(error.__dict__), "".join(traceback.format_exception(error))]
    text = "\n".join([*shown, caplog.text, *capfd.readouterr()])
    assert SECRET not in text
    assert "Authorization" not in text
    assert "Signature=" not in text
    assert f"{ACCESS}/" not in text


def test_the_environments_keys_and_addresses_are_not_used(
    front: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "anothers-token")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ANOTHERSKEY1")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
    bucket = bucket_at(front)
    assert bucket.get("here", 100) == b"content"
    assert "here" in [item.key for item in bucket.list("here", 10)]
    address = bucket.presigned("here", 60) or ""
    assert ACCESS in address
    assert "oken" not in address


def test_a_bucket_without_keys_is_read_without_a_signature(front: Proxy) -> None:
    bucket = bucket_at(front, access_key="", secret_key="")
    assert bucket.presigned("here", 60) is None
    front.always(Canned(200, b"abc", MARKS))
    assert bucket.get("here", 3) == b"abc"
