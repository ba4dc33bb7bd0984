"""Every board of submissions keeps this contract: the coordinator over HTTP, and the fake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import pytest

from soundsright.adapters.executors.submission_board import HttpSubmissionBoard
from soundsright.adapters.peers.auth import RequestGate
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.errors import RequestRefused
from soundsright.core.images import SubmittedImage
from soundsright.core.ports import SubmissionBoard
from soundsright.services.http.answers import sign_answers
from soundsright.services.http.requests import HttpService, listening
from soundsright.services.subnet_api.api import subnet_app
from soundsright.testing import FakeBoard, VirtualClock
from tests.services.subnet_api.subnet_bench import ALICE, BOB, OWNER, START_S, STRANGER, VICTOR, bench, image


@dataclass
class Boards:
    """A board with alice, bob and the validator victor on it. `client` is the board as a hotkey sees it.

    `wait` lets seconds pass, and `begin` the first round begin.
    """

    client: Callable[[Hotkey], SubmissionBoard]
    wait: Callable[[float], None]
    begin: Callable[[], None]


def http_boards() -> Iterator[Boards]:
    on = bench(burn_ratio=0.3)
    on.chain.finalized_block = 100
    on.coordinator.tick()
    gate = RequestGate(OWNER.address)
    app = subnet_app(on.coordinator, admit=gate.admit, admit_read=gate.admit_read, throttle=lambda _client: None)
    sign_answers(app, OWNER.sign)
    sock = listening("127.0.0.1", 0, host_variable="HOST", port_variable="PORT")

    def wait(seconds: float) -> None:
        on.clock.jump(seconds)
        on.coordinator.tick()

    def begin() -> None:
        on.chain.finalized_block = 400
        on.coordinator.tick()

    with closing(HttpService(app, sock, name="subnet").start()) as service:
        url = f"http://127.0.0.1:{service.port}"
        yield Boards(lambda account: HttpSubmissionBoard(url, OWNER.address, account), wait, begin)


def fake_boards() -> Iterator[Boards]:
    clock = VirtualClock(START_S)
    board = FakeBoard(clock, {ALICE.address: 0, BOB.address: 1, VICTOR.address: 2}, ratio=0.3)

    def begin() -> None:
        board.challenge = bench().coordinator.challenge(VICTOR.address)

    yield Boards(lambda account: board.client(account.address), clock.jump, begin)


@pytest.fixture(params=[http_boards, fake_boards], ids=["http", "fake"])
def boards(request: pytest.FixtureRequest) -> Iterator[Boards]:
    yield from request.param()


def test_an_image_is_submitted_once_and_then_stands(boards: Boards) -> None:
    board = boards.client(ALICE)
    first = board.submit(image())
    assert first.submission == SubmittedImage(int(START_S), ALICE.address, image())
    assert (first.submission_id, first.next_allowed_s, first.is_new) == (
        first.submission.entry_id,
        1_345_600,
        True,
    )
    boards.wait(9)
    assert board.submit(image()) == replace(first, is_new=False)


def test_another_image_waits_for_the_end_of_the_cool_down(boards: Boards) -> None:
    board = boards.client(ALICE)
    board.submit(image())
    boards.wait(345_599)
    with pytest.raises(RequestRefused) as caught:
        board.submit(image("1"))
    assert (caught.value.code, caught.value.status) == ("cooldown", 429)
    boards.wait(1)
    assert board.submit(image("1")).is_new
    assert [one.image for one in boards.client(VICTOR).submissions()] == [image("1")]


def test_a_hotkey_that_is_not_registered_is_refused(boards: Boards) -> None:
    with pytest.raises(RequestRefused) as caught:
        boards.client(STRANGER).submit(image())
    assert caught.value.code == "not_registered"


def test_a_reader_sees_every_new_submission_with_its_uid(boards: Boards) -> None:
    reader = boards.client(VICTOR)
    assert reader.submissions() == reader.submissions() == ()
    boards.client(BOB).submit(image("1"))
    boards.wait(3)
    boards.client(ALICE).submit(image())
    for _ in range(2):
        listed = reader.submissions()
        assert [(one.hotkey, one.uid) for one in listed] == [(BOB.address, 1), (ALICE.address, 0)]


def test_the_round_is_read_once_its_seed_is_final(boards: Boards) -> None:
    board = boards.client(VICTOR)
    with pytest.raises(RequestRefused) as caught:
        board.challenge()
    assert (caught.value.code, caught.value.status) == ("not_final", 409)
    boards.begin()
    assert board.challenge() == bench().coordinator.challenge(VICTOR.address)


def test_the_burn_ratio_is_read(boards: Boards) -> None:
    assert boards.client(VICTOR).burn_ratio() == 0.3
