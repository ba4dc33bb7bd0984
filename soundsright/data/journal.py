"""The journal of a set in progress: one line for each finished item, in the order of finishing.

The journal (`.journal.jsonl`) begins with the facts of its job; a different job is refused. When the set is
complete, the lines are sorted into `manifest.jsonl` and the journal is removed. Memory keeps only the offsets of
the lines. A resumed job counts an item as finished if its files have the SHA-256 of its line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
    """The finished items of one job. `skipped` has the reason for each unusable recording, by path."""

    def __init__(self, path: Path, stream: IO[bytes], facts: dict[str, Any]) -> None:
        self.path = path
        self._stream = stream
        self._facts = facts
        self._offsets: dict[int, int] = {}
        # Cache one hash: items of one shard follow each other.
        self._sha256 = lru_cache(maxsize=1)(sha256_of_file)
        self.skipped: dict[str, str] = {}

    @classmethod
    def open(
        cls, out: Path, facts: dict[str, Any], *, resume: bool, on_item: Callable[[int], None] = lambda items: None
    ) -> Journal:
        """Begin a set in an empty folder, or resume the one in it.

        `on_item` is called with the number of intact items so far, while they are read.

        Raises:
            UsageError: the folder has another set, or this one and `resume` is false.
        """
        path, summary = out / NAME, out / "set.json"
        out.mkdir(parents=True, exist_ok=True)
        if summary.exists() or path.exists():
            if not resume:
                raise UsageError(f"{out} already has a set", "Choose another --out, or --resume to complete it.")
        elif resume and any(out.iterdir()):
            raise UsageError(f"{out} has files but no set to resume", "Choose another --out.")
        elif any(out.iterdir()):
            raise UsageError(f"{out} is not empty", "Choose another --out.")
        stream = path.open("r+b" if path.exists() else "w+b")
        journal = cls(path, stream, facts)
        begun = stream.seek(0, os.SEEK_END) > 0
        try:
            if begun:
                journal._read(out, on_item)
            elif summary.exists():
                journal._take_over(out, summary, on_item)
            else:
                journal._append({"job": facts})
        except BaseException:
            # A partial journal of a finished set would hide the other items.
            journal.close() if begun else journal.finish()
            raise
        return journal

    def __contains__(self, index: int) -> bool:
        return index in self._offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, lines: dict[int, dict[str, Any]], skipped: dict[str, str]) -> None:
        """Record items that are on disk."""
        self.skipped |= skipped
        for index, line in lines.items():
            self._offsets[index] = self._append({"index": index, "line": line, "skipped": skipped})
            skipped = {}
        self._stream.flush()

    def write_manifest(self, path: Path, metadata: Path | None = None) -> Iterator[dict[str, Any]]:
        """Write the lines in the order of the items, and yield each.

        Readers of audio folders use `metadata` as columns: the files by role, and a few fields.
        """
        with ExitStack() as files:
            out = files.enter_context(written_atomically(path))
            columns = None if metadata is None else files.enter_context(written_atomically(metadata))
            for line in self._lines():
                out.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
                if columns is not None:
                    row = {f"{role}_file_name": file for role, file in line["files"].items()}
                    row |= {k: line[k] for k in ("id", "text", "speaker", "noise", "snr_db", "rir", "rt60_s")}
                    columns.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                yield line

    def finish(self) -> None:
        """Close and remove the journal."""
        self.close()
        self.path.unlink()

    def discard_if_empty(self) -> None:
        """Remove the journal if no item was made, so that the next attempt is not mistaken for another set."""
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

    def _read(self, out: Path, on_item: Callable[[int], None]) -> None:
        self._stream.seek(0)
        header = _parsed(self._stream.readline())
        self._check_facts(out, (header or {}).get("job"))
        end = self._stream.tell()
        while raw := self._stream.readline():
            entry = _parsed(raw)
            if entry is None:
                break  # The run was killed while it wrote this line.
            if self._is_whole(out, entry["line"]):
                self._offsets[int(entry["index"])] = end
                self.skipped |= entry["skipped"]
                on_item(len(self))
            end = self._stream.tell()
        self._stream.truncate(end)

    def _take_over(self, out: Path, summary: Path, on_item: Callable[[int], None]) -> None:
        """Begin with the items of a finished set whose files are intact."""
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
                        on_item(len(self))
        self.skipped |= facts.get("skipped", {})

    def _check_facts(self, out: Path, facts_on_disk: object) -> None:
        facts = json.loads(json.dumps(self._facts))
        if facts_on_disk != facts:
            old, new = _flat(facts_on_disk), _flat(facts)
            keys = [key for key in {**new, **old} if old.get(key) != new.get(key)]
            differing = [_difference(key, old.get(key), new.get(key)) for key in keys[:3]]
            remedy = "Choose another --out, or repeat the options of that set"
            earlier = [name for name in ("variation", "balance") if name in new and name not in old]
            if earlier:
                differing = [f"it is without {' and '.join(earlier)} there, as in all sets of older versions"]
                remedy += "; add " + " ".join(f"--no-{name}" for name in earlier)
                if "balance" in earlier and "noise" in new:
                    remedy += ", and --noise recordings if it had the shipped noise"
            raise UsageError(f"{out} has another set: {'; '.join(differing)}", f"{remedy}.")


def _flat(facts: object) -> dict[str, Any]:
    """The facts of a job, with the facts of its recipe and its sources at the top level."""
    flat: dict[str, Any] = {}
    for key, value in facts.items() if isinstance(facts, dict) else ():
        flat |= _flat(value) if key in ("recipe", "sources") else {key: value}
    return flat


def _difference(key: str, old: object, new: object) -> str:
    old_words, new_words = _words(old), _words(new)
    if old_words == new_words:
        return f"{flag_of(key)} has changed"
    return f"{flag_of(key)} is {old_words} there and {new_words} here"


def _words(value: object) -> str:
    """A value of a fact, about as one types it on the command line."""
    if isinstance(value, list) and value:
        words = [str(each.get("name")) if isinstance(each, dict) else f"{each}" for each in value]
        return shorten(" ".join(words), 60, placeholder=" …")
    return "not set" if value in (None, [], {}) else f"{value}"


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


@contextmanager
def written_atomically(path: Path) -> Iterator[IO[bytes]]:
    """A stream whose content appears at the path only when it is complete."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as stream:
            yield stream
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
