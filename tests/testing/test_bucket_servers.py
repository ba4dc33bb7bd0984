"""The bucket service of demos: it checks keys, and a read-only one refuses to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.adapters.buckets import BucketPlace, open_bucket
from soundsright.core.errors import BucketForbidden, BucketUnavailable
from soundsright.testing.bucket_servers import bucket_server


def test_two_services_share_one_folder_and_one_of_them_only_reads(tmp_path: Path) -> None:
    (tmp_path / "verdicts").mkdir()

    def place(endpoint: str, key: str) -> BucketPlace:
        return BucketPlace("verdicts", endpoint, "us-east-1", key, "notASecret0001")

    with (
        bucket_server(tmp_path, access_key="WRITER01", secret_key="notASecret0001") as writing,
        bucket_server(tmp_path, access_key="READER01", secret_key="notASecret0001", read_only=True) as reading,
    ):
        open_bucket(place(writing, "WRITER01")).put("7/verdict.json", b"{}")
        assert open_bucket(place(reading, "READER01")).get("7/verdict.json", 100) == b"{}"
        with pytest.raises(BucketForbidden):
            open_bucket(place(writing, "STRANGER")).get("7/verdict.json", 100)
        # rclone answers a refused write with its code for any fault.
        with pytest.raises((BucketForbidden, BucketUnavailable)):
            open_bucket(place(reading, "READER01")).put("8/verdict.json", b"{}")
