"""`GET /metrics` and `GET /scores`: the table, sent again only when it has changed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from soundsright.core.images import ImageMetrics, ImageRow, PublishedTable, image_row
from soundsright.services.executor_api import tables
from tests.services.executor_api.executors import (
    EVE,
    MINER,
    ROW,
    TABLE,
    VICTOR,
    MemoryExecutor,
    app_of,
    signed,
    submission,
    talkhead,
)


@pytest.fixture
def executor() -> MemoryExecutor:
    return MemoryExecutor()


@pytest.fixture
def client(executor: MemoryExecutor) -> TestClient:
    return TestClient(app_of(executor))


def read(client: TestClient, path: str = "/metrics", *, etag: str = "", **how: Any) -> Any:
    extra = {"If-None-Match": etag} if etag else {}
    return client.get(path, headers={**signed("GET", path, **how), **extra})


def test_the_rows_are_those_of_the_table(client: TestClient) -> None:
    reply = read(client)
    assert reply.status_code == 200
    assert [image_row(value) for value in reply.json()] == [ROW]
    assert (reply.headers["etag"], reply.headers["x-round"]) == ('"ab12"', "round-7")
    assert reply.json()[0]["metrics"].keys() >= {
        "quality_score", "final_score", "efficiency_factor", "inference_time_sec", "inference_time_sec_worst",
        "peak_vram_gb", "peak_vram_gb_worst", "cap_violation", "challenge_metrics", "error", "updated_at",
    }  # fmt: skip


def test_a_table_without_rows_is_an_empty_list(executor: MemoryExecutor, client: TestClient) -> None:
    executor.shown = replace(TABLE, round_id="", rows=(), version="none")
    reply = read(client)
    assert (reply.status_code, reply.json(), reply.headers["x-round"]) == (200, [], "")


@pytest.mark.parametrize("header", ['"ab12"', 'W/"ab12"', '"old", "ab12"', "*"])
def test_a_known_table_is_not_sent_again(client: TestClient, header: str) -> None:
    reply = read(client, etag=header)
    assert (reply.status_code, reply.content) == (304, b"")
    assert (reply.headers["etag"], reply.headers["x-round"]) == ('"ab12"', "round-7")
    assert reply.headers["x-answer-signature"]


@pytest.mark.parametrize("header", ['"ab1"', "ab12", "", '"ab12', "x" * 9_000])
def test_another_table_is_sent(client: TestClient, header: str) -> None:
    assert read(client, etag=header).status_code == 200


def test_a_changed_table_is_sent_with_its_own_tag(executor: MemoryExecutor, client: TestClient) -> None:
    tag = read(client).headers["etag"]
    executor.publish(ImageRow(submission(EVE, 2)), version="cd34")
    reply = read(client, etag=tag)
    assert (reply.status_code, reply.headers["etag"]) == (200, '"cd34"')
    assert [value["hotkey"] for value in reply.json()] == [EVE.address]


def test_a_table_is_written_once_and_not_at_all_for_who_knows_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[PublishedTable] = []
    rows_json = tables.rows_json

    def counted(table: PublishedTable) -> bytes:
        written.append(table)
        return rows_json(table)

    monkeypatch.setattr(tables, "rows_json", counted)
    assert read(client, etag='"ab12"').status_code == 304
    assert not written
    assert read(client).content == read(client).content
    assert len(written) == 1


def test_somebody_between_cannot_hold_back_a_new_table(executor: MemoryExecutor, client: TestClient) -> None:
    """The query is signed. A header that was changed to the present tag does not match it."""
    executor.publish(ROW, version="new")
    assert read(client, "/metrics?known=ab12", etag='"new"').status_code == 200
    assert read(client, "/metrics?known=new", etag='"new"').status_code == 304


def test_scores_have_the_older_form(executor: MemoryExecutor, client: TestClient) -> None:
    waiting = submission(EVE, 2)
    failed = ImageRow(submission(VICTOR, 3), ImageMetrics(final_score=0.0, error="crashed"))
    coming = {waiting.entry_id: 0.25}
    executor.shown = replace(TABLE, rows=(ROW, failed, ImageRow(waiting)), coming=coming)
    reply = read(client, "/scores")
    assert reply.json() == [
        {**ROW.submission.facts(), "score": 0.7077647, "coming_score": -1.0},
        {**failed.submission.facts(), "score": 0.0, "coming_score": -1.0},
        {**waiting.facts(), "score": -1.0, "coming_score": 0.25},
    ]
    executor.shown = replace(executor.shown, coming={})
    assert read(client, "/scores").json()[2]["coming_score"] == -1.0, "scores are not kept with the table"


@pytest.mark.parametrize("path", ["/metrics", "/scores"])
def test_only_validators_read(client: TestClient, path: str) -> None:
    for how, status, code in (
        ({"key": MINER}, 403, "no_permit"),
        ({"receiver": EVE}, 401, "wrong_receiver"),
        ({"late_s": 61}, 401, "stale"),
    ):
        reply = read(client, path, **how)
        assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert client.get(path).json()["code"] == "unsigned"


@pytest.mark.parametrize("path", ["/metrics", "/scores"])
def test_an_older_dialect_may_read_once(client: TestClient, path: str) -> None:
    headers = talkhead(path)
    assert client.get(path, headers=headers).status_code == 200
    assert client.get(path, headers=headers).json()["code"] == "replayed"
    assert client.get(path, headers=talkhead(path, key=MINER)).json()["code"] == "no_permit"
    assert client.get(path, headers=talkhead(path, ahead_s=-180)).json()["code"] == "stale"
    assert client.request("GET", path, content=b"{}", headers=talkhead(path)).json()["code"] == "body_unsigned"


def test_a_score_that_is_no_number_is_never_sent(executor: MemoryExecutor) -> None:
    executor.publish(replace(ROW, metrics=replace(ROW.metrics, final_score=math.nan)), version="nan")
    client = TestClient(app_of(executor), raise_server_exceptions=False)
    assert read(client).status_code == 500
