"""A sampler that publishes over S3's API, and a stranger that audits it there."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.adapters.buckets import S3Bucket
from soundsright.core.errors import BucketMissing
from soundsright.services.federation import AuditPorts, audited, claim_key, open_verdict, verdict_key
from soundsright.services.replay import SCORES
from tests.adapters.buckets.services import Canned, moto, place, proxy, rclone
from tests.services.federation.samplers import Federation, bucket_content, fake_pool, valid_signature


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    federation = Federation(tmp_path / "federation")
    federation.reach(61)
    return federation


def test_a_task_in_a_bucket_of_a_service_comes_out_the_same(federation: Federation, tmp_path: Path) -> None:
    with moto() as url:
        validator = federation.validator("v0", bucket=S3Bucket(place(url, own=True), pause=lambda seconds: None))
        validator.tick()
        assert validator.published == [3]
        stranger = S3Bucket(place(url))
        raw = stranger.get(verdict_key(3, "v0"), 1 << 20)
        verdict = open_verdict(raw, valid_signature=valid_signature).verdict
        ports = AuditPorts(stranger, fake_pool(), tmp_path / "audit")
        report = audited(verdict, federation.settings(), federation.chain.block_hash(60), ports)
        assert report.difference is None
        assert report.checked == {SCORES: 8}
        objects = {each.key: stranger.get(each.key, 1 << 20) for each in stranger.list("3/", 100)}
    folder = Federation(tmp_path / "folder")
    folder.reach(61)
    folder.validator("v0").tick()
    content = bucket_content(tmp_path / "folder" / "buckets" / "v0")
    assert content.pop(claim_key(3)), "its claim is random"
    assert objects == content


def test_a_service_that_fails_for_a_while_delays_the_verdict_and_changes_nothing(federation: Federation) -> None:
    with moto() as url, proxy(url) as between:
        bucket = S3Bucket(place(between.url, own=True), pause=lambda seconds: None)
        validator = federation.validator("v0", bucket=bucket)
        between.always(Canned(503))
        validator.tick()
        assert validator.published == []
        assert validator.problems
        with pytest.raises(BucketMissing):
            S3Bucket(place(url)).get(verdict_key(3, "v0"), 1 << 20)
        between.always(None)
        validator.tick()
        assert validator.published == [3]
        assert sum(validator.sandbox.enhanced.values()) == 8


def test_a_bucket_that_would_overwrite_a_verdict_gets_none(federation: Federation, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    with rclone(tmp_path / "served") as url:
        validator = federation.validator("v0", bucket=S3Bucket(place(url, own=True), pause=lambda seconds: None))
        validator.tick()
        assert validator.published == []
        assert "overwrite" in validator.problems[-1]
        with pytest.raises(BucketMissing):
            S3Bucket(place(url)).get(verdict_key(3, "v0"), 1 << 20)
