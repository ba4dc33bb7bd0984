"""The place of a bucket, and the keys that open it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from soundsright.core.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True)
class BucketPlace:
    """A bucket of a service, or a folder.

    Attributes:
        bucket: the bucket's name.
        endpoint: the service's address, http:// or https://. With `file:///FOLDER` the bucket is the folder of its
            name in that folder. Empty: Amazon's service in `region`.
        region: the service's region. Most services other than Amazon's take `auto`.
        access_key, secret_key: the keys; both empty for a bucket that anybody can read.
        own: whether the bucket is the operator's own, whose faults stop the operator's service and nobody else's.

    Raises:
        UsageError: one of them is malformed.
    """

    bucket: str
    endpoint: str = ""
    region: str = "auto"
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    own: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.bucket) or ".." in self.bucket:
            raise UsageError(
                f"{self.bucket[:80]!r} is not the name of a bucket",
                "Use 3 to 63 of a-z 0-9 - and ., and begin and end with a letter or digit.",
            )
        if not _REGION.fullmatch(self.region):
            raise UsageError(f"{self.region[:80]!r} is not a region", "Give a name such as us-east-1, or auto.")
        if bool(self.access_key) != bool(self.secret_key):
            raise UsageError(
                f"The bucket {self.bucket} has one key of two",
                "Give the access key and the secret key, or neither.",
            )
        if any(
            not (character.isascii() and character.isprintable()) for character in self.access_key + self.secret_key
        ):
            raise UsageError(f"A key of the bucket {self.bucket} has a character that no key has", "Copy it again.")
        if not self.endpoint and self.region == "auto":
            raise UsageError(f"The bucket {self.bucket} has neither endpoint nor region", "Give one of them.")
        _check_endpoint(self.endpoint)

    @property
    def address(self) -> SplitResult:
        """The endpoint, split into its parts. Amazon's has the region in its name."""
        return urlsplit(self.endpoint.rstrip("/") or f"https://s3.{self.region}.amazonaws.com")

    @property
    def name(self) -> str:
        """The bucket and its host, for messages. It contains no key."""
        return f"{self.bucket} at {self.address.netloc or self.address.path or '/'}"


def _check_endpoint(endpoint: str) -> None:
    """Refuse an endpoint that is no plain address. A message never shows a user or a password in it."""
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
        plain = not (parts.username or parts.password or parts.query or parts.fragment)
        is_folder = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")
        valid = plain and (
            not endpoint or is_folder or (parts.scheme in ("http", "https") and bool(parts.hostname))
        )
    except ValueError:
        valid = False
    if not valid or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        raise UsageError(
            "The endpoint of a bucket is not a plain address",
            "Give https://HOST or http://HOST:PORT, without a user or a query, or file:///FOLDER.",
        )


def own_place(settings: Mapping[str, str]) -> BucketPlace:
    """The operator's own bucket: R2_ENDPOINT, R2_REGION, R2_OWN_BUCKET, R2_OWN_WRITE_ACCESS_KEY and ..._SECRET_KEY.

    Raises:
        UsageError: a setting is missing or malformed.
    """
    return _place(settings, "R2_OWN_BUCKET", "R2_OWN_WRITE", own=True)


def source_place(settings: Mapping[str, str]) -> BucketPlace:
    """The bucket with the source material, from R2_SOURCE_BUCKET and R2_VIDEOS_READ_ACCESS_KEY, ..._SECRET_KEY.

    Raises:
        UsageError: a setting is missing or malformed.
    """
    return _place(settings, "R2_SOURCE_BUCKET", "R2_VIDEOS_READ", own=True)


def _place(settings: Mapping[str, str], bucket: str, keys: str, *, own: bool) -> BucketPlace:
    if not settings.get(bucket):
        raise UsageError(f"{bucket} is empty", "Give the name of a bucket.")
    return BucketPlace(
        bucket=settings[bucket],
        endpoint=settings.get("R2_ENDPOINT", ""),
        region=settings.get("R2_REGION") or "auto",
        access_key=settings.get(f"{keys}_ACCESS_KEY", ""),
        secret_key=settings.get(f"{keys}_SECRET_KEY", ""),
        own=own,
    )
