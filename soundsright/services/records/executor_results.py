"""Read the results of an executor's rounds: signed results, or rows that were saved from its HTTP interface.

Files and answers come from strangers. Sizes are in bytes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import EntryRefused, RequestRefused, UsageError
from soundsright.core.executor_rules import ExecutorRules, executor_rules
from soundsright.core.images import MAX_SUBMISSIONS, ImageRow, image_row
from soundsright.core.profiles import Profile
from soundsright.services.records.executor_material import RoundMaterial, round_material
from soundsright.services.records.executor_runs import rows_with_runs
from soundsright.services.records.signed import DocumentKind, ValidSignature, open_document

EXECUTOR_RESULTS = DocumentKind("round of an executor", "soundsright.executor-results/1")
"""The signed results of an executor's round."""
MAX_ROWS_BYTES = 64 << 20
MAX_ROUND_FILES = 500
"""The latest rounds are read from a folder with more files."""

_REMEDY = "Give results that `soundsright executor` published, or the saved answer of /metrics."


@dataclass(frozen=True)
class ExecutorRound:
    """The table of one round, best image first. Images without a score are at the end.

    `metric_weights` is empty if the document does not say them. `signer` is the address whose signature was
    verified, or empty for rows that nobody signed. `rules` are the default ones if the document has none.
    `material` is None if the document does not state its recordings.
    """

    round_id: str
    rows: tuple[ImageRow, ...]
    rules: ExecutorRules = field(default_factory=ExecutorRules)
    metric_weights: Mapping[str, float] = field(default_factory=dict)
    competition_id: str = ""
    machine: str = ""
    signer: str = ""
    material: RoundMaterial | None = None

    @property
    def ranked(self) -> tuple[tuple[int | None, ImageRow], ...]:
        """The rows with their ranks. An image that cannot be paid has none."""
        ranks: list[tuple[int | None, ImageRow]] = []
        placed = 0
        for row in self.rows:
            placed += row.is_winner_candidate
            ranks.append((placed if row.is_winner_candidate else None, row))
        return tuple(ranks)

    def row_of(self, hotkey: str) -> ImageRow | None:
        """The row of a hotkey, or of the one hotkey that starts so. Tables end a shortened hotkey with `…`."""
        hotkey = hotkey.removesuffix("…").removesuffix("...")
        found = [row for row in self.rows if row.submission.hotkey == hotkey]
        found = found or [row for row in self.rows if row.submission.hotkey.startswith(hotkey)]
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True)
class ExecutorHistory:
    """The rounds of an executor, oldest first. `problems` are the reasons why parts could not be read."""

    rounds: tuple[ExecutorRound, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def latest(self) -> ExecutorRound | None:
        return self.rounds[-1] if self.rounds else None


def executor_round(
    raw: bytes, *, valid_signature: ValidSignature, round_id: str = "", source: object = "The results"
) -> ExecutorRound:
    """The round in signed results or in a list of rows.

    `round_id` is the round of a list, which does not name its own. `source` names the bytes in errors.

    Raises:
        UsageError: the bytes are something else, or their signature is wrong.
    """
    if len(raw) > MAX_ROWS_BYTES:
        raise UsageError(f"{source} has more than {MAX_ROWS_BYTES} bytes", _REMEDY)
    try:
        document = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source} is not JSON", _REMEDY) from error
    try:
        if isinstance(document, list):
            return ExecutorRound(round_id, _rows(document))
        signed = open_document(EXECUTOR_RESULTS, raw, valid_signature=valid_signature, max_bytes=MAX_ROWS_BYTES)
        return _round_of(signed.facts, signed.signer)
    except (RequestRefused, EntryRefused) as refused:
        raise UsageError(f"{source}: {refused.sentence}", _REMEDY) from refused
    except UsageError as error:
        raise UsageError(f"{source}: {error.problem}", _REMEDY) from error


def read_executor_rounds(path: Path, *, valid_signature: ValidSignature) -> ExecutorHistory:
    """The rounds in a file, or in all files of a folder whose names end with `.json`.

    A file of a folder that cannot be read becomes a problem; the others are read.

    Raises:
        UsageError: the path does not exist, or the one file cannot be read.
    """
    if not path.is_dir():
        return ExecutorHistory((_read_round(path, valid_signature),))
    rounds, problems = [], []
    try:
        files = sorted((p for p in path.iterdir() if p.suffix == ".json" and p.is_file()), key=_natural)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", _REMEDY) from error
    for file in files[-MAX_ROUND_FILES:]:
        try:
            rounds.append(_read_round(file, valid_signature))
        except UsageError as error:
            problems.append(error.problem)
    return ExecutorHistory(in_order(rounds), tuple(problems))


def in_order(rounds: Iterable[ExecutorRound]) -> tuple[ExecutorRound, ...]:
    """The rounds by their numbers, each once: the last one of a number counts."""
    by_id = {each.round_id: each for each in rounds}
    return tuple(by_id[name] for name in sorted(by_id, key=_numbers))


def _read_round(path: Path, valid_signature: ValidSignature) -> ExecutorRound:
    try:
        if path.stat().st_size > MAX_ROWS_BYTES:
            raise UsageError(f"{path} has more than {MAX_ROWS_BYTES} bytes", _REMEDY)
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", _REMEDY) from error
    return executor_round(raw, valid_signature=valid_signature, round_id=path.stem, source=path)


def _round_of(facts: Mapping[str, Any], signer: str) -> ExecutorRound:
    challenge = facts.get("challenge")
    about = {**challenge, **facts} if isinstance(challenge, Mapping) else facts
    competition = _text(about.get("competition"))
    weights = _weights(facts.get("metric_weights"), competition)
    return ExecutorRound(
        round_id=_text(about.get("round")),
        rows=rows_with_runs(_rows(facts.get("rows")), facts.get("entries"), weights),
        rules=_rules(facts.get("rules")),
        metric_weights=weights,
        competition_id=competition,
        machine=_machine(facts.get("machine")),
        signer=signer,
        material=round_material(facts.get("material")),
    )


def _rows(values: object) -> tuple[ImageRow, ...]:
    if not isinstance(values, list) or len(values) > MAX_SUBMISSIONS:
        raise UsageError(f"rows is not a list of at most {MAX_SUBMISSIONS} rows", _REMEDY)
    rows = tuple(image_row(value) for value in values)
    hotkeys = [row.submission.hotkey for row in rows]
    if len(set(hotkeys)) != len(hotkeys):
        raise UsageError("A hotkey has two rows", _REMEDY)
    return rows


def _rules(values: object) -> ExecutorRules:
    if values is None:
        return ExecutorRules()
    names = {item.name for item in fields(ExecutorRules)} - {"profile"}
    if not isinstance(values, Mapping) or values.get("profile", "soundsright") not in list(Profile):
        raise UsageError("rules are not those of an executor", _REMEDY)
    known = {name: value for name, value in values.items() if name in names}
    for name, value in known.items():
        if type(value) not in (int, float):
            raise UsageError(f"rules: {name} is not a number", _REMEDY)
    return executor_rules(Profile(values.get("profile", "soundsright")), **known)


def _weights(values: object, competition_id: str) -> Mapping[str, float]:
    """The weights of the metrics, else those of the published competition of that id."""
    if values is None:
        return next((dict(c.metric_weights) for c in PUBLISHED if c.id == competition_id), {})
    if not isinstance(values, Mapping) or not all(
        type(value) in (int, float) and math.isfinite(value) for value in values.values()
    ):
        raise UsageError("metric_weights are not numbers by metric", _REMEDY)
    return {str(name)[:64]: float(value) for name, value in values.items()}


def _machine(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_text(name)} {_text(fact)}" for name, fact in list(value.items())[:20] if fact)[:500]
    return _text(value)


def _text(value: object) -> str:
    return str(value)[:200] if isinstance(value, str | int | float) else ""


def _numbers(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts the numbers in names as numbers."""
    parts = re.findall(r"\d{1,18}|\D+", name)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)


def _natural(path: Path) -> tuple[tuple[int, int, str], ...]:
    return _numbers(path.stem)


def _no_constant(name: str) -> float:
    raise ValueError(f"it has the number {name}")
