"""The client of the coordinator trusts no answer that is unsigned, too large or of another form."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from soundsright.adapters.executors.submission_board import HttpSubmissionBoard
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.errors import PeerUnavailable, RequestRefused
from soundsright.core.signed_http import ANSWER_HEADER, answer_text
from soundsright.core.sources import ImageRef

OWNER, VICTOR, MALLORY = (Hotkey.of_seed(name) for name in ("owner", "victor", "mallory"))
IMAGE = ImageRef("lab/gate", "0" * 64)
ROW = {"hotkey": VICTOR.address, "image_ref": str(IMAGE), "submit_time": 7, "uid": 3}
ROUND = {
    "round": "images-360",
    "seed_block": 360,
    "block_hash": "0x" + "a" * 64,
    "competition": "DENOISING_16000HZ",
    "clips": 42,
    "corpus_digest": "c" * 64,
}


@dataclass
class Answers:
    """A server's next answers. `signer` signs them; with None they have no signature."""

    url: str = ""
    status: int = 200
    body: bytes = b"[]"
    etag: str = ""
    signer: Hotkey | None = OWNER
    requests: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def give(self, values: Any, *, status: int = 200, etag: str = "") -> None:
        self.body = values if isinstance(values, bytes) else json.dumps(values).encode()
        self.status, self.etag = status, etag


@pytest.fixture
def answers() -> Iterator[Answers]:
    given = Answers()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            given.requests.append({name.lower(): value for name, value in self.headers.items()})
            given.paths.append(self.path)
            body = b"" if given.status == 304 else given.body
            self.send_response(given.status)
            self.send_header("Content-Length", str(len(body)))
            if given.etag:
                self.send_header("ETag", given.etag)
            if given.signer is not None:
                nonce = int(self.headers["X-Bittensor-Nonce"])
                text = answer_text(nonce, self.headers["X-Bittensor-Hotkey"], given.status, body)
                self.send_header(ANSWER_HEADER, "0x" + given.signer.sign(text).hex())
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *_arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        given.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield given
        server.shutdown()
        thread.join()


@pytest.fixture
def board(answers: Answers) -> HttpSubmissionBoard:
    return HttpSubmissionBoard(answers.url, OWNER.address, VICTOR, timeout_s=5.0)


def test_a_list_is_asked_for_by_its_tag_and_kept(answers: Answers, board: HttpSubmissionBoard) -> None:
    answers.give([ROW], etag='"one"')
    listed = board.submissions()
    answers.give(b"", status=304)
    assert board.submissions() == listed
    answers.give([], etag='"two"')
    assert board.submissions() == ()
    answers.give([])
    board.submissions()
    board.submissions()
    assert [sent.get("if-none-match") for sent in answers.requests] == [None, '"one"', '"one"', '"two"', None]
    # The path is signed and the header is not, so the path names the version too.
    known = [path.partition("?known=")[2] for path in answers.paths]
    assert known == ["", "one", "one", "two", ""]


def test_unchanged_without_a_kept_list_is_no_list(answers: Answers, board: HttpSubmissionBoard) -> None:
    answers.give(b"", status=304)
    with pytest.raises(PeerUnavailable) as caught:
        board.submissions()
    assert caught.value.code == "no_cache"


def test_a_failed_read_does_not_lose_the_kept_list(answers: Answers, board: HttpSubmissionBoard) -> None:
    answers.give([ROW], etag='"one"')
    listed = board.submissions()
    answers.give([ROW, ROW], etag='"two"')
    with pytest.raises(PeerUnavailable):
        board.submissions()
    answers.give(b"", status=304)
    assert board.submissions() == listed


@pytest.mark.parametrize("signer", [None, MALLORY], ids=["unsigned", "signed-by-another"])
def test_an_answer_that_the_coordinator_did_not_sign_does_not_count(
    answers: Answers, board: HttpSubmissionBoard, signer: Hotkey | None
) -> None:
    answers.signer = signer
    answers.give({"burn_ratio": 1.0})
    with pytest.raises(PeerUnavailable, match="did not sign that") as caught:
        board.burn_ratio()
    assert caught.value.code == "unsigned_answer"
    # A refusal before the check of the signature is unsigned too. Its code helps the operator.
    answers.give({"code": "stale", "sentence": "Set both clocks"}, status=401)
    with pytest.raises(PeerUnavailable, match=r"401 \(stale: Set both clocks\)"):
        board.burn_ratio()


@pytest.mark.parametrize(
    "values",
    [
        b"no JSON",
        b"[" * 100_000,
        {},
        [{**ROW, "uid": None}],
        [{key: value for key, value in ROW.items() if key != "uid"}],
        [{**ROW, "image_ref": "lab/gate:latest"}],
        [{**ROW, "submit_time": 7.5}],
        [{**ROW, "score": 1}],
        [ROW, {**ROW, "uid": 4}],
        [ROW, {**ROW, "hotkey": OWNER.address}],
        [{**ROW, "hotkey": "5F", "uid": number % 65_536} for number in range(4_097)],
        b"[" + b" " * 2_200_000 + b"]",
    ],
)
def test_a_malformed_list_is_refused(answers: Answers, board: HttpSubmissionBoard, values: Any) -> None:
    answers.give(values)
    with pytest.raises(PeerUnavailable):
        board.submissions()


@pytest.mark.parametrize("value", [-0.1, 1.1, True, "0.5", None, float("nan")])
def test_a_malformed_burn_ratio_is_refused(answers: Answers, board: HttpSubmissionBoard, value: object) -> None:
    answers.give({"burn_ratio": value})
    with pytest.raises(PeerUnavailable, match="another form"):
        board.burn_ratio()


@pytest.mark.parametrize("change", [{"clips": 0}, {"block_hash": "0x1"}, {"seed": 5}, {"round": "../x"}])
def test_a_malformed_round_is_refused(
    answers: Answers, board: HttpSubmissionBoard, change: dict[str, object]
) -> None:
    answers.give(ROUND)
    assert board.challenge().facts() == ROUND
    answers.give(ROUND | change)
    with pytest.raises(PeerUnavailable, match="another form"):
        board.challenge()


@pytest.mark.parametrize(
    "change", [{"hotkey": OWNER.address}, {"image_ref": f"lab/other@sha256:{'0' * 64}"}, {"next_allowed_at": -1}]
)
def test_an_answer_about_another_submission_is_refused(
    answers: Answers, board: HttpSubmissionBoard, change: dict[str, object]
) -> None:
    row = {key: value for key, value in ROW.items() if key != "uid"}
    right = row | {"submission_id": "one", "next_allowed_at": 9}
    answers.give(right, status=201)
    assert board.submit(IMAGE).is_new
    answers.give(right | change, status=201)
    with pytest.raises(PeerUnavailable, match="another form"):
        board.submit(IMAGE)


def test_a_refusal_has_its_code_and_a_fault_is_no_refusal(answers: Answers, board: HttpSubmissionBoard) -> None:
    answers.give({"code": "cooldown", "sentence": "Wait\x1b[2J", "standing": {}}, status=429)
    with pytest.raises(RequestRefused, match=r"Wait\\x1b\[2J") as caught:
        board.submit(IMAGE)
    assert (caught.value.code, caught.value.status) == ("cooldown", 429)
    for status, values in ((503, {"code": "unavailable", "sentence": "Later"}), (404, []), (302, {})):
        answers.give(values, status=status)
        with pytest.raises(PeerUnavailable, match=str(status)):
            board.challenge()
