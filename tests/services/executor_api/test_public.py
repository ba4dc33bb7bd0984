"""`GET /results/{round}` and `GET /healthz`: anybody may read them."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from soundsright.core.errors import RequestRefused
from soundsright.services.executor_api import ExecutorAccess, executor_app
from tests.services.executor_api.executors import MINER, MemoryExecutor, app_of, only_victor, signed

ENVELOPE = b'{"schema": "soundsright.executor-results/1"}'


@pytest.fixture
def client() -> TestClient:
    return TestClient(app_of(MemoryExecutor(envelopes={"round-7": ENVELOPE})))


def test_anybody_reads_the_results_of_a_round(client: TestClient) -> None:
    reply = client.get("/results/round-7")
    assert (reply.status_code, reply.content) == (200, ENVELOPE)
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", ["round-8", "%2e%2e", "x" * 65, "-7", "a%00b", "a%0Ab"])
def test_a_round_that_was_not_published_is_a_404_with_its_code(client: TestClient, name: str) -> None:
    reply = client.get(f"/results/{name}")
    assert (reply.status_code, reply.json()["code"]) == (404, "no_round")


def test_who_signs_the_request_gets_a_signed_answer(client: TestClient) -> None:
    for path, status in (("/results/round-7", 200), ("/results/round-8", 404), ("/healthz", 200)):
        reply = client.get(path, headers=signed("GET", path, key=MINER))
        assert reply.status_code == status
        assert reply.headers["x-answer-signature"].startswith("0x")
        assert "x-answer-signature" not in client.get(path).headers
    wrong = client.get("/results/round-7", headers=signed("GET", "/results/round-8", key=MINER))
    assert wrong.json()["code"] == "bad_signature"


def test_health_says_state_machine_and_round(client: TestClient) -> None:
    assert client.get("/healthz").json() == {
        "state": "idle",
        "round": "round-7",
        "entry": None,
        "machine": {"gpu": None},
    }


def test_the_requests_of_strangers_are_counted() -> None:
    def busy(_client: str) -> None:
        raise RequestRefused("busy", "Too many requests; try again in a minute", status=429)

    def admit(*_request: object) -> str:
        raise AssertionError("counted before it is verified")

    client = TestClient(executor_app(MemoryExecutor(), ExecutorAccess(admit, admit, busy, only_victor)))
    for path in ("/results/round-7", "/healthz", "/metrics", "/scores"):
        assert client.get(path).status_code == 429
    assert client.post("/update", content=b"[]").status_code == 429
