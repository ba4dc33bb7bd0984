"""The health-check API: its published structure, and its replies when something is wrong."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from fastapi.testclient import TestClient

from soundsright.core.errors import StateUnavailable, UsageError
from soundsright.services.http.health import health_app
from soundsright.services.http.requests import listening
from soundsright.services.http.state import MAX_EVENTS, Health, configure_logging
from soundsright.testing import VirtualClock

PUBLISHED = "metrics events current_models best_models competitions competition_scores scores next_competition seed"
PUBLISHED_METRICS = {
    "start_time",
    "neuron_running",
    "iterations",
    "datasets_generated",
    "competitions_judged",
    "log_entries.success",
    "axons.total_filtered_axons",
    "axons.total_queried_axons",
    "axons.queries_per_second",
    "responses.total_valid_responses",
    "responses.invalid_responses_per_second",
    "weights.targets",
    "weights.last_set_timestamp",
    "weights.total_count_set",
    "weights.set_per_second",
}


class EmptyView:
    """A service that has no results yet."""

    def __getattr__(self, _name: str) -> Any:
        return lambda: None


class BrokenView:
    def __getattr__(self, _name: str) -> Any:
        def fail() -> None:
            raise StateUnavailable("the database at /secret/place is locked")

        return fail


@pytest.fixture
def health() -> Health:
    return Health(VirtualClock(1.7e9))


def client(health: Health, view: Any = None) -> TestClient:
    return TestClient(health_app(health, view or EmptyView(), service="validator", version="1"))


@pytest.mark.parametrize("name", PUBLISHED.split())
def test_a_published_endpoint_gives_data_and_a_timestamp(health: Health, name: str) -> None:
    answer = client(health).get(f"/healthcheck/{name}")
    assert answer.status_code == 200
    assert set(answer.json()) == {"data", "timestamp"}
    assert answer.json()["timestamp"] == "2023-11-14 22:13:20.000000"


def test_all_published_metrics_are_present(health: Health) -> None:
    health.add("iterations", 3)
    data = client(health).get("/healthcheck/metrics").json()["data"]
    assert set(data) >= PUBLISHED_METRICS
    assert data["iterations"] == 3


def test_events_are_kept_by_kind_and_bounded(health: Health) -> None:
    for number in range(MAX_EVENTS + 10):
        health.event("warning", f"number {number}", action="x")
    data = client(health).get("/healthcheck/events").json()["data"]
    assert set(data) == {"success", "warning", "error"}
    assert len(data["warning"]) == MAX_EVENTS
    assert data["warning"][-1]["message"] == f"number {MAX_EVENTS + 9}"


def test_events_and_problems_have_no_characters_that_a_terminal_obeys(health: Health) -> None:
    health.event("error", "a\x1b[2J\x07\r\nb\u202e\x9b caf\u00e9", action="x")
    health.problem("peer", "c\x1b]0;title\x07")
    shown = client(health).get("/healthcheck/events").json()["data"]
    assert shown["error"][0]["message"] == r"a\x1b[2J\x07\r\nb\u202e\x9b café"
    assert shown["warning"][0]["message"] == health.problems()["peer"] == r"c\x1b]0;title\x07"


def test_a_long_problem_is_one_event(health: Health) -> None:
    for _ in range(3):
        health.problem("peer", "x" * 2_000)
    assert len(health.events()["warning"]) == 1


def test_readiness_names_a_problem_until_it_is_solved(health: Health) -> None:
    api = client(health)
    assert api.get("/readyz").status_code == 503
    health.problem("start", None)
    assert api.get("/readyz").json()["status"] is True
    health.problem("chain", "The chain does not answer")
    answer = api.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]) == (503, {"chain": "The chain does not answer"})
    assert api.get("/healthcheck").json()["checks"] == {"chain": "The chain does not answer"}
    assert api.get("/livez").status_code == 200
    health.problem("chain", None)
    assert api.get("/readyz").status_code == 200


def test_an_unreadable_state_is_a_503_without_a_path(health: Health) -> None:
    answer = client(health, BrokenView()).get("/healthcheck/seed")
    assert answer.status_code == 503
    assert "secret" not in answer.text


def test_prometheus_reads_the_metrics(health: Health) -> None:
    answer = client(health).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in answer.text.splitlines():
        assert line.startswith("# TYPE ") or float(line.rpartition(" ")[2]) >= 0


def test_every_endpoint_is_described(health: Health) -> None:
    document = client(health).get("/openapi.json").json()
    assert set(document["paths"]) == {f"/healthcheck/{name}" for name in PUBLISHED.split()} | {
        "/healthcheck",
        "/livez",
        "/readyz",
        "/metrics",
    }


def test_a_used_port_and_a_foreign_address_name_their_setting() -> None:
    with listening("127.0.0.1", 0, host_variable="H", port_variable="P") as taken:
        with pytest.raises(UsageError, match=r"Set HEALTHCHECK_API_PORT=\d+, for example"):
            listening("127.0.0.1", taken.getsockname()[1], host_variable="H", port_variable="HEALTHCHECK_API_PORT")
        with pytest.raises(UsageError, match="HEALTHCHECK_API_HOST"):
            listening("203.0.113.7", 6000, host_variable="HEALTHCHECK_API_HOST", port_variable="P")


def test_a_log_line_is_one_line_without_secrets() -> None:
    stream = io.StringIO()
    undo = configure_logging("INFO", secrets=["sk-planted"], stream=stream)
    try:
        logging.getLogger("soundsright.x").info(
            "key sk-planted\nERROR forged", extra={"action": "a", "detail": "sk-planted \x1b[2J\u202e"}
        )
    finally:
        undo()
    (line,) = stream.getvalue().splitlines()
    assert "planted" not in line
    assert line.endswith(r"key *** ERROR forged action=a detail=*** \x1b[2J\u202e")
