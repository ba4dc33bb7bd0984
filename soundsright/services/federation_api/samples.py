"""The messages of validators to the owner's API: samples of their verdicts, and reports on the miners.

A sample is one miner's row of a verdict. A report says which entries of miners a validator finds valid. Blocks are
counted. Everything is read from strangers' JSON, so every text, number and list is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from soundsright.core.competition import is_competition_name
from soundsright.core.errors import RequestRefused
from soundsright.core.ss58 import is_address
from soundsright.core.strict_json import NotStrictJson, strict_json

T = TypeVar("T")

MAX_SAMPLES = 100
"""The highest number of samples in one request."""
MAX_MINERS = 2_048
"""The highest number of miners in one report."""
MAX_NUMBER = 2**53 - 1
MAX_UID = 65_535
_MAX_DEPTH = 4
_MAX_MEANS = 16
_MAX_FAILURES = 4_096
_MAX_WINNERS = 64
_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MODEL = re.compile(r"[!-~]{1,400}")
_CODE = re.compile(r"(?:[a-z][a-z0-9_]{0,63})?")


@dataclass(frozen=True, slots=True)
class Sample:
    """One miner's row of a verdict on a task. `block` is that of the miner's commitment.

    `means` are the means of the metrics over the task's clips, and `unprocessed` those of the input itself, if the
    sender says them. `answers` is the digest of the enhanced audio, and
    `verdict` that of the signed verdict, so everybody can compare the row with the validator's bucket.
    """

    task: int
    competition: str
    miner: str
    uid: int | None
    model: str
    block: int
    passed: bool
    failures: int
    means: Mapping[str, float]
    answers: str
    verdict: str
    unprocessed: Mapping[str, float] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """The sample as JSON values, as it is sent and recorded."""
        facts = {
            "task": self.task,
            "competition": self.competition,
            "miner_hotkey": self.miner,
            "uid": self.uid,
            "model": self.model,
            "block": self.block,
            "passed": self.passed,
            "failures": self.failures,
            "means": dict(self.means),
            "answers": self.answers,
            "verdict": self.verdict,
        }
        return facts | ({"unprocessed": dict(self.unprocessed)} if self.unprocessed else {})


@dataclass(frozen=True, slots=True)
class MinerReport:
    """A validator's opinion of one miner's entry. `reason` is the code of the refusal, or empty."""

    hotkey: str
    uid: int | None
    valid: bool
    reason: str = ""

    def facts(self) -> dict[str, Any]:
        return {"hotkey": self.hotkey, "uid": self.uid, "valid": self.valid, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Report:
    """A validator's opinion of all miners, and by competition the winner that it pays now, if it knows one."""

    miners: tuple[MinerReport, ...]
    winners: Mapping[str, str | None]

    def facts(self) -> dict[str, Any]:
        return {"miners": [miner.facts() for miner in self.miners], "winners": dict(self.winners)}


def read_samples(body: bytes) -> tuple[Sample, ...]:
    """The samples in the body of a request: 1 to 100, all of one task, and at most one for each entry.

    Raises:
        RequestRefused: `not_json`, `too_many`, `malformed`, `several_tasks` or `duplicate_sample`.
    """
    samples = _listed(read_object(body, {"samples"})["samples"], "samples", MAX_SAMPLES, sample_of)
    if not samples:
        raise _malformed("samples", "give at least one")
    tasks = sorted({sample.task for sample in samples})
    if len(tasks) > 1:
        sentence = f"The samples are of the tasks {tasks[0]} and {tasks[1]}; send those of one task together"
        raise RequestRefused("several_tasks", sentence, status=400)
    _check_apart([f"{sample.competition} {sample.miner}" for sample in samples], "duplicate_sample", "samples")
    return samples


def read_report(body: bytes) -> Report:
    """The report in the body of a request: at most 2048 miners, each once.

    Raises:
        RequestRefused: `not_json`, `too_many`, `malformed` or `duplicate_hotkey`.
    """
    return report_of(read_object(body, {"miners", "winners"}))


def report_of(values: Mapping[str, Any]) -> Report:
    """The report that has these facts.

    Raises:
        RequestRefused: `too_many`, `malformed` or `duplicate_hotkey`.
    """
    miners = _listed(values["miners"], "miners", MAX_MINERS, _miner_of)
    _check_apart([miner.hotkey for miner in miners], "duplicate_hotkey", "miners")
    winners = values["winners"]
    if not isinstance(winners, dict) or len(winners) > _MAX_WINNERS:
        raise _malformed("winners", f"give an object of at most {_MAX_WINNERS} competitions")
    for competition, hotkey in winners.items():
        _check(is_competition_name(competition), "winners", "name each competition by its id")
        _check(hotkey is None or _is_hotkey(hotkey), "winners", "give the address of a hotkey, or null")
    return Report(miners, winners)


def sample_of(values: Any) -> Sample:
    """The sample that has these facts.

    Raises:
        RequestRefused: `malformed`, with the name of the field.
    """
    names = {"task", "competition", "miner_hotkey", "uid", "model", "block"}
    _check_fields(values, names | {"passed", "failures", "means", "answers", "verdict"}, {"unprocessed"})
    _check(_is_count(values["task"]), "task", "give a whole number of 0 or more")
    competition = values["competition"]
    _check(isinstance(competition, str) and is_competition_name(competition), "competition", "give its id")
    _check(_is_hotkey(values["miner_hotkey"]), "miner_hotkey", "give the address of a hotkey")
    _check(_is_uid(values["uid"]), "uid", f"give a whole number from 0 to {MAX_UID}, or null")
    _check(_matches(_MODEL, values["model"]), "model", "give 1 to 400 printable characters without spaces")
    _check(_is_count(values["block"]), "block", "give a whole number of 0 or more")
    _check(type(values["passed"]) is bool, "passed", "give true or false")
    _check(
        _is_count(values["failures"], _MAX_FAILURES), "failures", f"give a whole number from 0 to {_MAX_FAILURES}"
    )
    for name in ("answers", "verdict"):
        _check(_matches(_DIGEST, values[name]), name, "give a SHA-256 as 64 hex digits")
    return Sample(
        values["task"],
        competition,
        values["miner_hotkey"],
        values["uid"],
        values["model"],
        values["block"],
        values["passed"],
        values["failures"],
        _means(values["means"], "means"),
        values["answers"],
        values["verdict"],
        _means(values.get("unprocessed", {}), "unprocessed"),
    )


def _means(values: Any, part: str) -> dict[str, float]:
    if not isinstance(values, dict) or len(values) > _MAX_MEANS:
        raise _malformed(part, f"give an object of at most {_MAX_MEANS} metrics")
    for name, mean in values.items():
        _check(_matches(_METRIC, name), part, "name each metric by its id")
        _check(type(mean) in (int, float) and abs(mean) < 1e9, part, "give finite numbers below 1e9")
    return {name: float(mean) for name, mean in sorted(values.items())}


def _miner_of(values: Any) -> MinerReport:
    _check_fields(values, {"hotkey", "uid", "valid", "reason"})
    _check(_is_hotkey(values["hotkey"]), "hotkey", "give the address of a hotkey")
    _check(_is_uid(values["uid"]), "uid", f"give a whole number from 0 to {MAX_UID}, or null")
    _check(type(values["valid"]) is bool, "valid", "give true or false")
    _check(_matches(_CODE, values["reason"]), "reason", "give the code of the refusal, or an empty text")
    return MinerReport(values["hotkey"], values["uid"], values["valid"], values["reason"])


def read_object(body: bytes, required: Collection[str], optional: Collection[str] = frozenset()) -> dict[str, Any]:
    """The JSON object in the body, which has the required fields and no others than the optional ones.

    Raises:
        RequestRefused: `not_json` or `malformed`.
    """
    try:
        values = strict_json(body, _MAX_DEPTH)
    except NotStrictJson as error:
        raise RequestRefused("not_json", f"The body is not strict JSON: {error.fault}", status=400) from None
    _check_fields(values, required, optional)
    assert isinstance(values, dict)
    return values


def _check_fields(values: Any, required: Collection[str], optional: Collection[str] = frozenset()) -> None:
    if not isinstance(values, dict) or not set(required) <= set(values) <= {*required, *optional}:
        raise _malformed("body", f"give an object with {', '.join(sorted(required))}")


def _listed(values: Any, field: str, most: int, read: Callable[[Any], T]) -> tuple[T, ...]:
    """The items of a list. A refusal of one of them names its place."""
    if not isinstance(values, list):
        raise _malformed(field, "give a list")
    if len(values) > most:
        sentence = f"{len(values)} {field} are too many; send at most {most}"
        raise RequestRefused("too_many", sentence, status=413)
    items = []
    for place, value in enumerate(values):
        try:
            items.append(read(value))
        except RequestRefused as refused:
            raise RequestRefused(
                refused.code, f"{field}.{place}.{refused.sentence}", status=refused.status
            ) from None
    return tuple(items)


def _check_apart(names: list[str], code: str, field: str) -> None:
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        first = places.setdefault(name, place)
        if first != place:
            raise RequestRefused(code, f"{field} {first} and {place} are of the same miner; send one", status=422)


def _check(is_right: bool, field: str, remedy: str) -> None:
    if not is_right:
        raise _malformed(field, remedy)


def _malformed(field: str, remedy: str) -> RequestRefused:
    return RequestRefused("malformed", f"{field}: {remedy}", status=422)


def _is_count(value: Any, most: int = MAX_NUMBER) -> bool:
    return type(value) is int and 0 <= value <= most


def _is_uid(value: Any) -> bool:
    return value is None or _is_count(value, MAX_UID)


def _is_hotkey(value: Any) -> bool:
    return isinstance(value, str) and is_address(value)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
