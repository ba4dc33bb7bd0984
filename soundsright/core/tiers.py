"""Served models: what a prover says about itself, an attempt at asking it, and where it stands in the tiers.

Times are in seconds, agreements of errors in dB, blocks and attempts counted. Digests are 64 hex digits of a
SHA-256. A tier has a name; the organiser's rules give it its numbers.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.core.competition import SAMPLE_RATES_HZ, is_competition_name
from soundsright.core.strict_json import strict_json

CHALLENGE_SCHEMA = "soundsright.challenge/1"
INFERENCE_SCHEMA = "soundsright.inference/1"
MODEL_STREAM_PROTOCOL = "soundsright-stream/1"
"""The protocol that the harness and a model switch to for a stream."""
STREAM_FRAME_MS = 20
"""The length of a frame of a stream, whose samples are 16-bit little-endian integers of one channel."""

MAX_MODEL_ANSWER_BYTES = 4_096
"""The most bytes that a prover's answer about its model may have."""
MAX_AUDIO_S = 3_600.0
"""The longest recording that a prover may offer to take."""
MAX_SLOTS = 1_024
MAX_LOOKAHEAD_MS = 10_000.0

BANKS_STREAM = "tiers.banks"
MOVES_STREAM = "tiers.moves"
FAILURES_STREAM = "tiers.failures"
INTERVALS_STREAM = "tiers.intervals"

_REQUEST_ID_BYTES = 16
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ADDRESS = re.compile(r"[!-~]{1,100}")
_MARK = re.compile(r"[!-~]{1,1000}")
_MAX_TIME_S = 1e6
_MAX_AGREEMENT_DB = 1_000.0


def lookahead_frames(lookahead_ms: float) -> int:
    """The whole frames by which the answer to a stream lags.

    >>> lookahead_frames(0), lookahead_frames(32), lookahead_frames(40)
    (0, 2, 2)
    """
    return math.ceil(lookahead_ms / STREAM_FRAME_MS)


class AttemptKind(StrEnum):
    """The two kinds of request, which a prover cannot tell apart by sender, size or time."""

    CHALLENGE = "challenge"
    INFERENCE = "inference"


class AttemptResult(StrEnum):
    """The reason why an answer passed or failed. The first that holds counts, in the order of the failures.

    `HASH` and `SIMILAR` pass. `SILENT`: no answer in time. `STATUS`: another status than 200. `TOO_LARGE`: more
    bytes than the answer can have. `UNSIGNED`: the prover's hotkey did not sign it. `FORMAT`: not a mono 16-bit WAV
    of that rate. `LENGTH`: another number of samples. `GAIN`: louder or quieter. `DIFFERENT`: another model's.
    """

    HASH = "hash"
    SIMILAR = "similar"
    SILENT = "silent"
    STATUS = "status"
    TOO_LARGE = "too_large"
    UNSIGNED = "unsigned"
    FORMAT = "format"
    LENGTH = "length"
    GAIN = "gain"
    DIFFERENT = "different"

    @property
    def passed(self) -> bool:
        """Whether the attempt is a success."""
        return self in (AttemptResult.HASH, AttemptResult.SIMILAR)


class CountName(StrEnum):
    """The counters of a prover, in the scope `stats_scope(hotkey)`. All but `TOTAL_SUCCESSES` begin again at 0."""

    CHALLENGE_ATTEMPTS = "challenge_attempts"
    CHALLENGE_SUCCESSES = "challenge_successes"
    INFERENCE_ATTEMPTS = "inference_attempts"
    INFERENCE_SUCCESSES = "inference_successes"
    TOTAL_INTERVAL_SUCCESSES = "total_interval_successes"
    TOTAL_SUCCESSES = "total_successes"
    REQUESTS = "requests"


def stats_scope(hotkey: str) -> str:
    """The scope of a prover's counters.

    >>> stats_scope("5F3s")
    'stats:5F3s'
    """
    return f"stats:{hotkey}"


def new_request_id() -> str:
    """An id for a question to a prover. Those of verifiers and of listeners look alike."""
    return secrets.token_hex(_REQUEST_ID_BYTES)


@dataclass(frozen=True)
class ServedModel:
    """A prover's answer to `GET /v1/model`.

    `model` is the full name of the source that it committed to. It takes recordings of up to `max_audio_s` at one
    rate, and answers `slots` requests at a time. With `streaming` it also takes live audio, whose answer lags by
    `lookahead_ms`.

    Raises:
        ValueError: a value has another form or is outside its bounds.
    """

    hotkey: str
    model: str
    competition: str
    sample_rate_hz: int
    max_audio_s: float
    slots: int
    streaming: bool = False
    lookahead_ms: float = 0.0

    def __post_init__(self) -> None:
        _check_text(_ADDRESS, hotkey=self.hotkey)
        _check_text(_MARK, model=self.model)
        if not isinstance(self.competition, str) or not is_competition_name(self.competition):
            raise ValueError(f"competition is {_short(self.competition)}, not a name of a competition")
        if type(self.sample_rate_hz) is not int or self.sample_rate_hz not in SAMPLE_RATES_HZ:
            rates = " or ".join(map(str, SAMPLE_RATES_HZ))
            raise ValueError(f"sample_rate_hz is {_short(self.sample_rate_hz)}, not {rates}")
        _check_count("slots", self.slots, 1, MAX_SLOTS)
        _check_number("max_audio_s", self.max_audio_s, MAX_AUDIO_S)
        _check_number("lookahead_ms", self.lookahead_ms, MAX_LOOKAHEAD_MS)
        if self.max_audio_s <= 0:
            raise ValueError("max_audio_s is 0, which is no recording")
        if type(self.streaming) is not bool:
            raise ValueError(f"streaming is {_short(self.streaming)}, not true or false")

    @property
    def frame_samples(self) -> int:
        """The number of samples in a frame of a stream."""
        return self.sample_rate_hz * STREAM_FRAME_MS // 1_000

    @property
    def json(self) -> bytes:
        """The body of the answer; `served_model` reads it."""
        return canonical_json(asdict(self)).encode()


def served_model(body: bytes) -> ServedModel:
    """The model in an answer to `GET /v1/model`. A prover that does not speak of streams has none.

    Fields that this version does not know are ignored, so that a later one can add some.

    Raises:
        ValueError: the answer is too large, not strict JSON, or lacks a field, or a value has another form.

    >>> offer = ServedModel("5F3s", "lab/gate@" + "0" * 40, "DENOISING_16000HZ", 16_000, 30.0, 1)
    >>> served_model(offer.json) == offer
    True
    """
    if len(body) > MAX_MODEL_ANSWER_BYTES:
        raise ValueError(f"the answer has {len(body)} bytes, more than {MAX_MODEL_ANSWER_BYTES}")
    values = strict_json(body, max_depth=4)
    if not isinstance(values, dict):
        raise ValueError("the answer is not a JSON object")
    names = [item.name for item in fields(ServedModel)]
    missing = [name for name in names[:-2] if name not in values]
    if missing:
        raise ValueError(f"the answer lacks {', '.join(missing)}")
    return ServedModel(**{name: values[name] for name in names if name in values})


@dataclass(frozen=True)
class Attempt:
    """One request to a prover and how it ended.

    It is attempt `number` of the interval, with clip number `clip` of the prover's bank. `agreement_db` is the
    agreement of errors, None where the answer had none. `expected_sha256` is the digest of the verifier's own
    answer, `answer_sha256` of the prover's; empty without a readable one. `time_s` is the verifier's clock;
    `queued_s` and `busy_s` are what the prover said, 0 without an answer.

    Raises:
        ValueError: a number is negative, not finite or too large, or a text has another form.
    """

    interval: int
    number: int
    hotkey: str
    kind: AttemptKind
    clip: int
    result: AttemptResult
    agreement_db: float | None
    expected_sha256: str
    answer_sha256: str
    time_s: float
    queued_s: float = 0.0
    busy_s: float = 0.0

    def __post_init__(self) -> None:
        _check_text(_ADDRESS, hotkey=self.hotkey)
        for name in ("interval", "number", "clip"):
            _check_count(name, getattr(self, name))
        for name in ("time_s", "queued_s", "busy_s"):
            _check_number(name, getattr(self, name), _MAX_TIME_S)
        if self.agreement_db is not None:
            _check_number("agreement_db", self.agreement_db, _MAX_AGREEMENT_DB, -_MAX_AGREEMENT_DB)
        _check_text(_DIGEST, expected_sha256=self.expected_sha256)
        if self.answer_sha256 != "":
            _check_text(_DIGEST, answer_sha256=self.answer_sha256)

    @property
    def once(self) -> str:
        """The key under which the attempt is counted at most once."""
        return f"i{self.interval}:{self.number}"

    def facts(self) -> dict[str, Any]:
        """The attempt as plain values; `attempt_of` reads them."""
        return asdict(self) | {"kind": self.kind.value, "result": self.result.value}


def attempt_of(facts: Mapping[str, Any]) -> Attempt:
    """The attempt that `facts` describe.

    Raises:
        ValueError: a field is missing or unknown, or has another form.
    """
    values = _values(Attempt, facts)
    return Attempt(**values | {"kind": AttemptKind(values["kind"]), "result": AttemptResult(values["result"])})


@dataclass(frozen=True)
class Standing:
    """A prover's place. `peak` is the highest tier it ever had; None before its first move up.

    The attempts and successes are those since its last move, in the block `moved_block`. `total_successes` counts
    all it ever had. `score` is the moving average of its rewards, and `uid` its place in the subnet.

    Raises:
        ValueError: a number is negative, not finite or too large, there are more successes than attempts, or a text
            has another form.
    """

    hotkey: str
    tier: str
    peak: str | None = None
    attempts_since_move: int = 0
    successes_since_move: int = 0
    total_successes: int = 0
    score: float = 0.0
    uid: int = 0
    moved_block: int = 0

    def __post_init__(self) -> None:
        _check_text(_ADDRESS, hotkey=self.hotkey, tier=self.tier)
        if self.peak is not None:
            _check_text(_ADDRESS, peak=self.peak)
        for name in ("attempts_since_move", "successes_since_move", "total_successes", "uid", "moved_block"):
            _check_count(name, getattr(self, name))
        if self.successes_since_move > self.attempts_since_move:
            raise ValueError(
                f"{self.successes_since_move} successes are more than {self.attempts_since_move} attempts"
            )
        _check_number("score", self.score, _MAX_AGREEMENT_DB, -_MAX_AGREEMENT_DB)

    def facts(self) -> dict[str, Any]:
        """The standing as plain values; `standing_of` reads them."""
        return asdict(self)


def standing_of(facts: Mapping[str, Any]) -> Standing:
    """The standing that `facts` describe.

    Raises:
        ValueError: a field is missing or unknown, or has another form.
    """
    return Standing(**_values(Standing, facts))


def _values(kind: type[Attempt] | type[Standing], facts: Mapping[str, Any]) -> dict[str, Any]:
    names = {item.name for item in fields(kind)}
    if facts.keys() != names:
        odd = sorted(map(str, facts.keys() ^ names))
        raise ValueError(f"the facts of a tier's {kind.__name__.lower()} lack or have {_short(', '.join(odd))}")
    return dict(facts)


def _check_text(form: re.Pattern[str], **texts: str) -> None:
    for name, text in texts.items():
        if not isinstance(text, str) or form.fullmatch(text) is None:
            raise ValueError(f"{name} is {_short(text)}, which has another form")


def _check_count(name: str, count: int, low: int = 0, high: int = 2**53 - 1) -> None:
    if type(count) is not int or not low <= count <= high:
        raise ValueError(f"{name} is {_short(count)}, not a whole number from {low} to {high}")


def _check_number(name: str, number: float, high: float, low: float = 0.0) -> None:
    if type(number) not in (int, float) or not (math.isfinite(number) and low <= number <= high):
        raise ValueError(f"{name} is {_short(number)}, not a number from {low:g} to {high:g}")


def _short(value: object) -> str:
    return repr(value)[:100] if not isinstance(value, int) or abs(value) < 2**64 else "a huge number"
