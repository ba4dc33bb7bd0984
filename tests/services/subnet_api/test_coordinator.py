"""The coordinator decides who may submit and when, what validators read, and which round it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.adapters.state.records import SqlRecords
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import ChainUnavailable, InfrastructureFault, RequestRefused, StateUnavailable
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.images import SubmittedImage, submitted_image
from soundsright.services.subnet_api.coordinator import CoolingDown
from soundsright.services.subnet_api.submissions import STREAM, SubmissionLog
from soundsright.testing import MemoryRecords
from tests.adapters.state import postgres
from tests.adapters.state.postgres import SQL
from tests.services.subnet_api.subnet_bench import (
    ALICE,
    BOB,
    CORPUS,
    OWNER,
    RUNNER,
    START_S,
    STRANGER,
    VICTOR,
    Bench,
    bench,
    image,
)


def submit(on: Bench, digit: str = "0", hotkey: str = ALICE.address) -> object:
    return on.coordinator.submit(hotkey, hotkey, str(image(digit)))


def listed(on: Bench) -> list[SubmittedImage]:
    return [submitted_image(row) for row in json.loads(on.coordinator.submissions(VICTOR.address).body)]


def later(on: Bench, seconds: float) -> None:
    """Let time pass, in which the coordinator reads the chain as always."""
    on.clock.jump(seconds)
    on.coordinator.tick()


def refused_code(call: object, *arguments: object) -> str:
    with pytest.raises(RequestRefused) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.code


def test_the_worked_example_of_the_cool_down() -> None:
    on = bench()
    submit(on)
    later(on, 345_599)
    with pytest.raises(CoolingDown, match="in 1 s") as caught:
        submit(on, "1")
    assert (caught.value.status, caught.value.wait_s) == (429, 1)
    assert caught.value.standing.submission == SubmittedImage(1_000_000, ALICE.address, image("0"))
    later(on, 1)
    submit(on, "1")
    assert [one.image for one in listed(on)] == [image("1")]


def test_rule_1_is_checked_in_its_order() -> None:
    on = bench()
    submit(on)
    ask = on.coordinator.submit
    assert refused_code(ask, STRANGER.address, ALICE.address, "lab/gate:latest") == "bad_image_ref"
    assert refused_code(ask, STRANGER.address, ALICE.address, str(image("1"))) == "wrong_hotkey"
    assert refused_code(ask, STRANGER.address, STRANGER.address, str(image("1"))) == "not_registered"
    assert refused_code(ask, ALICE.address, ALICE.address, str(image("1"))) == "cooldown"
    assert len(listed(on)) == 1


def test_the_same_image_stands_and_is_not_submitted_again() -> None:
    on = bench()
    first = on.coordinator.submit(ALICE.address, ALICE.address, str(image()))
    on.clock.jump(30)
    again = on.coordinator.submit(ALICE.address, ALICE.address, str(image()))
    assert again == replace(first, is_new=False)
    # The same digest under another name is another submission: it may be fetched from elsewhere.
    moved = str(image(name="mirror/gate"))
    assert refused_code(on.coordinator.submit, ALICE.address, ALICE.address, moved) == "cooldown"


def test_a_hotkey_cannot_submit_twice_in_one_second_even_without_a_cool_down() -> None:
    on = bench(rules=ExecutorRules(cooldown_s=0))
    submit(on)
    with pytest.raises(CoolingDown, match="in 1 s"):
        submit(on, "1")
    on.clock.jump(1)
    submit(on, "1")


def test_the_list_has_present_uids_and_no_hotkey_that_left() -> None:
    on = bench()
    submit(on, "0", BOB.address)
    on.clock.jump(5)
    submit(on, "1")
    assert [(one.hotkey, one.uid) for one in listed(on)] == [(BOB.address, 1), (ALICE.address, 0)]
    del on.chain.neurons[BOB.address]
    on.chain.neurons[ALICE.address] = replace(on.chain.neurons[ALICE.address], uid=9)
    on.coordinator.tick()
    assert [(one.hotkey, one.uid) for one in listed(on)] == [(ALICE.address, 9)]


def test_a_restarted_coordinator_knows_the_submissions() -> None:
    first = bench()
    submit(first)
    second = bench(first.records)
    assert listed(second) == listed(first)
    with pytest.raises(CoolingDown):
        submit(second, "1")


def test_a_chain_that_cannot_be_read_is_an_error_and_never_an_empty_list() -> None:
    on = bench()
    submit(on)
    on.chain.is_away = True
    with pytest.raises(ChainUnavailable):
        on.coordinator.tick()
    assert len(listed(on)) == 1  # It was read a moment ago.
    on.clock.jump(61)
    with pytest.raises(ChainUnavailable, match="not read the chain for a minute"):
        submit(on, "1")
    for read in (on.coordinator.submissions, on.coordinator.challenge, on.coordinator.burn_ratio):
        with pytest.raises(ChainUnavailable, match="not read the chain for a minute"):
            read(VICTOR.address)


def test_the_loop_reports_a_chain_that_is_away_and_that_it_answers_again() -> None:
    on = bench(poll_s=0.001)
    on.chain.is_away = True
    stop = threading.Event()
    thread = threading.Thread(target=on.coordinator.run, args=[stop])
    thread.start()
    for is_away in (True, False):
        on.chain.is_away = is_away
        wanted = threading.Event()
        for _ in range(2_000):
            if ("chain" in on.health.problems()) is is_away and "start" not in on.health.problems():
                wanted.set()
                break
            stop.wait(0.005)
        assert wanted.is_set(), is_away
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_no_submission_is_accepted_while_the_clock_is_wrong() -> None:
    on = bench()
    on.chain.offset_s = 11.0
    on.coordinator.tick()
    with pytest.raises(InfrastructureFault, match="clock"):
        submit(on)
    assert "11 s behind" in on.health.problems()["clock"]
    on.chain.offset_s = 9.0
    on.coordinator.tick()
    submit(on)
    assert "clock" not in on.health.problems()


def test_the_round_follows_from_the_final_block() -> None:
    on = bench()
    found = on.coordinator.challenge(VICTOR.address)
    assert (found.round_id, found.seed_block) == ("images-360", 360)
    assert found.block_hash == f"0x{360:064x}"
    assert (found.competition_id, found.clips, found.corpus_digest) == (PUBLISHED[2].id, 42, CORPUS)
    on.chain.finalized_block = 540
    on.coordinator.tick()
    assert on.coordinator.challenge(VICTOR.address).block_hash == f"0x{540:064x}"


def test_there_is_no_round_before_the_first_seed_is_final() -> None:
    on = bench()
    on.chain.finalized_block = 179
    on.coordinator.tick()
    with pytest.raises(RequestRefused, match="block 180 is final") as caught:
        on.coordinator.challenge(OWNER.address)
    assert (caught.value.code, caught.value.status) == ("not_final", 409)


def test_validators_read_all_and_executors_only_the_round() -> None:
    on = bench(burn_ratio=0.3)
    assert on.coordinator.burn_ratio(VICTOR.address) == 0.3
    for executor in (OWNER.address, RUNNER.address):
        assert on.coordinator.challenge(executor).seed_block == 360
        assert refused_code(on.coordinator.submissions, executor) == "no_permit"
        assert refused_code(on.coordinator.burn_ratio, executor) == "no_permit"
    for call in (on.coordinator.submissions, on.coordinator.challenge, on.coordinator.burn_ratio):
        assert refused_code(call, ALICE.address) == "no_permit"


def test_named_validators_replace_those_with_a_permit() -> None:
    on = bench(validators=frozenset({BOB.address}))
    assert on.coordinator.burn_ratio(BOB.address) == 0.0
    assert refused_code(on.coordinator.burn_ratio, VICTOR.address) == "no_permit"


def test_a_strange_record_is_not_passed_over() -> None:
    records = MemoryRecords()
    records.append(
        STREAM, f"{ALICE.address}:0", {"hotkey": BOB.address, "image_ref": str(image()), "submit_time": 5}
    )
    with pytest.raises(StateUnavailable, match="not a submission"):
        SubmissionLog(records).standing()


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres.server_or_skip() as url:
        yield url


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'coordinator.db'}"


def test_of_submissions_at_once_exactly_one_is_accepted(url: str) -> None:
    # Each thread has its own coordinator, as if they were processes that share the database.
    databases = [SqlRecords(url, scope="coordinator") for _ in range(6)]
    coordinators = [bench(database) for database in databases]
    together = threading.Barrier(len(coordinators))

    def attempt(number: int) -> str:
        together.wait(10)
        try:
            submit(coordinators[number], str(number))
        except CoolingDown as error:
            return f"cooling {error.standing.submission.image}"
        return f"accepted {image(str(number))}"

    try:
        with ThreadPoolExecutor(len(coordinators)) as pool:
            outcomes = list(pool.map(attempt, range(len(coordinators))))
        (winner,) = [text.removeprefix("accepted ") for text in outcomes if text.startswith("accepted")]
        assert sorted(outcomes) == sorted([f"accepted {winner}"] + [f"cooling {winner}"] * 5)
        assert [str(one.image) for one in listed(coordinators[0])] == [winner]
        # Another scope of the same database has none of them.
        other = SqlRecords.beside(databases[0], scope="executor")
        assert SubmissionLog(other).standing() == (0, {})
    finally:
        for database in databases:
            database.close()


def test_the_time_of_a_submission_is_in_whole_seconds() -> None:
    on = bench()
    on.clock.jump(0.9)
    submit(on)
    assert listed(on)[0].submitted_s == int(START_S)
