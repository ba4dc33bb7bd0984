"""Lists the files of a folder that somebody filled: recordings, lists, transcripts.

Every command lists folders by these rules:

- Hidden files and folders, and those that operating systems add, are left out.
- A link is followed. A link to a folder above itself is not, because it would never end.
- A link to nothing counts as a file that cannot be read if its name is that of a file to list. Any other one is
  noted, because it may have been a folder. So it never makes a set smaller without a word.
- A folder that cannot be listed is an error, because nobody knows what is in it. So is a link that the system
  refuses to follow.

Files of models are listed by `core.content`, which follows no link and leaves nothing out.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from soundsright.core.errors import UsageError

MAX_DEPTH = 100
"""The most folders inside each other. Corpora have fewer than ten."""
MAX_ENTRIES = 5_000_000
"""The most files and folders that are looked at, those behind links included."""

MAX_LINKS = 10_000
"""The most links to folders that are followed. Links that branch could otherwise list one folder without end."""

HIDDEN = "is hidden"
LOOP = "is a link to a folder above it"
NOWHERE = "is a link that leads nowhere"
NOT_UTF8 = "has a name that is not UTF-8"

_OF_SYSTEMS = frozenset(
    {"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)
"""Folders that operating systems and archive programs add."""


@dataclass(frozen=True)
class FolderFiles:
    """The files below a folder, sorted by POSIX path, and what was left out.

    Attributes:
        files: with links that lead nowhere, which no reader can open.
        left_out: the reason for each file or folder that was left out, by its printable path below the folder.
        linked: whether a link was followed, so that one file can be listed under two names.
    """

    folder: Path
    files: tuple[Path, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    linked: bool = False

    @property
    def not_utf8(self) -> tuple[str, ...]:
        """The printable names of the files whose names are not UTF-8."""
        return tuple(name for name, reason in self.left_out.items() if reason == NOT_UTF8)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each reason to leave something out."""
        firsts: dict[str, str] = {}
        for name, reason in self.left_out.items():
            firsts.setdefault(reason, name)
        counts = Counter(self.left_out.values())
        return tuple(
            f"{counts[reason]} {'entry' if counts[reason] == 1 else 'entries'} of {self.folder} "
            f"{'was' if counts[reason] == 1 else 'were'} left out, such as {name}: {reason}."
            for reason, name in sorted(firsts.items())
        )


def folder_files(folder: Path, suffixes: Collection[str]) -> FolderFiles:
    """The files below the folder whose names end in one of `suffixes`, which are in lower case.

    Raises:
        UsageError: a folder cannot be listed, folders are nested too deep, there are too many files, or the name of
            `folder` itself is not UTF-8.
    """
    if not is_utf8(f"{folder}{folder.resolve().name}"):
        raise UsageError(f"The name of the folder {shown_name(str(folder))} is not UTF-8", "Rename the folder.")
    walk = _Walk(folder, frozenset(suffixes))
    walk.run()
    return FolderFiles(
        folder,
        tuple(folder / name for name in sorted(walk.names)),
        dict(sorted(walk.left_out.items())),
        walk.linked,
    )


def shown_name(name: str) -> str:
    r"""A name with `\xe9` for each byte that is not UTF-8, so that it can be printed and written.

    >>> shown_name(os.fsdecode(b"caf\xe9.wav"))
    'caf\\xe9.wav'
    """
    try:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # A JSON file can have half of a character, which no file name has.
        return name.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True)
class _Folder:
    """A folder to list: its path below the root with a final `/`, and the identities of it and those above it."""

    name: str
    identities: tuple[tuple[int, int], ...]


class _Walk:
    """One walk over a folder. It keeps its own stack, because nested folders could exhaust that of Python."""

    def __init__(self, root: Path, suffixes: frozenset[str]) -> None:
        self.names: list[str] = []
        self.left_out: dict[str, str] = {}
        self.linked = False
        self._root = root
        self._suffixes = suffixes
        self._seen = 0
        self._links = 0
        resolved = root.resolve()
        self._above = len(resolved.parents)
        self._start = _Folder("", tuple(_identity(folder) for folder in (resolved, *resolved.parents)))

    def run(self) -> None:
        waiting = [self._start]
        while waiting:
            waiting.extend(self._folders_in(waiting.pop()))

    def _folders_in(self, folder: _Folder) -> Iterator[_Folder]:
        """Note the files of a folder, and give the folders in it that are to be listed."""
        try:
            with os.scandir(self._root / folder.name) as entries:
                for entry in entries:
                    yield from self._noted(folder, entry)
        except OSError as error:
            name = shown_name(str(self._root / folder.name))
            raise UsageError(
                f"The folder {_cut(name)} cannot be listed ({error.strerror})",
                f"Correct this, or move the folder out of {self._root}.",
            ) from error

    def _noted(self, folder: _Folder, entry: os.DirEntry[str]) -> Iterator[_Folder]:
        self._seen += 1
        if self._seen > MAX_ENTRIES:
            raise UsageError(
                f"{self._root} has more than {MAX_ENTRIES} files and folders", "Give a folder with fewer files."
            )
        name = folder.name + entry.name
        is_link = entry.is_symlink()
        is_wanted = PurePath(entry.name).suffix.lower() in self._suffixes
        if entry.name.startswith(".") or entry.name in _OF_SYSTEMS:
            if is_wanted or self._may_be_folder(entry):
                self.left_out[shown_name(name)] = HIDDEN
            return
        try:
            is_folder, leads_nowhere = _kind(entry)
        except OSError as error:
            if not is_wanted:
                raise UsageError(
                    f"The link {_cut(shown_name(str(self._root / name)))} cannot be followed ({error.strerror})",
                    f"Correct this, or move the link out of {self._root}.",
                ) from error
            is_folder, leads_nowhere = False, True  # A reader of the file says what is wrong with it.
        if is_folder:
            self._count_link(is_link)
            yield from self._entered(folder, name)
        elif is_wanted:
            if is_utf8(name):
                self.linked |= is_link
                self.names.append(name)
            else:
                self.left_out[shown_name(name)] = NOT_UTF8
        elif leads_nowhere:
            self.left_out[shown_name(name)] = NOWHERE

    def _count_link(self, is_link: bool) -> None:
        self.linked |= is_link
        self._links += is_link
        if self._links > MAX_LINKS:
            raise UsageError(
                f"{self._root} leads through more than {MAX_LINKS} links to folders",
                "Give a folder in which links do not lead to each other again and again.",
            )

    @staticmethod
    def _may_be_folder(entry: os.DirEntry[str]) -> bool:
        try:
            return _kind(entry)[0]
        except OSError:
            return True

    def _entered(self, folder: _Folder, name: str) -> Iterator[_Folder]:
        if len(folder.identities) - self._above >= MAX_DEPTH:
            raise UsageError(
                f"{self._root} has folders nested more than {MAX_DEPTH} deep", "Move the files nearer to the top."
            )
        identity = _identity(self._root / name)
        if identity in folder.identities:
            self.left_out[shown_name(name)] = LOOP
        else:
            yield _Folder(f"{name}/", (*folder.identities, identity))


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """Whether the entry is a folder, and whether it is a link that leads nowhere.

    Raises:
        OSError: it is a link that cannot be followed, so that nobody knows what is there.
    """
    if not entry.is_symlink():
        return entry.is_dir(), False
    try:
        return stat.S_ISDIR(entry.stat().st_mode), False
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False, True
        raise


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cut(name: str, chars: int = 200) -> str:
    return name if len(name) <= chars else f"{name[:chars]}…"
