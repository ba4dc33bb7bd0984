"""The bucket service of demos: it checks keys, keeps what a put must create, and may be for reading only."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from soundsright.adapters.buckets import BucketPlace, open_bucket
from soundsright.core.errors import BucketExists, BucketForbidden, BucketMissing, BucketUnavailable
from soundsright.core.ports import Bucket
from soundsright.testing.bucket_servers import bucket_server


def _once_there(bucket: Bucket, key: str) -> bytes:
    """The object, as soon as the service that only reads has looked into the folder again."""
    for _ in range(100):
        with contextlib.suppress(BucketMissing):
            return bucket.get(key, 100)
        time.sleep(0.05)
    return bucket.get(key, 100)


def test_two_services_share_one_folder_and_one_of_them_only_reads(tmp_path: Path) -> None:
    (tmp_path / "verdicts").mkdir()

    def place(endpoint: str, key: str) -> BucketPlace:
        return BucketPlace("verdicts", endpoint, "us-east-1", key, "notASecret0001")

    with (
        bucket_server(tmp_path, access_key="WRITER01", secret_key="notASecret0001") as writing,
        bucket_server(tmp_path, access_key="READER01", secret_key="notASecret0001", read_only=True) as reading,
    ):
        own = open_bucket(place(writing, "WRITER01"))
        own.put("7/verdict.json", b"{}", create=True)
        with pytest.raises(BucketExists):
            own.put("7/verdict.json", b"other", create=True)
        others = open_bucket(place(reading, "READER01"))
        assert others.get("7/verdict.json", 100) == b"{}"
        own.put("7/later.json", b"[]")
        assert _once_there(others, "7/later.json") == b"[]"
        with pytest.raises(BucketForbidden):
            open_bucket(place(writing, "STRANGER")).get("7/verdict.json", 100)
        # rclone answers a refused write with its code for any fault.
        with pytest.raises((BucketForbidden, BucketUnavailable)):
            others.put("8/verdict.json", b"{}")
