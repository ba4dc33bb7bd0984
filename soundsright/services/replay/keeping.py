"""The work of a replay that has not ended, kept in its folder so that a replay that was stopped continues.

`kept.jsonl` has a line for each batch of answers, each score, each sign of tuning and each set that was drawn. Its
first line names the round document and the programs: lines of other ones are not used. Audio lies beside the file,
and a line counts only while its audio has the SHA-256 in the line.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictBool, StringConstraints, ValidationError

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import UsageError
from soundsright.core.results import Failure
from soundsright.core.text_files import text_of_file
from soundsright.metrics import ClipEvidence
from soundsright.services.records import scoring_versions
from soundsright.services.replay.scoring import CheckedScore

KEPT = "kept.jsonl"
_MAX_BYTES = 1 << 30
_SCHEMA = "soundsright.kept-replay/1"
_REMEDY = "Give another folder."
_Text = Annotated[str, StringConstraints(max_length=400)]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KeptBatch(_Line):
    """The answers of a model to one batch of clips: of each, the SHA-256 of its WAV file or its failure.

    `run` is 1, or 2 for clips that the model answered again. `fault` says that the model failed and was started
    again.
    """

    kind: Literal["batch"] = "batch"
    entry: _Text
    content: _Text
    run: Literal[1, 2]
    answers: dict[_Text, _Sha256 | tuple[_Text, _Text]]
    fault: StrictBool

    @property
    def key(self) -> tuple[object, ...]:
        return self.entry, self.content, self.run, tuple(self.answers)

    def items(self) -> list[tuple[str, str | Failure]]:
        """The answers by clip."""
        return [(clip, a if isinstance(a, str) else Failure(*a)) for clip, a in self.answers.items()]


class _Set(_Line):
    kind: Literal["set"] = "set"
    competition: _Text


class _Score(_Line):
    kind: Literal["score"] = "score"
    competition: _Text
    entry: _Text
    clip: _Text
    scores: dict[_Text, FiniteFloat] | None
    failure: _Text


class _Evidence(_Line):
    kind: Literal["evidence"] = "evidence"
    signals: tuple[_Sha256, _Sha256, _Sha256]
    values: tuple[FiniteFloat, FiniteFloat, FiniteFloat]


class _Any(BaseModel):
    line: Annotated[KeptBatch | _Set | _Score | _Evidence, Field(discriminator="kind")]


class KeptWork:
    """The work of a replay in `folder`. What is added is on the disk at once. Several threads may add.

    `scores` are by competition, hotkey and clip. `signs` are by the SHA-256 of the clean, the degraded and the
    enhanced signal.

    Raises:
        UsageError: the folder cannot be written.
    """

    def __init__(self, folder: Path, document_sha256: str) -> None:
        self._path = folder / KEPT
        self._batches: dict[tuple[object, ...], KeptBatch] = {}
        self._sets: set[str] = set()
        self._lock = threading.Lock()
        self.scores: dict[tuple[str, str, str], CheckedScore] = {}
        self.signs: dict[tuple[str, ...], ClipEvidence] = {}
        header = {"schema": _SCHEMA, "document": document_sha256, "versions": scoring_versions()}
        lines = _lines_of(self._path, header)
        for line in lines:
            self._take(line)
        with self._faults_named():
            self._file = _started(self._path, header, lines)

    @property
    def answers(self) -> int:
        """The number of answers of first runs that are kept."""
        return sum(len(batch.answers) for batch in self._batches.values() if batch.run == 1)

    def batch(self, about: KeptBatch, path_of: Callable[[str], Path]) -> KeptBatch | None:
        """The kept answers to the clips of `about`; None if one is missing or its file changed."""
        found = self._batches.get(about.key)
        if found is None:
            return None
        whole = all(_sha256_of(path_of(c)) == a for c, a in found.answers.items() if isinstance(a, str))
        return found if whole else None

    def has_set(self, competition_id: str) -> bool:
        """Whether the set was drawn whole."""
        return competition_id in self._sets

    def add_set(self, competition_id: str) -> None:
        self._add(_Set(competition=competition_id))

    def add_batch(self, batch: KeptBatch) -> None:
        self._add(batch)

    def add_score(self, checked: CheckedScore) -> None:
        facts = (checked.competition, checked.entry, checked.clip)
        scores = None if checked.scores is None else dict(checked.scores)
        self._add(
            _Score(
                competition=facts[0], entry=facts[1], clip=facts[2], scores=scores, failure=checked.failure[:400]
            )
        )

    def add_signs(self, signals: tuple[str, str, str], evidence: ClipEvidence) -> None:
        values = (evidence.deleted, evidence.hallucinated, evidence.likeness_to_input_db)
        self._add(_Evidence(signals=signals, values=values))

    def close(self) -> None:
        self._file.close()

    def forget(self) -> None:
        """Remove the list: the replay has ended, and another one computes everything again."""
        self.close()
        self._path.unlink(missing_ok=True)

    def _take(self, line: _Line) -> None:
        if isinstance(line, KeptBatch):
            self._batches[line.key] = line
        elif isinstance(line, _Set):
            self._sets.add(line.competition)
        elif isinstance(line, _Score):
            checked = CheckedScore(line.competition, line.entry, line.clip, line.scores, line.failure)
            self.scores[checked.key] = checked
        elif isinstance(line, _Evidence):
            self.signs[line.signals] = ClipEvidence(*line.values)

    def _add(self, line: _Line) -> None:
        text = _text(line)
        with self._lock:
            self._take(line)
            with self._faults_named():
                self._file.write(text)
                self._file.flush()

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(f"{self._path} cannot be written ({error.strerror})", _REMEDY) from error


def _text(line: _Line) -> str:
    return canonical_json(line.model_dump(mode="json")) + "\n"


def _lines_of(path: Path, header: Mapping[str, object]) -> Sequence[_Line]:
    """The lines of the file up to the first that cannot be read; none if its header is another one."""
    try:
        first, *others = text_of_file(path, _MAX_BYTES, _REMEDY).split("\n")
        if json.loads(first) != header:
            return ()
    except (UsageError, ValueError, RecursionError):
        return ()
    lines: list[_Line] = []
    # The last line is not whole if the machine stopped while it was written.
    for text in others[:-1]:
        try:
            lines.append(_Any.model_validate({"line": json.loads(text)}).line)
        except (ValidationError, ValueError, RecursionError):
            break
    return lines


def _started(path: Path, header: Mapping[str, Any], lines: Sequence[_Line]) -> TextIO:
    """The file with these lines, open to add others."""
    part = path.with_name(f".{path.name}.part")
    file = part.open("w", encoding="utf-8")
    file.write(json.dumps(header) + "\n")
    file.writelines(map(_text, lines))
    file.flush()
    part.replace(path)
    return file


def _sha256_of(path: Path) -> str:
    """The SHA-256 of a file; empty if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
