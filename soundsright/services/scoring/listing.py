"""The recordings of a set by the names of their clips: those of a folder, or of a Kaldi list.

A name with an accent can be written in two ways: `é` as one character (NFC), or as `e` and an accent (NFD, as macOS
does). Both are the same name here.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.errors import UsageError
from soundsright.core.text_files import lines_of_file
from soundsright.core.walking import folder_files

MAX_LIST_BYTES = 64_000_000
_LINE_FORM = "Write the name of a clip, a space and the path of a file. Commands are not allowed."

_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")

_MAX_NAMES = 5  # names shown in an error; the rest are counted


@dataclass(frozen=True)
class ListedFiles:
    """The file of each clip, in the order of the names or of the list. `notes` say what was left out."""

    files: dict[str, Path]
    notes: tuple[str, ...] = ()


def listed_files(source: Path) -> ListedFiles:
    """The audio files of a folder and all its subfolders, or of a Kaldi list (`.scp`: `clip path` lines), by clip.

    In a folder, the name of a clip is its path without the suffix. Paths in a list start at the current folder.
    Lines that run commands are refused.

    Raises:
        UsageError: there is no audio, no file of a list exists, two files have one name, a name is not UTF-8, or a
            line is malformed.
    """
    notes: tuple[str, ...] = ()
    if source.is_dir():
        from soundsright.data import SUFFIXES

        found = folder_files(source, SUFFIXES)
        if found.not_utf8:
            raise UsageError(f"{source}: the names {some_of(found.not_utf8)} are not UTF-8", "Rename these files.")
        notes = found.notes
        pairs = [(path.relative_to(source).with_suffix("").as_posix(), path) for path in found.files]
    elif source.suffix == ".scp" and source.is_file():
        pairs = list(_scp_lines(source))
        _check_any_exists(source, [path for _, path in pairs])
    else:
        if not source.exists():
            raise UsageError(f"There is no folder {source}", "Give a folder or a list of recordings.")
        raise UsageError(f"{source} is neither a folder nor a .scp list", "Give a folder or a list of recordings.")
    if not pairs:
        problem = " ".join([f"{source} has no audio files.", *notes])
        raise UsageError(problem, "Give a folder or a list of recordings.")
    names = [clip_name(name) for name, _ in pairs]
    files = dict(zip(names, (path for _, path in pairs), strict=True))
    if len(files) != len(pairs):
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        raise UsageError(
            f"{source}: there are two files for each of {some_of(repeated)}", "Keep one file for each name."
        )
    return ListedFiles(files, notes)


def clip_name(name: str) -> str:
    r"""The name in the one form under which clips are paired.

    >>> clip_name("cafe\u0301") == clip_name("caf\u00e9")
    True
    """
    return unicodedata.normalize("NFC", name)


def _scp_lines(source: Path) -> Iterator[tuple[str, Path]]:
    for number, line in lines_of_file(source, MAX_LIST_BYTES, _LINE_FORM):
        name, *path = line.split(maxsplit=1)
        if not path or "|" in path[0]:
            raise UsageError(f"{source}, line {number}: {line.strip()[:80]!r} is not `clip path`", _LINE_FORM)
        yield name, Path(path[0].rstrip())


def _check_any_exists(source: Path, paths: Sequence[Path]) -> None:
    """Check that a list does not come from another machine or folder, where all its paths were right.

    Raises:
        UsageError: no file of the list exists.
    """
    if not paths or any(path.exists() for path in paths):
        return
    first = str(paths[0])
    remedy = "Relative paths start at the current folder: run the command where the list was made, or correct them."
    if _WINDOWS_PATH.match(first):
        remedy = "This is a Windows path. Write the paths as this machine knows them, such as /mnt/c/data/a.wav."
    raise UsageError(f"{source}: none of its {len(paths)} files exists; the first is {first[:200]!r}", remedy)


def some_of(names: Sequence[str] | Mapping[str, object]) -> str:
    """The first few names, and the number of the others."""
    listed = list(names)
    more = f" and {len(listed) - _MAX_NAMES} more" if len(listed) > _MAX_NAMES else ""
    return ", ".join(listed[:_MAX_NAMES]) + more
