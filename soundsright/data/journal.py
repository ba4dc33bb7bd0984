"""What of a set is already on disk: one line per finished item, appended as items finish, in any order.

The journal (`.journal.jsonl`) begins with the facts of its job; another job is refused. When the set is complete
the lines are sorted into `manifest.jsonl` and the journal is removed. Only offsets of lines are kept in memory.
Whoever goes on with a set takes an item for finished where its files have the SHA-256 of its line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from textwrap import shorten
from typing import IO, Any

from soundsright.core.content import sha256_of_file
from soundsright.core.errors import UsageError
from soundsright.data.manifest import file_hashes
from soundsright.data.recipe import flag_of

NAME = ".journal.jsonl"


class Journal:
    """Finished items of one job. `skipped` are recordings that could not be used, by path."""

    def __init__(self, path: Path, stream: IO[bytes], facts: dict[str, Any]) -> None:
        self.path = path
        self._stream = stream
        self._facts = facts
        self._offsets: dict[int, int] = {}
        # The last file alone is kept: items that share a shard follow one another.
        self._sha256 = lru_cache(maxsize=1)(sha256_of_file)
        self.skipped: dict[str, str] = {}

    @classmethod
    def open(
        cls, out: Path, facts: dict[str, Any], *, resume: bool, found: Callable[[int], None] = lambda items: None
    ) -> Journal:
        """Begin a set in an empty place, or go on with the one that is there. `found` is told the number of items
        that are there and whole, as they are read.

        Raises:
            UsageError: the place is taken, by this set without `resume` or by another set.
        """
        path, summary = out / NAME, out / "set.json"
        out.mkdir(parents=True, exist_ok=True)
        if summary.exists() or path.exists():
            if not resume:
                raise UsageError(f"{out} already holds a set", "Choose another --out, or --resume to complete it.")
        elif resume and any(out.iterdir()):
            raise UsageError(f"{out} holds files but no set to resume", "Choose another --out.")
        elif any(out.iterdir()):
            raise UsageError(f"{out} is not empty", "Choose another --out.")
        stream = path.open("r+b" if path.exists() else "w+b")
        journal = cls(path, stream, facts)
        begun = stream.seek(0, os.SEEK_END) > 0
        try:
            if begun:
                journal._read(out, found)
            elif summary.exists():
                journal._take_over(out, summary, found)
            else:
                journal._append({"job": facts})
        except BaseException:
            # A journal of some items of a finished set would hide the others.
            journal.close() if begun else journal.finish()
            raise
        return journal

    def __contains__(self, index: int) -> bool:
        return index in self._offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, lines: dict[int, dict[str, Any]], skipped: dict[str, str]) -> None:
        """Note items that are on disk."""
        self.skipped |= skipped
        for index, line in lines.items():
            self._offsets[index] = self._append({"index": index, "line": line, "skipped": skipped})
            skipped = {}
        self._stream.flush()

    def write_manifest(self, path: Path) -> Iterator[dict[str, Any]]:
        """Write the lines in the order of the items, and yield each."""
        with written_atomically(path) as out:
            for line in self._lines():
                out.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
                yield line

    def write_metadata(self, path: Path) -> None:
        """What an audio folder's reader takes for columns: the files by role, and a few fields."""
        with written_atomically(path) as out:
            for line in self._lines():
                row = {f"{role}_file_name": file for role, file in line["files"].items()}
                row |= {k: line[k] for k in ("id", "text", "speaker", "noise", "snr_db", "rir", "rt60_s")}
                out.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    def finish(self) -> None:
        self.close()
        self.path.unlink()

    def discard_if_empty(self) -> None:
        """Leave no trace where nothing was made: another try must not be taken for another set."""
        if not self._offsets and [entry.name for entry in self.path.parent.iterdir()] == [NAME]:
            self.finish()
            self.path.parent.rmdir()

    def close(self) -> None:
        self._stream.close()

    def _lines(self) -> Iterator[dict[str, Any]]:
        for index in sorted(self._offsets):
            self._stream.seek(self._offsets[index])
            yield json.loads(self._stream.readline())["line"]

    def _append(self, entry: dict[str, Any]) -> int:
        offset = self._stream.seek(0, os.SEEK_END)
        self._stream.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        return offset

    def _is_whole(self, out: Path, line: dict[str, Any]) -> bool:
        files = file_hashes(line).items()
        return all((out / file).is_file() and self._sha256(out / file) == sha256 for file, sha256 in files)

    def _read(self, out: Path, found: Callable[[int], None]) -> None:
        self._stream.seek(0)
        header = _parsed(self._stream.readline())
        self._check_facts(out, (header or {}).get("job"))
        end = self._stream.tell()
        while raw := self._stream.readline():
            entry = _parsed(raw)
            if entry is None:
                break  # The run was killed in the middle of this line.
            if self._is_whole(out, entry["line"]):
                self._offsets[int(entry["index"])] = end
                self.skipped |= entry["skipped"]
                found(len(self))
            end = self._stream.tell()
        self._stream.truncate(end)

    def _take_over(self, out: Path, summary: Path, found: Callable[[int], None]) -> None:
        """Begin with the items of a finished set whose files are still there and whole."""
        facts = _parsed(summary.read_bytes()) or {}
        self._check_facts(out, {key: facts.get(key) for key in self._facts})
        self._append({"job": self._facts})
        manifest = out / "manifest.jsonl"
        if manifest.exists():
            with manifest.open("rb") as stream:
                for raw in stream:
                    line = _parsed(raw)
                    if line is not None and self._is_whole(out, line):
                        self.add({int(line["id"]): line}, {})
                        found(len(self))
        self.skipped |= facts.get("skipped", {})

    def _check_facts(self, out: Path, found: object) -> None:
        wanted = json.loads(json.dumps(self._facts))
        if found != wanted:
            there, here = _flat(found), _flat(wanted)
            keys = [key for key in {**here, **there} if there.get(key) != here.get(key)]
            differing = [_difference(key, there.get(key), here.get(key)) for key in keys[:3]]
            raise UsageError(
                f"{out} holds another set: {'; '.join(differing)}",
                "Choose another --out, or repeat the options it was begun with.",
            )


def _flat(facts: object) -> dict[str, Any]:
    """The facts of a job with those of its recipe and its sources beside them."""
    flat: dict[str, Any] = {}
    for key, value in facts.items() if isinstance(facts, dict) else ():
        flat |= _flat(value) if key in ("recipe", "sources") else {key: value}
    return flat


def _difference(key: str, there: object, here: object) -> str:
    one, other = _as_given(there), _as_given(here)
    if one == other:
        return f"{flag_of(key)} is not what it was"
    return f"{flag_of(key)} is {one} there and {other} here"


def _as_given(value: object) -> str:
    """A value of a fact in about the words of the command line."""
    if isinstance(value, list) and value:
        words = [str(each.get("name")) if isinstance(each, dict) else f"{each}" for each in value]
        return shorten(" ".join(words), 60, placeholder=" …")
    return "not set" if value in (None, [], {}) else f"{value}"


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None


@contextmanager
def written_atomically(path: Path) -> Iterator[IO[bytes]]:
    """A stream whose content appears under the name only when it is complete."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as stream:
            yield stream
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
