"""The recorded steps of a bundle show nothing that pages hide."""

from __future__ import annotations

from typing import Any

import pytest

from soundsright.services.records.corpus_words import WITHHELD
from soundsright.services.records.round_steps import STEP_ORDER, shown_steps
from soundsright.services.rounds import steps

KEY = "f" * 64
ENTRY: dict[str, Any] = {
    "uid": 1,
    "hotkey": "alice",
    "competition": "DENOISING_16000HZ",
    "model": ["alice", "model", "0" * 40],
    "block": 7,
    "content": "c" * 64,
    "key": KEY,
}
FAULT = {"code": "crashed", "detail": "it said hello", "log": "the model's log"}
RECORDED: dict[str, dict[str, Any]] = {
    "entries": {"version": 1, "submissions": [ENTRY], "refusals": [], "neurons": {"1": ["alice", 3]}},
    "seed": {"version": 1, "block": 9, "hash": "0xab"},
    "enhanced:1-alice:000001": {"version": 1, "enhance_s": 2.5, "score_s": 1.0, "fault": FAULT},
    "reveal:alice:0": {"version": 1, "model": ["alice", "model", "0" * 40], "competition": "C", "salt": "5" * 32},
    "feedback": {"version": 1, "envelopes": {"alice": "0" * 64}},
}


@pytest.mark.parametrize("private", [False, True])
def test_keys_logs_times_and_the_exchange_with_miners_stay_out(private: bool) -> None:
    lines = shown_steps("r1", RECORDED, {"DENOISING_16000HZ"} if private else set())
    text = str(lines)
    assert [line["step"] for line in lines] == ["seed", "entries", "enhanced:1-alice:000001"]
    assert KEY not in text
    assert FAULT["log"] not in text
    assert "2.5" not in text
    assert (FAULT["detail"] in text) is not private
    assert (WITHHELD in text) is private
    assert lines[1]["withheld"] == ["submissions.alice.key"]
    assert RECORDED["entries"]["submissions"][0]["key"] == KEY, "the state is not changed"


def test_every_step_of_a_round_has_a_place() -> None:
    """A new kind of step is shown or hidden by decision."""
    own = {"collected", "weights_set", "feedback", "finished", "bundle", "committed", "logged", "reveal"}
    own |= {"delivered"}
    assert set(steps._RECORDS) == set(STEP_ORDER) | own
