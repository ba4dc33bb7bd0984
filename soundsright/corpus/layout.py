"""The folder of a private corpus.

    corpus.json                  public: the root, the counts, and the fingerprint of the key
    batches/0000/manifest.bin    the recordings of the first batch: names, texts, speakers, salts
    batches/0000/<32 hex>.bin    a recording
    published.json               the last round whose recordings were published, if there is one

Every `.bin` file is encrypted. `corpus.json` is written last, so a batch that it does not list does not count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.corpus.records import MAX_RECORDINGS, Statement, is_hex
from soundsright.data import PRIVATE_MARK

MANIFEST = "manifest.bin"
PUBLISHED = "published.json"
MAX_STATEMENT_BYTES = 1_000_000
MAX_MANIFEST_BYTES = 500_000_000
MAX_LINE_BYTES = 100_000
MAX_SEALED_BYTES = 100_000_000
"""The most bytes of one encrypted recording: about ten times those of 30 s at 192 kHz."""


def batch_folder(corpus: Path, batch: int) -> Path:
    return corpus / "batches" / f"{batch:04d}"


def is_sealed_name(name: str) -> bool:
    """Whether this is the name of an encrypted recording: 32 hex digits and `.bin`."""
    return name.endswith(".bin") and is_hex(name.removesuffix(".bin"), 32)


def is_private_corpus(folder: Path) -> bool:
    """Whether the folder has a private corpus, which needs a key."""
    return (folder / PRIVATE_MARK).is_file() and not (folder / "manifest.jsonl").is_file()


def manifest_bound(root: str) -> bytes:
    """The text to which the manifest of a batch is bound: the batch's root."""
    return f"soundsright corpus manifest 1\n{root}".encode()


def recording_bound(recording_id: str, sha256: str) -> bytes:
    """The text to which an encrypted recording is bound."""
    return f"soundsright corpus file 1\n{recording_id}\n{sha256}".encode()


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """The content of a file that is not larger than `max_bytes`.

    Raises:
        UsageError: it is missing or larger.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror})", "Restore it from another copy of the corpus."
        ) from error
    if len(content) > max_bytes:
        raise UsageError(f"{path} is larger than {max_bytes} bytes", "Restore it from another copy of the corpus.")
    return content


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file that somebody else may have written.

    Raises:
        UsageError: it is missing, too long, or has a line that is not an object.
    """
    try:
        with path.open("rb") as stream:
            for number in range(1, MAX_RECORDINGS + 2):
                raw = stream.readline(MAX_LINE_BYTES + 1)
                if not raw:
                    return
                if len(raw) > MAX_LINE_BYTES or number > MAX_RECORDINGS:
                    raise UsageError(f"{path}, line {number}, is beyond the limit", "Do not use this file.")
                try:
                    line = json.loads(raw)
                except (ValueError, RecursionError) as error:
                    raise UsageError(f"{path}, line {number}, is not JSON ({error})", "Fetch it again.") from error
                if not isinstance(line, dict):
                    raise UsageError(f"{path}, line {number}, is not an object", "Fetch it again.")
                yield line
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "Fetch the folder again.") from error


def read_statement(path: Path) -> tuple[Statement, str]:
    """The public facts in `corpus.json`, and the fingerprint of the key that opens the corpus.

    Raises:
        UsageError: the file is missing or damaged, or its root is not that of its facts.
    """
    if not path.is_file():
        raise UsageError(
            f"{path.parent} is not a private corpus: it has no {path.name}",
            "Give the folder that `soundsright corpus build` or `soundsright corpus import` wrote.",
        )
    try:
        values: Any = json.loads(read_bounded(path, MAX_STATEMENT_BYTES))
        statement = Statement.of(values)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is not the description of a corpus: {error}", "Restore it from another copy of the corpus."
        ) from error
    if values.get("root") != statement.root:
        raise UsageError(
            f"{path} states the root {str(values.get('root'))[:64]}, but its facts have the root {statement.root}",
            "Restore it from another copy: a root belongs to one corpus only.",
        )
    fingerprint = values.get("key")
    return statement, fingerprint if is_hex(fingerprint, 16) else ""


def write_statement(path: Path, statement: Statement, fingerprint: str) -> None:
    """Replace `corpus.json` in one step."""
    write_json(path, {**statement.values, "root": statement.root, "key": fingerprint})


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step. After a crash of the machine it is the old or the new one."""
    write_file(path, (json.dumps(value, indent=1) + "\n").encode())


def write_file(path: Path, content: bytes) -> None:
    """Replace a file in one step, and flush it to the disk."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def published_through(folder: Path) -> int | None:
    """The last round whose recordings were published from this folder; None if none were.

    Raises:
        UsageError: the note of it is damaged.
    """
    path = folder / PUBLISHED
    if not path.is_file():
        return None
    try:
        through = json.loads(read_bounded(path, MAX_STATEMENT_BYTES))["through"]
        if type(through) is not int:
            raise ValueError("through is not a number")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        # Unknown is not "never published": a round on published recordings must pay nobody.
        raise UsageError(
            f"{path} is damaged ({error})", 'Restore it, or write {"through": N} with the last round you published.'
        ) from error
    return through
