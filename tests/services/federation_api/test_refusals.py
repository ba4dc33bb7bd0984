"""Every refusal of the API by its status and code. Nothing is recorded after one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from soundsright.core.errors import RequestRefused
from soundsright.services.federation_api.sending import MAX_BATCH_BYTES, MAX_REPORT_BYTES
from tests.services.federation_api.api_bench import (
    ADMIN,
    COMPETITION,
    MINERS,
    OWNER,
    STRANGER,
    TASK,
    VALIDATORS,
    Bench,
    body_of,
    leoma,
    post,
    report,
    sample,
    send,
    signed,
)

BATCH, REPORT = "/samples/batch", "/miners/report"
WRITES = (
    ("POST", BATCH, {"samples": [sample()]}),
    ("POST", REPORT, report(0)),
    ("POST", "/blacklist", {"hotkey": MINERS[0]}),
    ("DELETE", f"/blacklist?hotkey={MINERS[0]}", None),
    ("GET", "/blacklist", None),
    ("POST", "/validators", {"hotkey": STRANGER.address, "uid": 9}),
    ("DELETE", f"/validators?hotkey={VALIDATORS[0].address}", None),
)

_OUT_OF_BOUNDS: dict[str, tuple[Any, ...]] = {
    "task": (-1, 1.0, "1234", True, None, 2**53, 10**400),
    "competition": ("", "a b", "../x", "x" * 65, 7, None),
    "miner_hotkey": ("", "alice", MINERS[0][:-1] + "x", "x" * 48, 7, None),
    "uid": (-1, 65_536, "7", 1.5, False),
    "model": ("", "a b", "ä", "x" * 401, "a\n", 7, None),
    "block": (-1, "5", 2**63, None),
    "passed": (1, 0, "true", None),
    "failures": (-1, 4_097, True, 0.5),
    "means": (
        [],
        None,
        {"ESTOI": "x"},
        {"ESTOI": None},
        {"ESTOI": True},
        {"ESTOI": 1e9},
        {"": 1},
        {"a b": 1},
        {f"M{n}": 0 for n in range(17)},
    ),
    "answers": ("", "a" * 63, "A" * 64, "g" * 64, None),
    "verdict": ("", "b" * 65, 7),
}


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def client(bench: Bench) -> TestClient:
    return bench.client()


def body_for(values: object) -> bytes:
    return b"" if values is None else body_of(values)


def code_of(reply: Any) -> tuple[int, str]:
    assert set(reply.json()) == {"code", "sentence"}
    return reply.status_code, reply.json()["code"]


def is_untouched(bench: Bench) -> bool:
    """Whether nothing was recorded."""
    return (
        bench.store.count == 0
        and all(bench.store.report(key.address) is None for key in (*VALIDATORS, STRANGER))
        and not bench.store.blacklist.members()
        and len(bench.store.validators.members()) == len(VALIDATORS)
    )


class TestSignatures:
    @pytest.mark.parametrize(("method", "path", "values"), WRITES)
    def test_an_unsigned_request_is_a_401(
        self, bench: Bench, client: TestClient, method: str, path: str, values: object
    ) -> None:
        reply = client.request(method, path, content=body_for(values))
        assert code_of(reply) == (401, "unsigned")
        assert is_untouched(bench)

    @pytest.mark.parametrize(("method", "path", "values"), WRITES)
    def test_a_stranger_who_signs_is_a_403(
        self, bench: Bench, client: TestClient, method: str, path: str, values: object
    ) -> None:
        body = body_for(values)
        reply = client.request(method, path, content=body, headers=signed(method, path, body, key=STRANGER))
        assert code_of(reply) == (403, "no_permit" if path in (BATCH, REPORT) else "not_admin")
        assert is_untouched(bench)

    def test_a_validator_is_no_admin_and_an_admin_no_validator(self, bench: Bench, client: TestClient) -> None:
        assert code_of(post(client, "/blacklist", {"hotkey": MINERS[0]})) == (403, "not_admin")
        assert code_of(send(client, sample(), key=ADMIN)) == (403, "no_permit")
        assert is_untouched(bench)

    def test_a_validator_that_was_removed_or_blacklisted_is_a_403(self, bench: Bench, client: TestClient) -> None:
        bench.store.validators.remove(VALIDATORS[2].address)
        bench.store.blacklist.add(VALIDATORS[1].address, "")
        for key in VALIDATORS[1:3]:
            assert code_of(send(client, sample(), key=key)) == (403, "no_permit")
            assert code_of(post(client, REPORT, report(0), key=key)) == (403, "no_permit")

    def test_a_replayed_request_is_a_401(self, client: TestClient) -> None:
        body = body_of({"samples": [sample()]})
        headers = signed("POST", BATCH, body)
        assert client.post(BATCH, content=body, headers=headers).status_code == 200
        assert code_of(client.post(BATCH, content=body, headers=headers)) == (401, "replayed")

    def test_an_expired_request_and_one_of_a_fast_clock_are_a_401(self, bench: Bench, client: TestClient) -> None:
        body = body_of({"samples": [sample()]})
        for late_s in (11.0, 3_600.0, -3.0, -3_600.0):
            reply = client.post(BATCH, content=body, headers=signed("POST", BATCH, body, late_s=late_s))
            assert code_of(reply) == (401, "stale")
        assert is_untouched(bench)

    def test_the_setting_lowers_the_age(self, bench: Bench) -> None:
        body = body_of({"samples": [sample()]})
        headers = leoma(body, ahead_s=-2)
        assert code_of(bench.client(max_age_s=1).post(BATCH, content=body, headers=headers)) == (401, "stale")

    def test_another_body_path_or_sender_is_a_401(self, bench: Bench, client: TestClient) -> None:
        body, other = body_of({"samples": [sample()]}), body_of({"samples": [sample(1)]})
        assert code_of(client.post(BATCH, content=other, headers=signed("POST", BATCH, body))) == (
            401,
            "bad_signature",
        )
        assert code_of(client.post(REPORT, content=body, headers=signed("POST", BATCH, body))) == (
            401,
            "bad_signature",
        )
        headers = signed("POST", BATCH, body, key=STRANGER) | {"X-Bittensor-Hotkey": VALIDATORS[2].address}
        assert code_of(client.post(BATCH, content=body, headers=headers)) == (401, "bad_signature")
        headers = signed("POST", BATCH, body) | {"X-Bittensor-Receiver": STRANGER.address}
        assert code_of(client.post(BATCH, content=body, headers=headers)) == (401, "wrong_receiver")
        assert is_untouched(bench)


class TestLeoma:
    def test_a_validator_sends_by_leoma_where_it_is_on(self, bench: Bench, client: TestClient) -> None:
        body = body_of({"samples": [sample()]})
        assert client.post(BATCH, content=body, headers=leoma(body)).json() == {"count": 1, "new": 1}
        body = body_of(report(0))
        assert client.post(REPORT, content=body, headers=leoma(body)).json() == {"count": 1}
        assert bench.store.count == 1

    def test_it_is_off_by_default(self, bench: Bench) -> None:
        body = body_of({"samples": [sample()]})
        reply = bench.client(dialects=("btauth",)).post(BATCH, content=body, headers=leoma(body))
        assert code_of(reply) == (401, "unsigned")

    def test_one_signature_counts_once_for_all_routes(self, client: TestClient) -> None:
        body = body_of({"samples": [sample()]})
        headers = leoma(body)
        assert client.post(BATCH, content=body, headers=headers).status_code == 200
        for path in (BATCH, REPORT):
            assert code_of(client.post(path, content=body, headers=headers)) == (401, "replayed")

    def test_a_body_for_one_route_is_none_for_another(self, bench: Bench, client: TestClient) -> None:
        # leoma does not sign the path, so the forms of the bodies must be apart.
        bodies = {BATCH: body_of({"samples": [sample()]}), REPORT: body_of(report(0))}
        for path, other in ((BATCH, REPORT), (REPORT, BATCH)):
            body = bodies[other]
            assert code_of(client.post(path, content=body, headers=leoma(body))) == (422, "malformed")
        assert is_untouched(bench)

    @pytest.mark.parametrize(
        ("method", "path", "values"), [each for each in WRITES if each[1] not in (BATCH, REPORT)]
    )
    def test_it_never_changes_the_owners_lists(
        self, bench: Bench, client: TestClient, method: str, path: str, values: object
    ) -> None:
        body = body_for(values)
        reply = client.request(method, path, content=body, headers=leoma(body, key=ADMIN))
        if method == "GET":
            assert reply.json() == []
        else:
            assert code_of(reply) == (401, "dialect_reads_only")
        assert is_untouched(bench)

    def test_an_expired_one_is_a_401(self, client: TestClient) -> None:
        body = body_of({"samples": [sample()]})
        for ahead_s in (-301, 10):
            headers = leoma(body, ahead_s=ahead_s)
            assert code_of(client.post(BATCH, content=body, headers=headers)) == (401, "stale")


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"\xff\xfe",
            b'{"samples": NaN}',
            b'{"samples": [Infinity]}',
            b'{"samples": 1e999}',
            b'{"samples": [], "samples": []}',
            b"[" * 100_000 + b"]" * 100_000,
            b'{"samples":' * 5_000 + b"1" + b"}" * 5_000,
            b'{"samples": [[[[[[1]]]]]]}',
            b"\xef\xbb\xbf{}",
        ],
        ids=[
            "empty",
            "cut",
            "bytes",
            "nan",
            "infinity",
            "1e999",
            "twice",
            "deep-list",
            "deep",
            "depth-7",
            "bom",
        ],
    )
    @pytest.mark.parametrize("path", [BATCH, REPORT])
    def test_a_body_that_is_no_strict_json_is_a_400(
        self, bench: Bench, client: TestClient, path: str, body: bytes
    ) -> None:
        assert code_of(post(client, path, body)) == (400, "not_json")
        assert is_untouched(bench)

    def test_samples_of_two_tasks_are_a_400(self, bench: Bench, client: TestClient) -> None:
        assert code_of(send(client, sample(0), sample(1, TASK - 1))) == (400, "several_tasks")
        assert is_untouched(bench)

    @pytest.mark.parametrize(
        "values",
        [[], 1, None, "samples", {}, {"samples": {}}, {"samples": [1]}, {"samples": [], "x": 1}, {"samples": []}],
    )
    def test_another_form_is_a_422(self, bench: Bench, client: TestClient, values: object) -> None:
        assert code_of(post(client, BATCH, values)) == (422, "malformed")
        assert is_untouched(bench)

    @pytest.mark.parametrize(
        ("field", "value"),
        [(field, value) for field, values in _OUT_OF_BOUNDS.items() for value in values],
    )
    def test_a_field_out_of_its_bounds_is_a_422_that_names_it(
        self, bench: Bench, client: TestClient, field: str, value: Any
    ) -> None:
        reply = send(client, sample(0), sample(1, **{field: value}))
        assert code_of(reply) == (422, "malformed")
        assert reply.json()["sentence"].startswith(f"samples.1.{field}: ")
        assert is_untouched(bench)

    @pytest.mark.parametrize("change", [{"extra": 1}, {"TASK": 1}])
    def test_a_field_too_many_or_too_few_is_a_422(
        self, bench: Bench, client: TestClient, change: dict[str, Any]
    ) -> None:
        assert code_of(send(client, sample(0, **change))) == (422, "malformed")
        missing = sample(0)
        del missing["verdict"]
        assert code_of(send(client, missing)) == (422, "malformed")
        assert is_untouched(bench)

    def test_a_miner_twice_is_a_422(self, bench: Bench, client: TestClient) -> None:
        assert code_of(send(client, sample(0), sample(0, passed=False))) == (422, "duplicate_sample")
        assert code_of(post(client, REPORT, report(0, 1, 0))) == (422, "duplicate_hotkey")
        assert is_untouched(bench)

    @pytest.mark.parametrize("task", [0, TASK - 301, TASK + 2, 2**53 - 1])
    def test_a_task_that_cannot_count_is_a_422(self, bench: Bench, client: TestClient, task: int) -> None:
        assert code_of(send(client, sample(0, task))) == (422, "wrong_task")
        assert is_untouched(bench)

    @pytest.mark.parametrize("task", [TASK - 300, TASK, TASK + 1])
    def test_the_first_and_the_last_task_that_count_are_taken(self, client: TestClient, task: int) -> None:
        assert send(client, sample(0, task)).json() == {"count": 1, "new": 1}

    @pytest.mark.parametrize(
        ("miners", "winners"),
        [
            ({}, {}),
            ([1], {}),
            ([{"hotkey": MINERS[0]}], {}),
            ([{"hotkey": "x", "uid": 1, "valid": True, "reason": ""}], {}),
            ([{"hotkey": MINERS[0], "uid": -1, "valid": True, "reason": ""}], {}),
            ([{"hotkey": MINERS[0], "uid": 1, "valid": 1, "reason": ""}], {}),
            ([{"hotkey": MINERS[0], "uid": 1, "valid": False, "reason": "Bad Code"}], {}),
            ([], []),
            ([], {"a b": None}),
            ([], {COMPETITION: "alice"}),
            ([], {COMPETITION: 7}),
            ([], {f"c{n}": None for n in range(65)}),
        ],
    )
    def test_a_report_of_another_form_is_a_422(
        self, bench: Bench, client: TestClient, miners: object, winners: object
    ) -> None:
        assert code_of(post(client, REPORT, {"miners": miners, "winners": winners})) == (422, "malformed")
        assert is_untouched(bench)

    def test_a_sentence_repeats_nothing_that_was_sent(self, client: TestClient) -> None:
        reply = send(client, sample(0, model="<script>alert(1)</script> \x1b[2J"))
        assert "script" not in reply.text
        assert "\\u001b" not in reply.text


class TestSizes:
    def test_more_than_100_samples_are_a_413(self, bench: Bench, client: TestClient) -> None:
        assert code_of(send(client, *(sample(n) for n in range(101)))) == (413, "too_many")
        assert is_untouched(bench)
        assert send(client, *(sample(n) for n in range(100))).json() == {"count": 100, "new": 100}

    def test_more_than_2048_miners_are_a_413(self, bench: Bench, client: TestClient) -> None:
        rows = [{"hotkey": MINERS[0], "uid": 1, "valid": True, "reason": ""}] * 2_049
        assert code_of(post(client, REPORT, {"miners": rows, "winners": {}})) == (413, "too_many")
        assert is_untouched(bench)

    @pytest.mark.parametrize(("path", "most"), [(BATCH, MAX_BATCH_BYTES), (REPORT, MAX_REPORT_BYTES)])
    def test_a_large_body_is_a_413_before_anything_is_verified(
        self, bench: Bench, client: TestClient, path: str, most: int
    ) -> None:
        assert code_of(client.post(path, content=b" " * (most + 1))) == (413, "too_large")
        assert code_of(client.post(path, content=iter([b" " * most, b" "]))) == (413, "too_large")
        assert code_of(client.post(path, content=b" " * most)) == (401, "unsigned")
        assert is_untouched(bench)

    def test_the_largest_honest_bodies_fit(self) -> None:
        longest = sample(
            0,
            task=2**53 - 1,
            competition="x" * 64,
            model="m" * 400,
            block=2**53 - 1,
            failures=4_096,
            means={f"METRIC_{n}": -123.456789 for n in range(16)},
        )
        assert 100 * (len(json.dumps(longest)) + 2) + 20 < MAX_BATCH_BYTES
        row = {"hotkey": MINERS[0], "uid": 65_535, "valid": False, "reason": "unreadable_archive_of_a_sealed_model"}
        assert 2_048 * (len(json.dumps(row)) + 2) + 64 * 130 < MAX_REPORT_BYTES

    def test_the_length_that_a_client_states_is_not_trusted(self, client: TestClient) -> None:
        for length in ("1" * 25, str(MAX_BATCH_BYTES + 1)):
            reply = client.post(BATCH, content=b"x", headers={"Content-Length": length})
            assert reply.status_code in (401, 413)

    def test_the_requests_of_one_address_are_counted_before_they_are_read(self, bench: Bench) -> None:
        def busy(_client: str) -> None:
            raise RequestRefused("busy", "Too many requests; try again in a minute", status=429)

        client = bench.client(throttle=busy)
        for path in (BATCH, REPORT, "/blacklist", "/validators"):
            assert code_of(client.post(path, content=b"[]")) == (429, "busy")
        paths = [path for path, ways in client.get("/openapi.json").json()["paths"].items() if "get" in ways]
        assert len(paths) == 15
        for path in paths:
            at = path.replace("{hotkey}", MINERS[0]).replace("{task}", "7")
            assert code_of(client.get(at)) == (429, "busy"), path


class TestContradictions:
    def test_a_competition_that_the_rules_lack_is_a_422(self, bench: Bench, client: TestClient) -> None:
        reply = send(client, sample(0), sample(1, competition="winter"))
        assert code_of(reply) == (422, "wrong_competition")
        assert is_untouched(bench)

    def test_a_validator_has_so_many_samples_on_a_task(self) -> None:
        bench = Bench(max_of_task=150)
        client = bench.client()
        assert send(client, *(sample(n) for n in range(100))).status_code == 200
        assert code_of(send(client, *(sample(n) for n in range(100, 151)))) == (413, "too_many")
        assert bench.store.count == 100
        assert send(client, *(sample(n) for n in range(100, 150))).status_code == 200
        assert code_of(send(client, sample(150))) == (413, "too_many")
        assert send(client, sample(150), key=VALIDATORS[3]).status_code == 200

    def test_old_tasks_that_come_late_remove_no_new_ones(self) -> None:
        bench = Bench(kept_tasks=4)
        client = bench.client()
        for task in range(TASK - 3, TASK + 1):
            assert send(client, sample(0, task)).status_code == 200
        for task in range(TASK - 200, TASK - 3):
            assert code_of(send(client, sample(1, task), key=VALIDATORS[0])) == (422, "wrong_task")
        bench.store = bench.open()
        assert bench.store.tasks() == tuple(range(TASK - 3, TASK + 1))

    def test_the_first_sample_stays(self, bench: Bench, client: TestClient) -> None:
        assert send(client, sample(0), sample(1)).json() == {"count": 2, "new": 2}
        assert send(client, sample(0), sample(2)).json() == {"count": 2, "new": 1}
        reply = send(client, sample(3), sample(1, passed=False))
        assert code_of(reply) == (409, "other_sample")
        assert bench.store.count == 3
        assert all(row["passed"] for row in client.get("/samples/list").json())

    def test_two_validators_may_differ(self, bench: Bench, client: TestClient) -> None:
        send(client, sample(0))
        assert send(client, sample(0, passed=False), key=VALIDATORS[3]).json() == {"count": 1, "new": 1}
        assert bench.store.count == 2

    def test_it_is_unknown_which_task_it_is_without_the_chain(self, bench: Bench, client: TestClient) -> None:
        bench.chain.is_away = True
        assert code_of(send(client, sample(0))) == (503, "unavailable")
        assert is_untouched(bench)
        assert post(client, REPORT, report(0)).status_code == 200


class TestOrigins:
    def test_pages_of_the_named_origins_may_read(self, bench: Bench) -> None:
        client = bench.client(origins=("https://ranks.example",))
        allowed = client.get("/overview", headers={"Origin": "https://ranks.example"})
        assert allowed.headers["access-control-allow-origin"] == "https://ranks.example"
        assert "access-control-allow-credentials" not in allowed.headers
        for origin in (
            "https://evil.example",
            "https://ranks.example.evil.example",
            "null",
            "http://ranks.example",
        ):
            assert "access-control-allow-origin" not in client.get("/overview", headers={"Origin": origin}).headers

    def test_no_page_may_send(self, bench: Bench) -> None:
        client = bench.client(origins=("https://ranks.example",))
        asked = {"Origin": "https://ranks.example", "Access-Control-Request-Method": "POST"}
        reply = client.options(BATCH, headers=asked)
        assert reply.status_code == 400
        assert "POST" not in reply.headers.get("access-control-allow-methods", "")

    def test_without_the_setting_no_page_may_read(self, client: TestClient) -> None:
        reply = client.get("/overview", headers={"Origin": "https://ranks.example"})
        assert "access-control-allow-origin" not in reply.headers


def test_the_answer_to_a_signed_request_is_signed(client: TestClient) -> None:
    assert send(client, sample(0)).headers["x-answer-signature"].startswith("0x")
    assert send(client, sample(0, passed=False)).headers["x-answer-signature"].startswith("0x")
    assert "x-answer-signature" not in client.get("/overview").headers
    assert OWNER.address not in client.get("/overview").text
