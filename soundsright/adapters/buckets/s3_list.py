"""The list of an S3 bucket's objects. Sizes are in bytes, times in seconds.

This module asks and reads the answer itself. `obstore` takes any well-formed XML for a list, so a web page or an
error with status 200 would be an empty bucket, and a cut list without a token would be complete. Here such an
answer is `BucketUnavailable`.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from soundsright.adapters.buckets.places import BucketPlace
from soundsright.adapters.peers import request
from soundsright.core.errors import BucketTooLarge
from soundsright.core.ports import ETag, StoredObject, is_key

MAX_PAGE_BYTES = 4_000_000
PAGE_KEYS = 1_000
MAX_EMPTY_PAGES = 10
MAX_DEPTH = 4
"""The deepest element of a list is the owner's name of an object."""
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class OddAnswer(Exception):
    """The answer is not a list of this bucket. The text says why and contains nothing of the answer."""


class OddStatus(Exception):
    """The answer has another status than 200."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Page:
    """One answer: some objects, and the token with which to ask for the next ones; None if these were the last."""

    objects: tuple[StoredObject, ...]
    token: str | None


def listed_page(place: BucketPlace, prefix: str, keys: int, token: str | None, *, timeout_s: float) -> Page:
    """Ask for one page of the list.

    Raises:
        OddAnswer, OddStatus: the answer is not a page of this list.
        PeerUnavailable: no answer came in time, or it was larger than `MAX_PAGE_BYTES`.
    """
    query = {"list-type": "2", "max-keys": str(keys), "prefix": prefix}
    if token is not None:
        query["continuation-token"] = token
    address = place.address
    path = f"{address.path}/{quote(place.bucket)}"
    text = urlencode(sorted(query.items()), quote_via=quote, safe="-_.~")
    headers = {"Host": address.netloc} | _signature(place, path, text)
    reply = request(
        f"{address.scheme}://{address.netloc}",
        "GET",
        f"{path}?{text}",
        headers=headers,
        timeout_s=timeout_s,
        max_bytes=MAX_PAGE_BYTES,
    )
    if reply.status != 200:
        raise OddStatus(reply.status, reply.body)
    return read_page(reply.body, bucket=place.bucket, prefix=prefix)


class Listing:
    """A list that grows by pages, and refuses what cannot be a page of it."""

    def __init__(self, name: str, prefix: str, max_keys: int) -> None:
        self._name = name
        self._prefix = prefix
        self._max_keys = max_keys
        self._found: dict[str, StoredObject] = {}
        self._tokens: set[str] = set()
        self._empty_pages = 0

    @property
    def page_keys(self) -> int:
        """How many keys to ask for: one more than may come, so that a longer list shows."""
        return max(1, min(PAGE_KEYS, self._max_keys - len(self._found) + 1))

    def add(self, page: Page) -> None:
        """Add the next page.

        Raises:
            BucketTooLarge: there are more than `max_keys`.
            OddAnswer: the pages go round in a circle, or have no objects.
        """
        for item in page.objects:
            if item.key in self._found:
                raise OddAnswer("it has a key twice")
            if len(self._found) == self._max_keys:
                raise BucketTooLarge(
                    f"The bucket {self._name} has more than {self._max_keys} objects of the prefix {self._prefix!r}"
                )
            self._found[item.key] = item
        self._empty_pages += not page.objects
        if page.token is not None and (page.token in self._tokens or self._empty_pages > MAX_EMPTY_PAGES):
            raise OddAnswer("it has no end")
        if page.token is not None:
            self._tokens.add(page.token)

    def in_order(self) -> tuple[StoredObject, ...]:
        """All objects in the order of their keys."""
        return tuple(self._found[key] for key in sorted(self._found))


class _ShallowTree(ElementTree.TreeBuilder):
    """Builds the tree of a list, and refuses at once what no list has: a document type, and deep nesting."""

    _depth = 0

    def doctype(self, *_: object) -> None:
        raise OddAnswer("it is not the XML of a list")

    def start(self, tag: str, attrs: dict[str, str], /) -> ElementTree.Element:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise OddAnswer("it is not the XML of a list")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ElementTree.Element:
        self._depth -= 1
        return super().end(tag)


def read_page(body: bytes, *, bucket: str, prefix: str) -> Page:
    """Read the answer to a request for a list.

    Raises:
        OddAnswer: it is not a page of the list of that prefix.
    """
    try:
        root = ElementTree.fromstring(body, ElementTree.XMLParser(target=_ShallowTree()))
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        raise OddAnswer("it is not XML") from None
    if _tag(root) != "ListBucketResult":
        raise OddAnswer("it is not a list")
    names = [_tag(child) for child in root if _tag(child) != "Contents"]
    fields = {_tag(child): child.text or "" for child in root}
    if len(names) != len(set(names)) or {"Error", "CommonPrefixes"} & set(names):
        raise OddAnswer("it has an element that a list has once at most, or never")
    if fields.get("Name") != bucket or fields.get("Prefix") != prefix:
        raise OddAnswer("it is the list of something else")
    truncated, token = fields.get("IsTruncated"), fields.get("NextContinuationToken") or None
    if truncated not in ("true", "false"):
        raise OddAnswer("it does not say whether it is complete")
    if truncated == "true" and token is None:
        raise OddAnswer("it is cut and has no token for the rest: the service lacks version 2 of lists")
    objects = tuple(_object(child, prefix) for child in root if _tag(child) == "Contents")
    if fields.get("KeyCount", str(len(objects))) != str(len(objects)):
        raise OddAnswer("it has another number of keys than it says")
    return Page(objects, token if truncated == "true" else None)


def _object(contents: ElementTree.Element, prefix: str) -> StoredObject:
    fields = {_tag(child): child.text or "" for child in contents}
    key, size, etag = fields.get("Key", ""), fields.get("Size", ""), fields.get("ETag", "").strip('"')
    if not key.startswith(prefix):
        raise OddAnswer("it has keys of another prefix")
    if not is_key(key):
        raise OddAnswer(f"it has the key {key[:100]!r}, which no object of SoundsRight has")
    if not (size.isascii() and size.isdigit() and len(size) < 20 and etag):
        raise OddAnswer("it has an object without size or ETag")
    return StoredObject(key, int(size), ETag(etag))


def _tag(element: ElementTree.Element) -> str:
    """The element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def _signature(place: BucketPlace, path: str, query: str) -> dict[str, str]:
    """The headers that sign a GET without a body, by version 4 of Amazon's signatures; none without keys."""
    if not place.access_key:
        return {}
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {"host": place.address.netloc, "x-amz-content-sha256": _EMPTY_SHA256, "x-amz-date": at}
    names = ";".join(headers)
    lines = [f"{name}:{value}" for name, value in headers.items()]
    canonical = "\n".join(["GET", path, query, *lines, "", names, _EMPTY_SHA256])
    scope = f"{at[:8]}/{place.region}/s3/aws4_request"
    message = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{place.secret_key}".encode()
    for part in (*scope.split("/"), message):
        key = hmac.digest(key, part.encode(), "sha256")
    return {
        "x-amz-content-sha256": _EMPTY_SHA256,
        "x-amz-date": at,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={place.access_key}/{scope}, SignedHeaders={names}, "
        f"Signature={key.hex()}",
    }
