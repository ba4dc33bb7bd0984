"""The files of a bundle, read within bounds from a folder or from a .zip file.

Nobody vouches for a bundle before it is checked. So only names that a bundle can have are read, each up to a limit
of its own, and never through a link. Sizes are in bytes.

    with open_store(Path("round.zip")) as store:
        raw = store.read("round.json")
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Protocol, Self

from soundsright.core.errors import BundleRefused, UsageError, printable
from soundsright.core.zip_faults import ZIP_FAULTS

MAX_BUNDLE_BYTES = 16 << 30
"""All files of a bundle together, as they are when unpacked."""
MAX_BUNDLE_FILES = 500_000
MAX_UNPACKED_RATIO = 300
"""The largest ratio of a file to its part of the archive. Score lines reach 12, plain repetition 1000."""
MAX_AUDIO_BYTES = 64 << 20
MAX_DIRECTORY_BYTES = 256 * MAX_BUNDLE_FILES
LOG_PROOF = "log.json"
"""The file in a run's folder, and in its bundle, with the proof that its document is in a log."""
_END_BYTES = 70_000
"""The end of an archive, with its comment of up to 65,535 bytes."""
_IN_ZIP64 = 0xFFFFFFFF
_ALWAYS_BYTES = 1 << 20
"""Up to this size, a file may have any ratio."""
_DEEPEST = 3

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
_MIB = 1 << 20
LIMITS: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(pattern), limit)
    for pattern, limit in (
        (r"round\.json", 12 * _MIB),
        (r"(committed|proof|log)\.json", 1 << 20),
        (r"index\.json", 8 * _MIB),
        (r"results\.json", 64 * _MIB),
        (r"plan\.json", 32 * _MIB),
        (r"(scores|steps|answers)\.jsonl", 512 * _MIB),
        (r"clips\.jsonl", 128 * _MIB),
        (rf"sets/{_NAME}/manifest\.jsonl", 256 * _MIB),
        (rf"disclosed/{_NAME}\.jsonl", 256 * _MIB),
        (r"audio/([0-9a-f]{2})/\1[0-9a-f]{62}\.(flac|wav)", MAX_AUDIO_BYTES),
    )
)
"""The names that a bundle can have, each with the most bytes of such a file."""


def max_bytes_of(name: str) -> int | None:
    """The most bytes that the file of that name can have; None if no bundle has such a file.

    >>> max_bytes_of("round.json"), max_bytes_of("../round.json")
    (12582912, None)
    """
    return next((limit for pattern, limit in LIMITS if pattern.fullmatch(name)), None)


def audio_name(sha256: str, kind: str = "flac") -> str:
    """The name of the audio file with that digest.

    >>> audio_name("ab" + "0" * 62)[:12]
    'audio/ab/ab0'
    """
    return f"audio/{sha256[:2]}/{sha256}.{kind}"


class BundleStore(Protocol):
    """The files of a bundle. `sizes` are by name."""

    path: Path
    sizes: Mapping[str, int]

    def read(self, name: str) -> bytes:
        """The whole file.

        Raises:
            BundleRefused: there is no such file, or it is not as large as it said.
        """
        ...

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exc: object) -> None: ...


def open_store(path: Path) -> BundleStore:
    """The files of the bundle in a folder or a .zip file.

    Raises:
        UsageError: there is no such file or folder, or it cannot be read.
        BundleRefused: it has a name twice, a name that no bundle has, a link, or more than a bundle can have.
    """
    try:
        if path.is_dir():
            _check_is_no_run(path)
            return FolderStore(path)
        if not path.is_file():
            raise UsageError(f"{path} is not a file or folder", "Give a bundle: a folder or a .zip file.")
        if path.suffix.lower() != ".zip":
            raise UsageError(f"{path} is not a .zip file", "Give a bundle: a folder or a .zip file.")
        return ZipStore(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror or error})", "Give a bundle: a folder or a .zip file."
        ) from error


def _check_is_no_run(folder: Path) -> None:
    """A run has the files of a bundle's name too, so a reader would call its first other file foreign.

    Raises:
        UsageError: the folder is that of a run.
    """
    if (folder / "results.json").is_file() and not (folder / "round.json").exists():
        raise UsageError(
            f"{folder} is a run, not a bundle",
            f"Make a bundle of it: soundsright bundle make {folder} --out FILE.zip",
        )


class _Store:
    """The part that both kinds of store share."""

    def __init__(self, path: Path, sizes: Mapping[str, int]) -> None:
        self.path = path
        self.sizes = sizes

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _size_of(self, name: str) -> int:
        if name not in self.sizes:
            raise BundleRefused(f"{self.path} has no {name}")
        return self.sizes[name]

    def _whole(self, name: str, raw: bytes, size: int) -> bytes:
        if len(raw) != size:
            raise BundleRefused(f"{name} has not the {size} bytes that it should have")
        return raw


class FolderStore(_Store):
    """A bundle in a folder.

    Raises:
        BundleRefused: as `open_store`.
        OSError: the folder cannot be read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, _listed(path))

    def read(self, name: str) -> bytes:
        size = self._size_of(name)
        try:
            # The file may have been replaced by a link or a pipe since it was listed.
            descriptor = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise BundleRefused(f"{name} is not a plain file")
                return self._whole(name, file.read(size + 1), size)
        except OSError as error:
            raise BundleRefused(f"{name} cannot be read ({error.strerror})") from error


def _listed(folder: Path) -> dict[str, int]:
    """The size of each file below the folder, by name."""
    sizes: dict[str, int] = {}
    level = [""]
    for depth in range(_DEEPEST + 1):
        below: list[str] = []
        for prefix in level:
            with os.scandir(folder / prefix) as entries:
                for entry in entries:
                    name = f"{prefix}{entry.name}"
                    if entry.is_dir(follow_symlinks=False) and depth < _DEEPEST:
                        below.append(f"{name}/")
                        _check_count(len(sizes) + len(below))
                        continue
                    if not entry.is_file(follow_symlinks=False):
                        raise BundleRefused(f"{_short(name)} is not a plain file")
                    _add(sizes, name, entry.stat(follow_symlinks=False).st_size)
        level = below
    _check_total(sizes)
    return sizes


class ZipStore(_Store):
    """A bundle in a .zip file.

    Raises:
        BundleRefused: as `open_store`.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        try:
            _check_directory(path, self._file)
            self._archive = zipfile.ZipFile(self._file)
            super().__init__(path, _sizes(self._archive))
        except (BundleRefused, OSError):
            self._file.close()
            raise
        except ZIP_FAULTS as error:
            self._file.close()
            raise BundleRefused(f"{path} is not a .zip file that can be read") from error

    def close(self) -> None:
        self._archive.close()
        self._file.close()

    def read(self, name: str) -> bytes:
        size = self._size_of(name)
        try:
            with self._archive.open(name) as member:
                return self._whole(name, member.read(size + 1), size)
        except BundleRefused:
            raise
        except ZIP_FAULTS as error:
            raise BundleRefused(f"{name} is damaged in the archive") from error


def _check_directory(path: Path, file: IO[bytes]) -> None:
    """Check the size of the archive's list of files before it is read, because it is read into memory at once."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END_BYTES))
    tail = file.read(_END_BYTES)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise BundleRefused(f"{path} is not a .zip file that can be read")
    count, listed = struct.unpack_from("<HI", tail, end + 10)
    # Python follows a record for large archives wherever its locator is, whatever the short record says.
    has_locator = tail[max(0, end - 20) : end].startswith(b"PK\x06\x07")
    if listed == _IN_ZIP64 or has_locator:
        long_end = end - 20 - 56
        if not has_locator or long_end < 0 or tail[long_end : long_end + 4] != b"PK\x06\x06":
            raise BundleRefused(f"{path} is not a .zip file that can be read")
        count, listed = struct.unpack_from("<QQ", tail, long_end + 32)
        end = long_end
    start = size - len(tail) + end - listed
    if listed > MAX_DIRECTORY_BYTES or count > MAX_BUNDLE_FILES or _is_long_list(file, start, listed):
        raise BundleRefused(f"{path} lists more than {MAX_BUNDLE_FILES} files")


def _is_long_list(file: IO[bytes], start: int, length: int) -> bool:
    """Whether a list of files has more than a bundle can have. Its number is not what the archive says of it."""
    file.seek(max(0, start))
    count, before = 0, b""
    while length > 0 and count <= MAX_BUNDLE_FILES:
        chunk = file.read(min(length, 1 << 20))
        if not chunk:
            break
        length -= len(chunk)
        count += (before + chunk).count(b"PK\x01\x02")
        before = chunk[-3:]
    return count > MAX_BUNDLE_FILES


def _sizes(archive: zipfile.ZipFile) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for info in archive.infolist():
        if info.orig_filename != info.filename:
            raise BundleRefused(f"{_short(info.orig_filename)} is not a file that a bundle has")
        if info.is_dir():
            raise BundleRefused(f"{_short(info.filename)} is a folder in the archive, and a bundle has files only")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise BundleRefused(f"{_short(info.filename)} is not a plain file")
        if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleRefused(f"{_short(info.filename)} is encrypted, or compressed in another way than deflate")
        _add(sizes, info.filename, info.file_size)
        if info.file_size > max(_ALWAYS_BYTES, MAX_UNPACKED_RATIO * info.compress_size):
            raise BundleRefused(
                f"{info.filename} would unpack to {info.file_size} bytes from {info.compress_size}, more than"
                f" {MAX_UNPACKED_RATIO} times as many"
            )
    _check_total(sizes)
    return sizes


def _add(sizes: dict[str, int], name: str, size: int) -> None:
    limit = max_bytes_of(name)
    if limit is None:
        raise BundleRefused(f"{_short(name)} is not a file that a bundle has")
    if name in sizes:
        raise BundleRefused(f"{name} is there twice")
    if size > limit:
        raise BundleRefused(f"{name} has {size} bytes, and at most {limit} are read")
    sizes[name] = size
    _check_count(len(sizes))


def _check_count(count: int) -> None:
    if count > MAX_BUNDLE_FILES:
        raise BundleRefused(f"It has more than {MAX_BUNDLE_FILES} files")


def _check_total(sizes: Mapping[str, int]) -> None:
    total = sum(sizes.values())
    if total > MAX_BUNDLE_BYTES:
        raise BundleRefused(
            f"It has {total / 1e9:.1f} GB when unpacked, and at most {MAX_BUNDLE_BYTES / 1e9:.1f} GB are read"
        )


def _short(name: str) -> str:
    return printable(name[:100])
