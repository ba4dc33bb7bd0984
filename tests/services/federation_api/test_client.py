"""A validator sends verdicts and reports. An API that is away changes nothing."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi.testclient import TestClient

from soundsright.core.errors import PeerUnavailable, RequestRefused
from soundsright.core.federation import JudgedRow, Verdict
from soundsright.core.ports import Reply
from soundsright.core.sources import ModelRef
from soundsright.services.federation_api.client import MAX_WAITING, FederationReporter
from soundsright.services.federation_api.samples import MinerReport, Report
from tests.services.federation_api.api_bench import COMPETITION, MINERS, TASK, VALIDATORS, Bench, post

DIGEST = "d" * 64


def verdict(rows: int = 3, task: int = TASK) -> Verdict:
    judged = [
        JudgedRow(
            competition=COMPETITION,
            hotkey=MINERS[number] if number < len(MINERS) else f"5{number:047d}",
            uid=number,
            model=ModelRef("lab", f"gate-{number}", "a" * 40),
            block=5_000 + number,
            passed=number % 2 == 0,
            failures=number % 2,
            means={"ESTOI": 0.8125, "PESQ_WB": 2.5},
            answers="a" * 64,
        )
        for number in range(rows)
    ]
    return Verdict(
        task=task,
        validator=VALIDATORS[2].address,
        block=task * 100 + 5,
        block_hash="0x" + "1" * 64,
        allowlist="b" * 64,
        rules="c" * 64,
        sets={COMPETITION: "e" * 64},
        unprocessed={COMPETITION: {"ESTOI": 0.5}},
        rows=tuple(sorted(judged, key=lambda row: row.hotkey)),
    )


@dataclass
class Service:
    """An API behind a test client. With `fault`, each request raises it."""

    client: TestClient | None = None
    fault: Exception | None = None
    sent: list[tuple[str, Any]] = field(default_factory=list)
    changed: threading.Event = field(default_factory=threading.Event)

    def post(self, path: str, values: object) -> Reply:
        self.sent.append((path, values))
        self.changed.set()
        if self.fault is not None:
            raise self.fault
        if self.client is None:
            return Reply(200, b"{}", "", "", {})
        reply = post(self.client, path, values)
        assert reply.status_code == 200, reply.text
        return Reply(reply.status_code, reply.content, "", "", {})


def test_a_verdict_and_a_report_reach_the_api() -> None:
    bench = Bench()
    reporter = FederationReporter(Service(bench.client()))
    reporter.send_verdict(verdict(), DIGEST)
    miners = (MinerReport(MINERS[0], 3, True), MinerReport(MINERS[1], None, False, "bad_revision"))
    reporter.send_report(Report(miners, {}))
    assert reporter.send_waiting()
    rows = bench.client().get("/samples/list").json()
    assert sorted(row["miner_hotkey"] for row in rows) == sorted(MINERS[:3])
    assert {row["verdict"] for row in rows} == {DIGEST}
    assert {row["model"] for row in rows} == {f"lab/gate-{number}@{'a' * 40}" for number in range(3)}
    assert [row["valid"] for row in bench.client().get("/miners/list").json()] == [True, False]


def test_a_long_verdict_is_sent_in_parts_of_100() -> None:
    service = Service()
    reporter = FederationReporter(service)
    reporter.send_verdict(verdict(256), DIGEST)
    assert reporter.send_waiting()
    assert [len(values["samples"]) for _, values in service.sent] == [100, 100, 56]
    assert all(len({sample["task"] for sample in values["samples"]}) == 1 for _, values in service.sent)


def test_what_was_not_taken_waits_and_is_sent_again() -> None:
    service = Service(fault=PeerUnavailable("nothing answers"))
    reporter = FederationReporter(service)
    reporter.send_verdict(verdict(150), DIGEST)
    assert not reporter.send_waiting()
    assert not reporter.send_waiting()
    service.fault, service.sent = None, []
    assert reporter.send_waiting()
    assert [len(values["samples"]) for _, values in service.sent] == [100, 50]
    assert reporter.send_waiting()
    assert len(service.sent) == 2


def test_a_busy_api_is_asked_again_and_a_refusal_is_final(caplog: pytest.LogCaptureFixture) -> None:
    service = Service(fault=RequestRefused("busy", "Too many requests", status=429))
    reporter = FederationReporter(service)
    reporter.send_verdict(verdict(), DIGEST)
    assert not reporter.send_waiting()
    service.fault = RequestRefused("no_permit", "Only validators may send")
    assert reporter.send_waiting()
    assert "no_permit" in caplog.text
    service.fault, service.sent = None, []
    assert reporter.send_waiting()
    assert service.sent == []


def test_only_the_latest_report_waits() -> None:
    service = Service(fault=PeerUnavailable("nothing answers"))
    reporter = FederationReporter(service)
    for number in range(3):
        reporter.send_report(Report((MinerReport(MINERS[number], number, True),), {COMPETITION: MINERS[number]}))
        assert not reporter.send_waiting()
    service.fault, service.sent = None, []
    assert reporter.send_waiting()
    assert [values["winners"] for _, values in service.sent] == [{COMPETITION: MINERS[2]}]


def test_the_oldest_verdicts_make_room() -> None:
    service = Service(fault=PeerUnavailable("nothing answers"))
    reporter = FederationReporter(service)
    for task in range(MAX_WAITING + 10):
        reporter.send_verdict(verdict(101, task), DIGEST)
    service.fault = None
    assert reporter.send_waiting()
    assert sorted({values["samples"][0]["task"] for _, values in service.sent}) == list(range(10, MAX_WAITING + 10))
    assert len(service.sent) == 2 * MAX_WAITING


def test_an_api_that_is_away_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    service = Service(fault=PeerUnavailable("nothing answers"))
    reporter = FederationReporter(service)
    reporter.send_verdict(verdict(), DIGEST)
    for _ in range(3):
        reporter.send_waiting()
    assert caplog.text.count("does not take") == 1


def test_nobody_waits_for_the_api() -> None:
    held = threading.Event()

    class Slow(Service):
        def post(self, path: str, values: object) -> Reply:
            self.changed.set()
            held.wait(30)
            return Reply(200, b"{}", "", "", {})

    service = Slow()
    reporter = FederationReporter(service).start()
    reporter.send_verdict(verdict(), DIGEST)
    assert service.changed.wait(30)
    reporter.send_verdict(verdict(task=TASK + 1), DIGEST)
    reporter.send_report(Report((), {}))
    held.set()
    reporter.close()
    assert not reporter._thread.is_alive()


def test_a_thread_sends_what_comes_later() -> None:
    bench = Bench()
    service = Service(bench.client())
    reporter = FederationReporter(service).start()
    for task in (TASK - 1, TASK):
        service.changed.clear()
        reporter.send_verdict(verdict(task=task), DIGEST)
        assert service.changed.wait(30)
    reporter.close()
    assert {path for path, _ in service.sent} == {"/samples/batch"}


def test_a_report_is_made_again_after_the_interval() -> None:
    service = Service()
    made: list[int] = []

    def opinion() -> Report:
        made.append(1)
        if len(made) == 2:
            raise PeerUnavailable("the chain does not answer")
        if len(made) == 3:
            raise ZeroDivisionError
        return Report((), {COMPETITION: MINERS[0]})

    reporter = FederationReporter(service, opinion=opinion, every_s=0.01).start()
    for _ in range(1_000):
        if len(service.sent) >= 2:
            break
        threading.Event().wait(0.02)
    reporter.close()
    assert len(made) >= 4
    assert [path for path, _ in service.sent][:2] == ["/miners/report"] * 2
