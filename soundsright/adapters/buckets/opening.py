"""Open a bucket, and check that it can be used."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from soundsright.adapters.buckets.folder import FolderBucket
from soundsright.adapters.buckets.places import BucketPlace
from soundsright.adapters.buckets.s3 import S3Bucket
from soundsright.core.errors import BucketExists, BucketMissing
from soundsright.core.ports import Bucket

CHECK_KEY = ".soundsright/check"


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
            bucket.put(CHECK_KEY, b"SoundsRight has checked this bucket.\n", create=True)
        except BucketExists:
            bucket.put(CHECK_KEY, b"SoundsRight has checked this bucket.\n")
