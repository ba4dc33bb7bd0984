"""A validator tells the owner's API what it judged and which miners it admits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import EntryRefused, PeerUnavailable
from soundsright.core.ports import Reply
from soundsright.services.federation.object_keys import metadata_key
from soundsright.services.federation.reporting import OwnReports
from soundsright.services.federation.winners import EpochWinners, RecordedWinners
from soundsright.services.federation_api import FederationReporter, MinerReport
from soundsright.testing import Behaviour, MemoryRecords
from tests.services.federation.samplers import COMPETITIONS, RULES, Federation, Validator, valid_signature


class Api:
    """Keeps what is sent. With `fault`, each request fails."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.fault: Exception | None = None

    def post(self, path: str, values: object) -> Reply:
        if self.fault is not None:
            raise self.fault
        self.sent.append((path, values))
        return Reply(200, b"{}", "", "", {})


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(tmp_path, names=("v0",))


def reports_of(validator: Validator, records: MemoryRecords | None = None) -> OwnReports:
    return OwnReports(validator.context, records or MemoryRecords(), valid_signature)


def test_a_published_verdict_is_sent(federation: Federation) -> None:
    federation.reach(5 * RULES.interval_blocks)
    validator = federation.validator("v0")
    validator.tick()
    assert validator.published == [5]
    api = Api()
    reporter = FederationReporter(api)
    reports_of(validator).send_verdict(reporter, 5)
    reports_of(validator).send_verdict(reporter, 6)
    assert reporter.send_waiting()
    (path, values) = api.sent[0]
    assert (path, len(api.sent)) == ("/samples/batch", 1)
    rows = {row["miner_hotkey"]: row for row in values["samples"]}
    assert sorted(rows) == ["alice", "bob"]
    signed = federation.buckets.verdict(5, "v0")
    assert {row["verdict"] for row in rows.values()} == {signed.digest}
    for row in signed.verdict.rows:
        assert rows[row.hotkey]["means"] == row.means
        assert rows[row.hotkey]["passed"] is row.passed


def test_an_api_that_is_away_changes_nothing(federation: Federation) -> None:
    federation.reach(5 * RULES.interval_blocks)
    validator, api = federation.validator("v0"), Api()
    api.fault = PeerUnavailable("nothing answers")
    reporter = FederationReporter(api)
    validator.tick()
    reports_of(validator).send_verdict(reporter, 5)
    assert not reporter.send_waiting()
    assert (validator.published, validator.problems) == ([5], [])


def test_an_opinion_has_each_miner_with_the_code_of_its_refusal(federation: Federation) -> None:
    federation.enter("carol", Behaviour(0.6))
    federation.reveals["carol"] = EntryRefused("bad_revision", "The revision is not a commit")
    federation.reach(5 * RULES.interval_blocks)
    records = MemoryRecords()
    report = reports_of(federation.validator("v0"), records).opinion()
    uids = {neuron.hotkey: neuron.uid for neuron in federation.chain.neurons()}
    assert report.miners == (
        MinerReport("alice", uids["alice"], True),
        MinerReport("bob", uids["bob"], True),
        MinerReport("carol", uids["carol"], False, "bad_revision"),
    )
    assert report.winners == {}
    won = {COMPETITIONS[0].id: "alice", COMPETITIONS[1].id: None}
    RecordedWinners(records).keep(EpochWinners(0, won, 10))
    assert reports_of(federation.validator("v0"), records).opinion().winners == won


def test_an_opinion_knows_the_copies_that_the_last_task_refused_until_they_change(federation: Federation) -> None:
    federation.reach(5 * RULES.interval_blocks)
    validator = federation.validator("v0")
    validator.tick()
    assert validator.published == [5]
    reports, bucket = reports_of(validator), validator.context.bucket
    assert all(miner.valid for miner in reports.opinion().miners)
    metadata = json.loads(bucket.get(metadata_key(5), 10**7))
    uids = {neuron.hotkey: neuron.uid for neuron in federation.chain.neurons()}
    refused = {"hotkey": "bob", "uid": uids["bob"], "competition": COMPETITIONS[0].id, "code": "copy"}
    bucket.put(metadata_key(5), json.dumps(metadata | {"refusals": [refused]}).encode())
    assert reports.opinion().miners == (
        MinerReport("alice", uids["alice"], True),
        MinerReport("bob", uids["bob"], False, "copy"),
    )
    bucket.put(metadata_key(5), b"something else")
    assert all(miner.valid for miner in reports.opinion().miners)
    bucket.put(metadata_key(5), json.dumps(metadata | {"refusals": [refused]}).encode())
    federation.enter("bob", Behaviour(0.7))
    federation.reach(6 * RULES.interval_blocks)
    assert [m for m in reports.opinion().miners if not m.valid] == [], "the new entry was not judged yet"
