"""Read results.json and scores.jsonl. The files can be old, newer, cut short or made by a stranger."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from soundsright.core.errors import UsageError
from soundsright.services.records.fields import first_fault
from soundsright.services.records.results import RESULTS_SCHEMA, Results, ScoreLine

MAX_RESULTS_BYTES = 64 << 20
MAX_SCORES_BYTES = 1 << 30
MAX_LINE_BYTES = 64 << 10
_FAMILY, _, _VERSION = RESULTS_SCHEMA.partition("/")
_NAME_A_RUN = "Give the folder of a finished run."
_RUN_AGAIN = "Run the round again to write the file again."


def read_results(path: Path) -> Results:
    """Read and check results.json.

    Raises:
        UsageError: the file is missing, too large, of another schema, or not what a round writes.
    """
    try:
        _check_plain(path, MAX_RESULTS_BYTES, _NAME_A_RUN)
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", _NAME_A_RUN) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON", _RUN_AGAIN) from error
    return results_from(document, path)


def results_from(document: Any, source: object = "results.json") -> Results:
    """Check an object that was parsed from results.json. `source` names it in errors.

    Raises:
        UsageError: as `read_results`.
    """
    if not isinstance(document, dict):
        raise UsageError(f"{source} is not a JSON object", _NAME_A_RUN)
    family, _, version = str(document.get("schema", ""))[:64].partition("/")
    if family != _FAMILY:
        raise UsageError(f"{source} is not of schema {RESULTS_SCHEMA}", _NAME_A_RUN)
    if version != _VERSION:
        raise UsageError(
            f"{source} is of schema {family}/{version}, but this program reads {RESULTS_SCHEMA}",
            "Update soundsright, or run the round again." if version.isdigit() else _RUN_AGAIN,
        )
    try:
        return Results.model_validate(document)
    except ValidationError as error:
        raise UsageError(f"{source}: {first_fault(error)}", _RUN_AGAIN) from error


def read_scores(path: Path) -> Iterator[ScoreLine | str]:
    """Each line of scores.jsonl. A line that cannot be used gives a sentence that says why.

    Raises:
        UsageError: the file is missing or too large.
    """
    try:
        _check_plain(path, MAX_SCORES_BYTES, _RUN_AGAIN)
        with path.open("rb") as file:
            for number in range(1, 100_000_000):
                line = file.readline(MAX_LINE_BYTES + 1)
                if not line:
                    return
                if len(line) > MAX_LINE_BYTES:
                    # Skip the rest of it piece by piece: one entry's long line must not hide the other entries.
                    while line and not line.endswith(b"\n"):
                        line = file.readline(MAX_LINE_BYTES)
                    yield f"{path.name}, line {number}: longer than {MAX_LINE_BYTES >> 10} KiB"
                    continue
                yield _score_line(line, f"{path.name}, line {number}")
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", _RUN_AGAIN) from error


def is_plain_file(path: Path) -> bool:
    """Whether pages may read and publish the file. A link could name any file of this machine."""
    return path.is_file() and not path.is_symlink()


def _check_plain(path: Path, max_bytes: int, remedy: str) -> None:
    """Check that reading the file ends.

    Raises:
        UsageError: it is a link, a device, a pipe, a folder or too large.
        OSError: there is no such file.
    """
    if path.is_symlink():
        raise UsageError(f"{path} is a link", "Put the file itself in its place.")
    size = path.stat().st_size
    if not path.is_file():
        raise UsageError(f"{path} is not a file", remedy)
    if size > max_bytes:
        raise UsageError(f"{path} is larger than {max_bytes >> 20} MiB", remedy)


def _score_line(line: bytes, source: str) -> ScoreLine | str:
    try:
        # A file that was edited by hand can begin with a byte order mark.
        return ScoreLine.model_validate_json(line.removeprefix(codecs.BOM_UTF8))
    except ValidationError as error:
        return f"{source}: {first_fault(error)}"
