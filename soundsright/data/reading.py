"""Reads a set back from disk: one that `generate_set` wrote, or the set of a round. Signals float32 `(n,)`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soundsright.core.audio import Clip
from soundsright.core.errors import UsageError
from soundsright.core.text_files import MAX_MANIFEST_BYTES, objects_of_file
from soundsright.data.audio_files import read_file
from soundsright.data.manifest import STILL_PRIVATE, is_hidden, recipe_of

_RESTORE = "Restore the manifest."


def read_set(folder: Path) -> Iterator[Clip]:
    """The clips of a set, in the order of its manifest. Each has the digest that its line states.

    Raises:
        UsageError: the folder has no set, the set is stored in shards, a line of its manifest is damaged, or the
            recordings of a round's clip are still private.
        AudioFileError: a file cannot be read.
    """
    manifest = folder / "manifest.jsonl"
    if not manifest.is_file():
        raise UsageError(f"{folder} has no manifest.jsonl", "Give the folder of a set.")
    for number, line in objects_of_file(manifest, MAX_MANIFEST_BYTES, _RESTORE):
        try:
            if is_hidden(line):
                raise UsageError(f"{manifest}, line {number}: {STILL_PRIVATE[0]}", STILL_PRIVATE[1])
            clean, degraded = _files_of(line)
            clip_id, recipe = str(line["id"]), recipe_of(line)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{manifest}, line {number}, does not describe a clip", _RESTORE) from error
        if not clean:
            raise UsageError(f"{folder} is stored in shards", "Make the set with --format wav or flac.")
        yield Clip(clip_id, read_file(folder / clean), read_file(folder / degraded), recipe)


def _files_of(line: dict[str, Any]) -> tuple[str, str]:
    """The paths of the clean and the degraded signal in the set; empty for a set in shards."""
    if "files" not in line:
        return f"clean/{line['id']}.wav", f"degraded/{line['id']}.wav"
    files = line["files"]
    return (files["clean"], files[line["degraded"]]) if files else ("", "")
