"""What everybody reads: the routes' answers are exact for samples and reports that are made to have them."""

from __future__ import annotations

from fastapi.testclient import TestClient

from soundsright.core.federation_rules import FederationRules
from soundsright.core.profiles import Profile
from tests.services.federation_api.api_bench import (
    COMPETITION,
    MINERS,
    NOW_S,
    STALE_S,
    TASK,
    VALIDATORS,
    Bench,
    post,
    report,
    sample,
    send,
)

RANK_FIELDS = {"miner_hotkey", "uid", "rank", "passed_count", "pass_rate", "block", "eligible"}
VALIDATOR_FIELDS = {
    *("hotkey", "uid", "online", "tasks_sampled", "expected_turns", "participation_rate", "permissioned"),
}


def primary(task: int) -> int:
    return task % len(VALIDATORS)


def filled(bench: Bench, passes: dict[int, list[bool]], first: int = TASK - 12) -> TestClient:
    """A client of an API to which each task's first validator sent these results, by miner, one for each task."""
    client = bench.client()
    for number in range(max(map(len, passes.values()))):
        task = first + number
        rows = [
            sample(miner, task, passed=results[number])
            for miner, results in passes.items()
            if number < len(results)
        ]
        assert send(client, *rows, key=VALIDATORS[primary(task)]).status_code == 200
    return client


class TestOverview:
    def test_it_says_whose_turn_it_is(self) -> None:
        bench = Bench()
        overview = bench.client().get("/overview").json()
        assert (overview["block"], overview["task"]) == (123_449, TASK)
        assert overview["sampler"] == VALIDATORS[2].address
        bench.chain.number = 123_450
        assert bench.client().get("/overview").json()["sampler"] == VALIDATORS[3].address

    def test_it_counts_what_is_shown(self) -> None:
        bench = Bench()
        client = bench.client()
        send(client, sample(0), sample(1))
        post(client, "/miners/report", report(0, 1, invalid=(2,)))
        overview = client.get("/overview").json()
        counts = {name: overview[name] for name in ("validators", "online", "miners", "active", "tasks", "samples")}
        assert counts == {"validators": 4, "online": 1, "miners": 3, "active": 2, "tasks": 1, "samples": 2}
        assert overview["competitions"] == [COMPETITION]
        assert overview["rules"] == bench.rules.digest

    def test_without_the_chain_it_shows_the_rest(self) -> None:
        bench = Bench()
        bench.chain.is_away = True
        overview = bench.client().get("/overview").json()
        assert (overview["block"], overview["task"], overview["sampler"]) == (None, None, None)
        assert overview["validators"] == 4
        assert bench.client().get("/health").json() == {"status": "ok", "task": None}

    def test_an_api_without_validators_shows_empty_lists(self) -> None:
        bench = Bench()
        for key in VALIDATORS:
            bench.store.validators.remove(key.address)
        client = bench.client()
        assert client.get("/overview").json()["sampler"] is None
        for path in ("/miners/list", "/miners/active", "/validators", "/samples/list", "/scores", "/scores/rank"):
            assert client.get(path).json() == []


class TestMiners:
    def test_a_strict_majority_of_the_reports_decides_what_is_shown(self) -> None:
        client = Bench().client()
        post(client, "/miners/report", report(0, 1, invalid=(2,)), key=VALIDATORS[0])
        post(client, "/miners/report", report(0, invalid=(1, 2)), key=VALIDATORS[1])
        rows = {row["hotkey"]: row for row in client.get("/miners/list").json()}
        assert [rows[MINERS[n]]["valid"] for n in range(3)] == [True, None, False]
        assert (rows[MINERS[1]]["votes_valid"], rows[MINERS[1]]["votes"]) == (1, 2)
        assert rows[MINERS[2]]["reason"] == "bad_revision"
        assert [row["hotkey"] for row in client.get("/miners/active").json()] == [MINERS[0]]

    def test_a_report_that_does_not_name_a_miner_is_no_vote_for_it(self) -> None:
        client = Bench().client()
        post(client, "/miners/report", report(0), key=VALIDATORS[0])
        post(client, "/miners/report", report(1), key=VALIDATORS[1])
        assert [row["valid"] for row in client.get("/miners/list").json()] == [None, None]

    def test_a_new_report_replaces_the_one_before(self) -> None:
        bench = Bench()
        client = bench.client()
        post(client, "/miners/report", report(0, 1))
        assert post(client, "/miners/report", report(2)).json() == {"count": 1}
        assert [row["hotkey"] for row in client.get("/miners/list").json()] == [MINERS[2]]
        bench.store = bench.open()
        assert [row["hotkey"] for row in bench.client().get("/miners/list").json()] == [MINERS[2]]

    def test_an_old_report_does_not_count(self) -> None:
        bench = Bench()
        client = bench.client()
        post(client, "/miners/report", report(0))
        bench.clock.jump(STALE_S)
        assert len(client.get("/miners/active").json()) == 1
        bench.clock.jump(1)
        assert client.get("/miners/list").json() == []

    def test_the_report_of_a_validator_that_was_removed_does_not_count(self) -> None:
        bench = Bench()
        client = bench.client()
        post(client, "/miners/report", report(0))
        bench.store.validators.remove(VALIDATORS[2].address)
        assert client.get("/miners/list").json() == []

    def test_a_miner_in_the_blacklist_is_marked_and_not_active(self) -> None:
        bench = Bench()
        client = bench.client()
        post(client, "/miners/report", report(0, 1))
        bench.store.blacklist.add(MINERS[0], "copies")
        assert [row["blacklisted"] for row in client.get("/miners/list").json()] == [True, False]
        assert [row["hotkey"] for row in client.get("/miners/active").json()] == [MINERS[1]]

    def test_a_miner_has_its_ranks_and_samples(self) -> None:
        client = filled(Bench(), {0: [True] * 9 + [False], 1: [False] * 10})
        page = client.get(f"/miners/{MINERS[0]}").json()
        assert (page["valid"], page["votes"], page["uid"]) == (None, 0, 10)
        assert page["scores"] == [
            {
                "competition": COMPETITION,
                "passed_count": 8,
                "tasks": 8,
                "pass_rate": 1.0,
                "rank": 1,
                "eligible": True,
            }
        ]
        tasks = client.get(f"/miners/{MINERS[0]}/tasks").json()
        assert [row["task"] for row in tasks] == list(range(TASK - 3, TASK - 13, -1))
        assert tasks[0]["passed"] is False

    def test_a_miner_that_nobody_names_is_a_404(self) -> None:
        client = Bench().client()
        for path in (f"/miners/{MINERS[0]}", f"/miners/{MINERS[0]}/tasks", "/miners/nobody", "/miners/%00"):
            reply = client.get(path)
            assert (reply.status_code, reply.json()["code"]) == (404, "no_miner")


class TestValidators:
    def test_a_row_has_the_fields_of_the_specification(self) -> None:
        client = filled(Bench(), {0: [True] * 8})
        rows = client.get("/validators").json()
        assert [row["hotkey"] for row in rows] == [key.address for key in VALIDATORS]
        assert all(set(row) == VALIDATOR_FIELDS for row in rows)
        assert [row["uid"] for row in rows] == [0, 1, 2, 3]
        assert client.get(f"/validators/{VALIDATORS[1].address}").json() == rows[1]

    def test_participation_is_the_part_of_its_own_turns(self) -> None:
        bench = Bench(rules=FederationRules(competitions=(COMPETITION,), window_tasks=8))
        # The window has the tasks 1225 to 1232, so each validator has two turns.
        client = bench.client()
        for task in (1_225, 1_229):
            send(client, sample(0, task), key=VALIDATORS[primary(task)])
        send(client, sample(0, 1_226), key=VALIDATORS[2])
        send(client, sample(0, 1_227), key=VALIDATORS[2])
        send(client, sample(0, 1_228), key=VALIDATORS[2])
        rows = {row["uid"]: row for row in client.get("/validators").json()}
        assert [rows[uid]["expected_turns"] for uid in range(4)] == [2, 2, 2, 2]
        assert [rows[uid]["tasks_sampled"] for uid in range(4)] == [0, 2, 3, 0]
        assert [rows[uid]["participation_rate"] for uid in range(4)] == [0.0, 1.0, 1.0, 0.0]

    def test_who_has_sent_something_lately_is_online(self) -> None:
        bench = Bench()
        client = bench.client()
        send(client, sample(0))
        post(client, "/miners/report", report(0), key=VALIDATORS[0])
        assert [row["online"] for row in client.get("/validators").json()] == [True, False, True, False]
        bench.clock.jump(STALE_S + 1)
        assert not any(row["online"] for row in client.get("/validators").json())

    def test_one_that_may_no_longer_write_is_still_shown(self) -> None:
        bench = Bench()
        client = filled(bench, {0: [True] * 8})
        bench.store.validators.remove(VALIDATORS[1].address)
        rows = client.get("/validators").json()
        assert [row["permissioned"] for row in rows] == [True, True, True, False]
        assert (rows[3]["hotkey"], rows[3]["uid"], rows[3]["expected_turns"]) == (VALIDATORS[1].address, None, 0)

    def test_an_unknown_validator_is_a_404(self) -> None:
        reply = Bench().client().get(f"/validators/{MINERS[0]}")
        assert (reply.status_code, reply.json()["code"]) == (404, "no_validator")


class TestScores:
    def test_a_rank_row_has_the_fields_of_the_specification(self) -> None:
        client = filled(Bench(), {0: [True] * 9 + [False], 1: [True] * 5 + [False] * 5})
        rows = client.get("/scores/rank").json()
        assert [set(row) for row in rows] == [RANK_FIELDS, RANK_FIELDS]
        # The newest two tasks do not count yet, so eight do.
        first, second = rows
        assert (first["miner_hotkey"], first["rank"], first["passed_count"]) == (MINERS[0], 1, 8)
        assert (first["pass_rate"], first["uid"], first["block"], first["eligible"]) == (1.0, 10, 5_000, True)
        # Four validators have two tasks each. The mean leaves out the highest and the lowest of 1, .5, .5 and .5.
        assert (second["rank"], second["passed_count"], second["pass_rate"]) == (2, 5, 0.5)

    def test_the_score_is_the_mean_of_the_validators_rates_as_the_profile_takes_it(self) -> None:
        # Tasks 1222 to 1225 count. Validators 2, 3, 0 and 1 have one each; the last two pass nothing.
        passes = {0: [True, True, False, False, True, True]}
        for profile, rate in ((Profile.SOUNDSRIGHT, 0.5), (Profile.CODE, 0.5)):
            bench = Bench(rules=FederationRules(profile, competitions=(COMPETITION,)))
            assert filled(bench, passes).get("/scores/rank").json()[0]["pass_rate"] == rate
        uneven = {0: [True, True, True, True, False, False, False]}  # 2, 3, 0, 1 and again 2; then two unsettled.
        for profile, rate in ((Profile.SOUNDSRIGHT, 1.0), (Profile.DOC, 0.875), (Profile.CODE, 0.8)):
            bench = Bench(rules=FederationRules(profile, competitions=(COMPETITION,)))
            assert filled(bench, uneven).get("/scores/rank").json()[0]["pass_rate"] == rate

    def test_a_miner_that_was_judged_too_rarely_is_last(self) -> None:
        client = filled(Bench(), {0: [False] * 12, 1: [True] * 4})
        rows = client.get("/scores/rank").json()
        assert [(row["miner_hotkey"], row["eligible"]) for row in rows] == [(MINERS[0], True), (MINERS[1], False)]

    def test_the_first_validator_in_the_order_of_turns_counts(self) -> None:
        bench = Bench(rules=FederationRules(competitions=(COMPETITION,), settle_margin=0))
        client = bench.client()
        task = TASK - 5
        send(client, sample(0, task, passed=False), key=VALIDATORS[primary(task + 1)])
        assert client.get("/scores/rank").json()[0]["passed_count"] == 0
        send(client, sample(0, task, passed=True), key=VALIDATORS[primary(task)])
        assert client.get("/scores/rank").json()[0]["passed_count"] == 1
        assert client.get("/scores").json() == [
            {
                "miner_hotkey": MINERS[0],
                "validator_hotkey": VALIDATORS[primary(task)].address,
                "tasks": 1,
                "passed_count": 1,
                "pass_rate": 1.0,
            }
        ]

    def test_the_numbers_behind_the_ranks(self) -> None:
        client = filled(Bench(), {0: [True] * 12, 1: [True] * 12, 2: [True] * 2})
        assert client.get("/scores/stats").json() == [
            {
                "competition": COMPETITION,
                "miners": 3,
                "eligible": 2,
                "tasks": 10,
                "first_task": TASK - 12,
                "last_task": TASK - 3,
                "validators": 4,
            }
        ]

    def test_each_competition_has_its_ranks(self) -> None:
        rules = FederationRules(competitions=(COMPETITION, "summer-2030"), settle_margin=0)
        client = Bench(rules=rules).client()
        send(client, sample(0, TASK - 3), sample(1, TASK - 3, competition="summer-2030"))
        assert [row["miner_hotkey"] for row in client.get("/scores/rank").json()] == [MINERS[0]]
        other = client.get("/scores/rank", params={"competition": "summer-2030"}).json()
        assert [row["miner_hotkey"] for row in other] == [MINERS[1]]
        reply = client.get("/scores/rank", params={"competition": "winter"})
        assert (reply.status_code, reply.json()["code"]) == (404, "no_competition")

    def test_the_weights_are_the_winners_that_a_strict_majority_names(self) -> None:
        client = Bench().client()
        for key, winner in zip(VALIDATORS, (0, 0, 1), strict=False):
            post(client, "/miners/report", report(winner=winner), key=key)
        assert client.get("/weights").json() == {
            "winners": [{"competition": COMPETITION, "hotkey": MINERS[0], "votes": 2, "reports": 3}],
            "weights": {MINERS[0]: 1.0},
        }
        post(client, "/miners/report", report(winner=1), key=VALIDATORS[3])
        assert client.get("/weights").json() == {
            "winners": [{"competition": COMPETITION, "hotkey": None, "votes": 2, "reports": 4}],
            "weights": {},
        }


class TestSamples:
    def test_the_newest_come_first_in_pages(self) -> None:
        client = Bench().client()
        send(client, *(sample(n) for n in range(3)))
        send(client, sample(4, TASK - 1), key=VALIDATORS[1])
        rows = client.get("/samples/list", params={"limit": 2}).json()
        assert [(row["number"], row["task"]) for row in rows] == [(4, TASK - 1), (3, TASK)]
        assert rows[0]["validator_hotkey"] == VALIDATORS[1].address
        rest = client.get("/samples/list", params={"limit": 500, "before": 3}).json()
        assert [row["number"] for row in rest] == [2, 1]

    def test_a_limit_above_500_is_a_422(self) -> None:
        client = Bench().client()
        for query in ("limit=501", "limit=0", "limit=-1", "limit=ten", "before=-1", f"before={2**60}", "limit=1e2"):
            reply = client.get(f"/samples/list?{query}")
            assert (reply.status_code, reply.json()["code"]) == (422, "malformed"), query

    def test_a_sample_is_shown_as_it_was_sent(self) -> None:
        client = Bench().client()
        sent = sample(3, passed=False, failures=2, means={"SI_SDR": -3.25}, uid=None)
        send(client, sent)
        row = client.get("/samples/list").json()[0]
        assert row == sent | {"number": 1, "validator_hotkey": VALIDATORS[2].address, "unprocessed": {}}

    def test_a_restarted_api_shows_the_same(self) -> None:
        bench = Bench()
        client = filled(bench, {0: [True] * 9, 1: [False] * 9})
        post(client, "/miners/report", report(0))
        paths = ["/samples/list", "/scores", "/scores/rank", "/scores/stats", "/miners/list", "/validators"]
        before = [client.get(path).json() for path in paths[:-1]]
        bench.store = bench.open()
        client = bench.client()
        assert [client.get(path).json() for path in paths[:-1]] == before
        send(client, sample(5))
        assert client.get("/samples/list").json()[0]["number"] == 19

    def test_the_oldest_tasks_are_removed(self) -> None:
        bench = Bench(kept_tasks=5)
        client = filled(bench, {0: [True] * 9})
        assert [row["task"] for row in client.get("/samples/list").json()] == [
            TASK - 4,
            TASK - 5,
            TASK - 6,
            TASK - 7,
            TASK - 8,
        ]
        assert client.get(f"/tasks/{TASK - 9}").status_code == 404
        bench.store = bench.open()
        assert len(bench.client().get("/samples/list").json()) == 5

    def test_the_clock_of_the_bench_is_the_stores(self) -> None:
        bench = Bench()
        post(bench.client(), "/miners/report", report(0))
        assert bench.store.seen_s(VALIDATORS[2].address) == NOW_S
