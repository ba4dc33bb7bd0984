"""The client of an executor: against the real service, and against services that answer wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from soundsright.adapters.executors import HttpScoreTable
from soundsright.adapters.peers.auth import RequestGate
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.errors import PeerUnavailable, RequestRefused
from soundsright.core.images import ImageRow
from soundsright.core.ports import ScoreTable, TakenSubmissions
from soundsright.services.http import HttpService, answer_refusals, listening, sign_answers, signed_body
from tests.services.executor_api.executors import (
    EVE,
    MINER,
    OWNER,
    ROW,
    TABLE,
    VICTOR,
    MemoryExecutor,
    app_of,
    submission,
)


@pytest.fixture
def serve() -> Iterator[Callable[[FastAPI], str]]:
    """Serve an app on this machine. Returns its address."""
    services = []

    def started(app: FastAPI) -> str:
        sock = listening("127.0.0.1", 0, host_variable="H", port_variable="P")
        services.append(HttpService(app, sock, name="executor").start())
        return f"http://127.0.0.1:{services[-1].port}"

    yield started
    for service in services:
        service.close()


Serve = Callable[[FastAPI], str]


def client_of(url: str, *, key: Hotkey = VICTOR, receiver: Hotkey = OWNER) -> HttpScoreTable:
    return HttpScoreTable(url, receiver.address, key, timeout_s=10)


def test_a_validator_gives_submissions_and_reads_table_and_results(serve: Serve) -> None:
    executor = MemoryExecutor(envelopes={"round-7": b'{"signed": 1}'})
    table: ScoreTable = client_of(serve(app_of(executor)))
    given = (submission(MINER), submission(EVE, 2))
    assert table.update(given) == TakenSubmissions(2, 2, 0)
    assert executor.standing == given
    assert table.table() == TABLE
    assert table.results("round-7") == b'{"signed": 1}'
    assert table.results("round-8") is None
    assert table.results("../metrics?x") is None


def test_a_table_without_rows_is_one_that_the_executor_sent(serve: Serve) -> None:
    executor = MemoryExecutor(shown=replace(TABLE, round_id="", rows=(), version="none"))
    assert client_of(serve(app_of(executor))).table() == executor.shown


def test_a_table_that_has_not_changed_is_not_sent_again(serve: Serve) -> None:
    executor = MemoryExecutor()
    statuses = []
    app = app_of(executor)

    @app.middleware("http")
    async def noted(request: Request, call_next: Any) -> Response:
        reply: Response = await call_next(request)
        statuses.append((reply.status_code, reply.headers.get("content-length", "0")))
        return reply

    client = client_of(serve(app))
    first = client.table()
    assert client.table() == client.table() == first
    executor.publish(ImageRow(submission(EVE, 2)), version="new")
    assert [row.submission.hotkey for row in client.table().rows] == [EVE.address]
    assert client.table().version == "new"
    assert [status for status, _ in statuses] == [200, 304, 304, 200, 304]
    assert {length for status, length in statuses if status == 304} == {"0"}


def test_refusals_of_the_executor_keep_their_codes(serve: Serve) -> None:
    url = serve(app_of(MemoryExecutor()))
    with pytest.raises(RequestRefused) as refused:
        client_of(url, key=MINER).table()
    assert (refused.value.code, refused.value.status) == ("no_permit", 403)
    with pytest.raises(RequestRefused) as twice:
        client_of(url).update([submission(MINER), submission(MINER, 2)])
    assert (twice.value.code, twice.value.status) == ("duplicate_hotkey", 422)


def test_an_executor_of_another_hotkey_is_not_this_one(serve: Serve) -> None:
    with pytest.raises(PeerUnavailable, match="did not sign"):
        client_of(serve(app_of(MemoryExecutor())), receiver=EVE).table()


def test_an_executor_that_is_away_is_unavailable() -> None:
    sock = listening("127.0.0.1", 0, host_variable="H", port_variable="P")
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    sock.close()
    client = client_of(url)
    for call in (client.table, lambda: client.update([]), lambda: client.results("round-7")):
        with pytest.raises(PeerUnavailable):
            call()


def answering(reply: Callable[[], Response], *, signer: Hotkey | None = OWNER) -> FastAPI:
    """An app that gives this answer to every request, signed by that hotkey."""
    app, gate = FastAPI(), RequestGate(OWNER.address)
    answer_refusals(app)

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def any_path(request: Request, path: str) -> Response:
        await signed_body(request, admit=gate.admit, throttle=lambda _client: None, max_bytes=10_000)
        return reply()

    if signer is not None:
        sign_answers(app, signer.sign)
    return app


HEADERS = {"ETag": '"v1"', "X-Round": "round-7"}
ROWS = [ROW.facts()]


def changed(**metrics: object) -> str:
    return json.dumps([{**ROWS[0], "metrics": {**ROWS[0]["metrics"], **metrics}}])


NO_TABLES = {
    "304 without a table read before": Response(status_code=304, headers=HEADERS),
    "an empty body": Response(b"", headers=HEADERS),
    "null": Response(b"null", headers=HEADERS),
    "an object": Response(b"{}", headers=HEADERS),
    "no JSON": Response(b"<html>", headers=HEADERS),
    "NaN in a score": Response(changed(final_score=float("nan")), headers=HEADERS),
    "a text as a score": Response(changed(final_score="0.9"), headers=HEADERS),
    "a row that is a number": Response(b"[1]", headers=HEADERS),
    "two rows of a hotkey": Response(json.dumps(ROWS * 2), headers=HEADERS),
    "too many rows": Response(b"[" + b",".join([b"0"] * 4_097) + b"]", headers=HEADERS),
    "far too deep": Response(b"[" * 100_000, headers=HEADERS),
    "no ETag": Response(json.dumps(ROWS), headers={"X-Round": "round-7"}),
    "a weak ETag": Response(json.dumps(ROWS), headers={**HEADERS, "ETag": 'W/"v1"'}),
    "no round": Response(json.dumps(ROWS), headers={"ETag": '"v1"'}),
    "a round of another form": Response(json.dumps(ROWS), headers={**HEADERS, "X-Round": "../7"}),
    "204": Response(status_code=204, headers=HEADERS),
    "201": Response(json.dumps(ROWS), 201, headers=HEADERS),
    "500": Response(json.dumps(ROWS), 500, headers=HEADERS),
    "a redirect": Response(status_code=302, headers={**HEADERS, "Location": "/metrics"}),
}


def test_an_answer_that_is_no_table_is_never_an_empty_one(serve: Serve) -> None:
    answer = [Response()]
    url = serve(answering(lambda: answer[0]))
    for name, reply in NO_TABLES.items():
        answer[0] = reply
        with pytest.raises(PeerUnavailable):
            raise AssertionError(f"{name}: {client_of(url).table()}")
    answer[0] = Response(json.dumps(ROWS), headers=HEADERS)
    assert client_of(url).table().rows == (ROW,)


def test_a_wrong_answer_does_not_replace_the_last_table(serve: Serve) -> None:
    answer = [Response(json.dumps(ROWS), headers=HEADERS)]
    client = client_of(serve(answering(lambda: answer[0])))
    first = client.table()
    answer[0] = NO_TABLES["NaN in a score"]
    with pytest.raises(PeerUnavailable):
        client.table()
    answer[0] = Response(status_code=304, headers=HEADERS)
    assert client.table() == first


@pytest.mark.parametrize("signer", [None, EVE])
def test_an_answer_that_the_executor_did_not_sign_does_not_count(serve: Serve, signer: Hotkey | None) -> None:
    client = client_of(serve(answering(lambda: Response(b"[]", headers=HEADERS), signer=signer)))
    for call in (client.table, lambda: client.update([]), lambda: client.results("round-7")):
        with pytest.raises(PeerUnavailable, match="did not sign"):
            call()


@pytest.mark.parametrize("body", [b"", b"[]", b'{"count": 1}', b'{"count": 2, "new": 0, "changed": 0}', b"{NaN}"])
def test_an_update_that_was_not_counted_is_an_error(serve: Serve, body: bytes) -> None:
    with pytest.raises(PeerUnavailable):
        client_of(serve(answering(lambda: Response(body)))).update([submission()])


def test_results_that_are_empty_or_refused_are_not_absent(serve: Serve) -> None:
    refusal = json.dumps({"code": "no_such_page", "sentence": "No"})
    answer = [Response()]
    client = client_of(serve(answering(lambda: answer[0])))
    for reply in (Response(b""), Response(refusal, 404), Response(b"x", 404), Response(b"{}", 503)):
        answer[0] = reply
        with pytest.raises(PeerUnavailable):
            client.results("round-7")
