"""The place of a bucket: what an operator writes is checked before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.adapters.buckets import (
    BucketPlace,
    FolderBucket,
    S3Bucket,
    new_bucket_folder,
    open_bucket,
    own_place,
    source_place,
)
from soundsright.core.errors import UsageError

SETTINGS = {
    "R2_ENDPOINT": "https://account.example.com",
    "R2_OWN_BUCKET": "my-verdicts",
    "R2_OWN_WRITE_ACCESS_KEY": "AKEY",
    "R2_OWN_WRITE_SECRET_KEY": "hidden-value",
    "R2_SOURCE_BUCKET": "source",
    "R2_VIDEOS_READ_ACCESS_KEY": "BKEY",
    "R2_VIDEOS_READ_SECRET_KEY": "hidden-value-2",
}


def test_settings_name_the_own_bucket_and_the_source() -> None:
    own, source = own_place(SETTINGS), source_place(SETTINGS)
    assert own == BucketPlace(
        "my-verdicts", "https://account.example.com", "auto", "AKEY", "hidden-value", own=True
    )
    assert (source.bucket, source.access_key, source.secret_key) == ("source", "BKEY", "hidden-value-2")
    assert "hidden" not in repr(own)
    assert own.name == "my-verdicts at account.example.com"


def test_a_missing_bucket_is_named() -> None:
    with pytest.raises(UsageError, match="R2_OWN_BUCKET is empty"):
        own_place({"R2_ENDPOINT": "https://a.example"})


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket": "a"},
        {"bucket": "Capital"},
        {"bucket": "../etc"},
        {"bucket": "a..b"},
        {"bucket": "a/b"},
        {"bucket": "b" * 64},
        {"region": "EU WEST"},
        {"region": ""},
        {"access_key": "only-one"},
        {"secret_key": "only-one"},
        {"access_key": "a\n", "secret_key": "b"},
        {"access_key": "ä", "secret_key": "b"},
        {"endpoint": ""},
        {"endpoint": "a.example"},
        {"endpoint": "ftp://a.example"},
        {"endpoint": "https://user:hidden-value@a.example"},
        {"endpoint": "https://a.example?x=1"},
        {"endpoint": "https://a.example/#x"},
        {"endpoint": "https://a.example:port"},
        {"endpoint": "https://a.example\n"},
        {"endpoint": "https://a b.example"},
        {"endpoint": "https://"},
        {"endpoint": "file://host/folder"},
        {"endpoint": "file:folder"},
    ],
    ids=str,
)
def test_a_malformed_place_is_refused_without_showing_a_secret(changes: dict[str, str]) -> None:
    values = {"bucket": "good", "endpoint": "https://a.example"} | changes
    with pytest.raises(UsageError) as caught:
        BucketPlace(**values)  # type: ignore[arg-type]
    assert "hidden-value" not in str(caught.value)


def test_an_endpoint_of_files_is_a_folder_of_buckets(tmp_path: Path) -> None:
    new_bucket_folder(tmp_path / "all my" / "verdicts")
    bucket = open_bucket(BucketPlace("verdicts", f"file://{tmp_path}/all%20my", own=True))
    assert isinstance(bucket, FolderBucket)
    bucket.put("a", b"x")
    assert (tmp_path / "all my" / "verdicts" / "a").read_bytes() == b"x"


def test_an_address_is_a_service() -> None:
    assert isinstance(open_bucket(own_place(SETTINGS)), S3Bucket)
    amazon = BucketPlace("good", region="eu-west-1")
    assert amazon.address.geturl() == "https://s3.eu-west-1.amazonaws.com"
