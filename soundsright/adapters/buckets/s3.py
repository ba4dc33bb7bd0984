"""Buckets of services with S3's API. `obstore` reads and writes objects. Sizes are in bytes, times in seconds.

Every answer that does not carry the marks of S3 is `BucketUnavailable`: a web page with status 200 is no object,
and a 404 without the code NoSuchKey is no missing object. Messages name the bucket, the object, a status and a
code, and never a key of access or the text of an answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from soundsright.adapters.buckets.places import BucketPlace
from soundsright.adapters.buckets.s3_errors import Failure, NotS3, Unknown, failure_of, failure_of_status
from soundsright.adapters.buckets.s3_list import Listing, OddAnswer, OddStatus, listed_page
from soundsright.core.errors import (
    BucketExists,
    BucketForbidden,
    BucketMissing,
    BucketRefusal,
    BucketTooLarge,
    BucketUnavailable,
    BucketUnsuitable,
    FaultClass,
    PeerUnavailable,
    UsageError,
    fault_class_of_status,
)
from soundsright.core.ports import ETag, StoredObject, checked_key, checked_prefix

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import S3Store

PROBE_KEY = ".soundsright/create-only"
MAX_PRESIGNED_S = 604_800
MAX_LIST_TIMEOUTS = 10
"""The time for a whole list, in time-outs of one request."""
_PAUSES_S = (0.2, 0.8)
_PIECE_BYTES = 1 << 20

T = TypeVar("T")


class S3Bucket:
    """The `Bucket` port over a service with S3's API.

    `timeout_s` bounds each request, from connecting to the last byte. A request that fails in a way that can pass
    is tried three times. The first put that must create an object tests whether the service refuses to overwrite
    one.

    Raises:
        UsageError: `obstore` is not installed.
    """

    def __init__(
        self, place: BucketPlace, *, timeout_s: float = 30.0, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._place = place
        self._timeout_s = timeout_s
        self._pause = pause
        self._store = _store(place, timeout_s)
        self._probe_lock = threading.Lock()
        self._creates: bool | None = None

    def put(self, key: str, data: bytes, create: bool = False) -> ETag:
        """See `Bucket.put`."""
        checked_key(key)
        if not create:
            return self._tried(f"writing {key}", partial(self._put, key, data, create=False))
        self._check_that_it_creates()
        return self._created(key, data)

    def get(self, key: str, max_bytes: int) -> bytes:
        """See `Bucket.get`."""
        checked_key(key)
        return self._tried(f"reading {key}", partial(self._read, key, max_bytes), certain=BucketMissing)

    def head(self, key: str) -> StoredObject:
        """See `Bucket.head`."""
        checked_key(key)
        return self._tried(f"asking for {key}", partial(self._head, key), certain=BucketMissing)

    def list(self, prefix: str, max_keys: int) -> tuple[StoredObject, ...]:
        """See `Bucket.list`."""
        checked_prefix(prefix)
        action = f"listing {prefix or 'all objects'}"
        listing = Listing(self._place.name, prefix, max_keys)
        token: str | None = None
        ends_s = time.monotonic() + MAX_LIST_TIMEOUTS * self._timeout_s
        while True:
            ask = partial(listed_page, self._place, prefix, listing.page_keys, token, timeout_s=self._timeout_s)
            page = self._tried(action, ask)
            self._once(action, partial(listing.add, page))
            token = page.token
            if token is None:
                return listing.in_order()
            if time.monotonic() > ends_s:
                raise self._unavailable(action, Failure(Unknown("the list is not complete in time")))

    def delete(self, key: str) -> None:
        """See `Bucket.delete`."""
        checked_key(key)
        try:
            self._tried(f"removing {key}", partial(self._delete, key), certain=BucketMissing)
        except BucketMissing:
            return

    def presigned(self, key: str, seconds: int) -> str | None:
        """See `Bucket.presigned`. The address shows the access key, but not the secret key."""
        import obstore

        checked_key(key)
        if not 1 <= seconds <= MAX_PRESIGNED_S:
            raise UsageError(
                f"{seconds} s is not how long an address can last", f"Give 1 to {MAX_PRESIGNED_S} seconds."
            )
        if not self._place.access_key:
            return None
        return str(obstore.sign(self._store, "GET", key, timedelta(seconds=seconds)))

    def _put(self, key: str, data: bytes, *, create: bool) -> ETag:
        import obstore

        result = obstore.put(
            self._store,
            key,
            data,
            attributes={"Content-Type": "application/octet-stream"},
            mode="create" if create else "overwrite",
            use_multipart=False,
        )
        return _etag(result["e_tag"])

    def _delete(self, key: str) -> None:
        import obstore

        obstore.delete(self._store, key)

    def _read(self, key: str, max_bytes: int) -> bytes:
        import obstore

        result = obstore.get(self._store, key)
        facts = _facts(key, result)
        if facts.size_bytes > max_bytes:
            raise BucketTooLarge(f"{key} of {self._place.name} has {facts.size_bytes} bytes, more than {max_bytes}")
        data = bytearray()
        for piece in result.stream(min_chunk_size=_PIECE_BYTES):
            data += piece
            if len(data) > facts.size_bytes:
                break
        if len(data) != facts.size_bytes:
            raise NotS3("the answer has another length than it says")
        return bytes(data)

    def _head(self, key: str) -> StoredObject:
        import obstore

        try:
            return _facts(key, obstore.get(self._store, key, options={"head": True}))
        except Exception as error:
            failure = failure_of(error)
            if not isinstance(error, FileNotFoundError) and not failure.is_forbidden:
                raise
            # The answer to HEAD has no body, so no code that tells a missing object from a missing bucket, or wrong
            # keys from a wrong clock.
            return _facts(key, obstore.get(self._store, key))

    def _created(self, key: str, data: bytes) -> ETag:
        """Create an object. The object that an attempt meets can be that of an attempt before without an answer."""
        doubtful = False
        for pause_s in (*_PAUSES_S, None):
            try:
                return self._once(f"creating {key}", partial(self._put, key, data, create=True), BucketExists)
            except BucketExists:
                if doubtful and self._holds(key, data):
                    return self.head(key).etag
                raise
            except BucketUnavailable as error:
                if pause_s is None or not _can_pass(error):
                    raise
                doubtful = True
                self._pause(pause_s)
        raise AssertionError("unreachable")

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self.get(key, len(data)) == data
        except BucketTooLarge:
            return False

    def _check_that_it_creates(self) -> None:
        """Test once whether the service refuses to create an object that exists. Some overwrite it without a word.

        Raises:
            BucketUnsuitable: the service overwrites the object.
        """
        with self._probe_lock:
            if self._creates is None:
                self._tried(f"writing {PROBE_KEY}", partial(self._put, PROBE_KEY, b"1", create=False))
                create = partial(self._put, PROBE_KEY, b"2", create=True)
                try:
                    self._tried(f"creating {PROBE_KEY}", create, certain=BucketExists)
                    if not self._holds(PROBE_KEY, b"2"):
                        raise self._unavailable("creating", Failure(Unknown("it answered and did nothing")))
                    self._creates = False
                except BucketExists:
                    self._creates = True
        if not self._creates:
            raise BucketUnsuitable(
                f"The service of {self._place.name} overwrites an object that a put must create",
                "Use a service that honours If-None-Match on PUT.",
            )

    def _tried(self, action: str, operation: Callable[[], T], certain: type[BucketRefusal] | None = None) -> T:
        """The operation's result, in up to three attempts. `certain` is the refusal that it can get."""
        for pause_s in _PAUSES_S:
            try:
                return self._once(action, operation, certain)
            except BucketUnavailable as error:
                if not _can_pass(error):
                    raise
                self._pause(pause_s)
        return self._once(action, operation, certain)

    def _once(self, action: str, operation: Callable[[], T], certain: type[BucketRefusal] | None = None) -> T:
        """The operation's result. Any error becomes one of the port's, without the text of the answer."""
        try:
            return operation()
        except BucketTooLarge:
            raise
        except OddAnswer as error:
            failure = Failure(Unknown(str(error)))
        except OddStatus as error:
            failure = failure_of_status(error.status, error.body.decode("utf-8", "replace"))
        except PeerUnavailable as error:
            late = isinstance(error.__cause__, TimeoutError)
            failure = Failure(Unknown(f"no answer within {self._timeout_s:g} s" if late else "no whole answer"))
        except Exception as error:  # noqa: BLE001 - obstore raises several kinds; none may pass for an answer
            failure = failure_of(error)
        where = f"{self._place.name}: {action}"
        if certain is BucketMissing and failure.is_missing:
            raise BucketMissing(f"{where}: there is no such object") from None
        if certain is BucketExists and failure.is_existing:
            raise BucketExists(f"{where}: there is such an object already") from None
        if failure.is_forbidden:
            raise BucketForbidden(
                f"{where} is refused ({failure.reason})",
                "Check the keys and what they may do.",
                own=self._place.own,
            ) from None
        raise self._unavailable(action, failure) from None

    def _unavailable(self, action: str, failure: Failure) -> BucketUnavailable:
        # A peer's bucket can lie about the time. So its answer is not a local fault, which would stop the caller.
        remedy = (
            "Check this machine's clock."
            if failure.is_of_clock
            else "Check the bucket's name and address, or try again later."
        )
        return BucketUnavailable(
            f"{self._place.name}: {action} failed ({failure.reason})",
            remedy,
            own=self._place.own,
            status=failure.status,
        )


def _can_pass(error: BucketUnavailable) -> bool:
    """Whether another attempt may succeed."""
    return error.status is None or fault_class_of_status(error.status) is not FaultClass.PERMANENT


def _store(place: BucketPlace, timeout_s: float) -> S3Store:
    """The library's client. It takes no address and no key from AWS_ variables, and retries nothing by itself."""
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise UsageError("An S3 bucket needs a package", "Run `pip install 'soundsright[buckets]'`.") from error
    credential = {
        "access_key_id": place.access_key,
        "secret_access_key": place.secret_key,
        "token": None,
        "expires_at": None,
    }
    return S3Store(
        place.bucket,
        aws_endpoint_url_s3=place.address.geturl(),
        region=place.region,
        virtual_hosted_style_request=False,
        skip_signature=not place.access_key,
        credential_provider=(lambda: credential) if place.access_key else None,
        client_options={
            "allow_http": place.address.scheme == "http",
            "connect_timeout": timedelta(seconds=min(5.0, timeout_s)),
            "timeout": timedelta(seconds=timeout_s),
        },
        retry_config={"max_retries": 0},
    )


def _facts(key: str, result: GetResult) -> StoredObject:
    """The facts about the object in the headers of an answer.

    Raises:
        NotS3: they are not the headers of an object.
    """
    kind = str(result.attributes.get("Content-Type", "")).partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise NotS3("the answer is a web page")
    return StoredObject(key, int(result.meta["size"]), _etag(result.meta["e_tag"]))


def _etag(text: str | None) -> ETag:
    if not text:
        raise NotS3("the answer has no ETag")
    return ETag(text.removeprefix("W/").strip('"'))
