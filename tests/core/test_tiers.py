"""The types of served models: what they refuse from strangers, and what they read back."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from soundsright.core.tiers import (
    MAX_MODEL_ANSWER_BYTES,
    Attempt,
    AttemptKind,
    AttemptResult,
    ServedModel,
    Standing,
    attempt_of,
    served_model,
    standing_of,
)

OFFER = ServedModel("5F3s", "lab/gate@" + "0" * 40, "DENOISING_16000HZ", 16_000, 30.0, 2, True, 12.5)
ATTEMPT = Attempt(7, 42, "5F3s", AttemptKind.CHALLENGE, 3, AttemptResult.SIMILAR, 21.5, "a" * 64, "b" * 64, 2.5)
STANDING = Standing("5F3s", "Gold", "Master", 40, 39, 1_039, 0.4, 3, 720)


def test_an_offer_is_read_as_it_was_written() -> None:
    assert served_model(OFFER.json) == OFFER
    assert OFFER.frame_samples == 320


def test_a_prover_that_does_not_speak_of_streams_has_none() -> None:
    facts = json.loads(OFFER.json)
    del facts["streaming"], facts["lookahead_ms"]
    facts["later"] = {"field": 1}
    read = served_model(json.dumps(facts).encode())
    assert not read.streaming
    assert read.lookahead_ms == 0


@pytest.mark.parametrize(
    "change",
    [
        {"hotkey": ""},
        {"hotkey": "5F3s\nX-Other: 1"},
        {"hotkey": None},
        {"model": "x" * 1_001},
        {"model": ["lab"]},
        {"competition": "../../etc"},
        {"competition": 5},
        {"sample_rate_hz": 44_100},
        {"sample_rate_hz": 16_000.0},
        {"sample_rate_hz": True},
        {"max_audio_s": 0},
        {"max_audio_s": 1e9},
        {"max_audio_s": True},
        {"max_audio_s": "30"},
        {"slots": 0},
        {"slots": 10**400},
        {"slots": 1.5},
        {"streaming": 1},
        {"streaming": None},
        {"lookahead_ms": -1},
    ],
)
def test_an_offer_with_a_value_out_of_bounds_is_refused_with_one_short_sentence(change: dict[str, Any]) -> None:
    facts = json.loads(OFFER.json) | change
    with pytest.raises(ValueError, match=next(iter(change))) as refusal:
        served_model(json.dumps(facts).encode())
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b'{"slots":NaN}',
        b'{"slots":1,"slots":2}',
        b"[" * 2_000,
        OFFER.json[:-1] + b',"more":' + b"[" * 8 + b"]" * 8 + b"}",
        OFFER.json + b" " * MAX_MODEL_ANSWER_BYTES,
    ],
)
def test_bytes_that_are_no_offer_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"answer|it|values|key"):
        served_model(body)


def test_only_two_results_are_successes() -> None:
    assert [result for result in AttemptResult if result.passed] == [AttemptResult.HASH, AttemptResult.SIMILAR]


def test_attempts_and_standings_are_read_back_from_json() -> None:
    assert attempt_of(json.loads(json.dumps(ATTEMPT.facts()))) == ATTEMPT
    assert standing_of(json.loads(json.dumps(STANDING.facts()))) == STANDING
    assert ATTEMPT.once == "i7:42"


@pytest.mark.parametrize(
    "change",
    [
        {"time_s": math.nan},
        {"time_s": -1.0},
        {"queued_s": math.inf},
        {"busy_s": 1e300},
        {"agreement_db": math.inf},
        {"expected_sha256": ""},
        {"answer_sha256": "B" * 64},
        {"number": -1},
        {"clip": True},
        {"hotkey": "5 F"},
    ],
)
def test_an_attempt_refuses_values_that_no_clock_or_digest_gives(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(ATTEMPT, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"successes_since_move": 41},
        {"score": math.nan},
        {"tier": ""},
        {"peak": ""},
        {"uid": -1},
        {"moved_block": 1.0},
    ],
)
def test_a_standing_refuses_values_that_no_interval_gives(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is|are"):
        replace(STANDING, **change)


def test_facts_with_a_field_too_many_or_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="other"):
        attempt_of(ATTEMPT.facts() | {"other": 1})
    with pytest.raises(ValueError, match="score"):
        standing_of({name: value for name, value in STANDING.facts().items() if name != "score"})
    with pytest.raises(ValueError, match="guess"):
        attempt_of(ATTEMPT.facts() | {"kind": "guess"})
