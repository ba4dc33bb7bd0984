"""Open a bucket, and check that it can be used."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from soundsright.adapters.buckets.folder import FolderBucket
from soundsright.adapters.buckets.places import BucketPlace
from soundsright.adapters.buckets.s3 import S3Bucket
from soundsright.core.errors import BucketExists, BucketForbidden, BucketMissing, BucketTooLarge, BucketUnavailable
from soundsright.core.ports import Bucket

CHECK_KEY = ".soundsright/check"
CHECK_TEXT = b"SoundsRight has checked this bucket.\n"


def open_bucket(place: BucketPlace) -> Bucket:
    """The bucket at that place. Nothing is read or written yet.

    Raises:
        UsageError: the package for S3 is not installed.
    """
    if place.address.scheme == "file":
        return FolderBucket(Path(unquote(place.address.path)) / place.bucket, own=place.own)
    return S3Bucket(place)


def check_bucket(bucket: Bucket, *, writes: bool) -> None:
    """Read from the bucket, and with `writes` also create an object, so that a fault shows before it is needed.

    Raises:
        BucketForbidden, BucketUnavailable: the bucket cannot be read or written.
        BucketUnsuitable: `writes`, and the bucket overwrites an object that a put must create.
    """
    try:
        bucket.head(CHECK_KEY)
    except BucketMissing:
        if not writes:
            return
    if writes:
        try:
            bucket.put(CHECK_KEY, CHECK_TEXT, create=True)
        except BucketExists:
            bucket.put(CHECK_KEY, CHECK_TEXT)


def may_write(bucket: Bucket) -> bool | None:
    """Whether the keys of somebody else's bucket may write there; None if this cannot be found out.

    The object that its owner created by `check_bucket` is written again with the same bytes, so the bucket stays as
    it was. A bucket without that object is left alone, and so is one that fails.

    Raises:
        BucketForbidden, BucketUnavailable: the bucket cannot be read.
    """
    try:
        if bucket.get(CHECK_KEY, len(CHECK_TEXT)) != CHECK_TEXT:
            return None
    except (BucketMissing, BucketTooLarge):
        return None
    try:
        bucket.put(CHECK_KEY, CHECK_TEXT)
    except BucketForbidden:
        return False
    except BucketUnavailable:
        return None
    return True
