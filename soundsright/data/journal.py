"""What of a set is already on disk: one line per finished item, appended as items finish, in any order.

The journal (`.journal.jsonl`) begins with the facts of its job; another job is refused. When the set is complete
the lines are sorted into `manifest.jsonl` and the journal is removed. Only offsets of lines are kept in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from soundsright.core.errors import UsageError

NAME = ".journal.jsonl"


class Journal:
    """Finished items of one job. `skipped` are recordings that could not be used, by path."""

    def __init__(self, path: Path, stream: IO[bytes], facts: dict[str, Any]) -> None:
        self.path = path
        self._stream = stream
        self._facts = facts
        self._offsets: dict[int, int] = {}
        self.skipped: dict[str, str] = {}

    @classmethod
    def open(cls, out: Path, facts: dict[str, Any], *, resume: bool) -> Journal:
        """Begin a set in an empty place, or go on with the one that is there.

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
        if stream.seek(0, os.SEEK_END) == 0:
            if summary.exists():
                journal._take_over(out, summary)
            else:
                journal._append({"job": facts})
        else:
            journal._read(out)
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

    def write_manifest(self, path: Path) -> Iterator[tuple[str, str]]:
        """Write the lines in the order of the items; yields the digest of each by its id."""
        with written_atomically(path) as out:
            for line in self._lines():
                out.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
                yield line["id"], line["digest"]

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

    def _read(self, out: Path) -> None:
        self._stream.seek(0)
        header = _parsed(self._stream.readline())
        self._check_facts(out, (header or {}).get("job"))
        end = self._stream.tell()
        while raw := self._stream.readline():
            entry = _parsed(raw)
            if entry is None:
                break  # The run was killed in the middle of this line.
            if all((out / file).is_file() for file in _files(entry["line"])):
                self._offsets[int(entry["index"])] = end
                self.skipped |= entry["skipped"]
            end = self._stream.tell()
        self._stream.truncate(end)

    def _take_over(self, out: Path, summary: Path) -> None:
        """Begin with the items of a finished set whose files are still there."""
        facts = _parsed(summary.read_bytes()) or {}
        self._check_facts(out, {key: facts.get(key) for key in self._facts})
        self._append({"job": self._facts})
        manifest = out / "manifest.jsonl"
        if manifest.exists():
            with manifest.open("rb") as stream:
                for raw in stream:
                    line = _parsed(raw)
                    if line is not None and all((out / file).is_file() for file in _files(line)):
                        self.add({int(line["id"]): line}, {})
        self.skipped |= facts.get("skipped", {})

    def _check_facts(self, out: Path, found: object) -> None:
        wanted = json.loads(json.dumps(self._facts))
        if found != wanted:
            differing = [k for k in wanted if not isinstance(found, dict) or found.get(k) != wanted[k]]
            self.close()
            raise UsageError(
                f"{out} holds another set: {', '.join(differing)} differ",
                "Choose another --out, or repeat the options it was begun with.",
            )


def _files(line: dict[str, Any]) -> list[str]:
    return [line["shard"]] if "shard" in line else list(line["files"].values())


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
