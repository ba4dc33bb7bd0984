"""The ZIP that a model returns, read within bounds and never unpacked to disk.

A member's name only looks a clip up; no path is ever made from it. Whatever has no place in a model's answer (a
path, a link, a name twice, encryption, an exotic compression, more than was asked for) refuses the archive as a
whole.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

from soundsright.core.errors import ProtocolViolation
from soundsright.core.zip_faults import ZIP_FAULTS

_CENTRAL_HEADER = b"PK\x01\x02"
_SCAN_BYTES = 1 << 20
_READ_BYTES = 1 << 18
_EXTRA_MEMBERS = 16
"""A folder entry or a note beside the clips is no offence."""


@dataclass(frozen=True)
class ArchiveBounds:
    """`member_bytes`: for each name that is wanted, how many bytes it may unpack to.

    The bound is by size, not by ratio: an honest second of silence shrinks a thousandfold.
    """

    member_bytes: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        return sum(self.member_bytes.values())

    @property
    def archive_bytes(self) -> int:
        """What the archive itself may weigh: stored without compression, plus its directory."""
        return self.total_bytes + 1_024 * (len(self.member_bytes) + _EXTRA_MEMBERS) + 65_536


def read_archive(file: IO[bytes], bounds: ArchiveBounds) -> dict[str, bytes | None]:
    """What the archive holds under each wanted name: its bytes, or None where it unpacks to more than its bound.

    A name that is not there is missing from the result. Members under other names are not read.

    Raises:
        ProtocolViolation: if the archive is damaged or hostile.
    """
    most = len(bounds.member_bytes) + _EXTRA_MEMBERS
    if _count(file, _CENTRAL_HEADER, most + 1) > most:
        # Counted before `zipfile` makes an object of each: a directory of millions must not fill memory.
        raise ProtocolViolation(f"the archive holds more than {most} members, {len(bounds.member_bytes)} expected")
    try:
        with zipfile.ZipFile(file) as archive:
            members = _checked(archive.infolist())
            return {
                name: _read(archive, members[name], limit)
                for name, limit in bounds.member_bytes.items()
                if name in members
            }
    except ZIP_FAULTS as e:
        raise ProtocolViolation(f"the archive cannot be read: {str(e)[:200]}") from e


def _checked(members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    by_name: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        # orig_filename: `filename` is cut at the first NUL, which would hide what was sent.
        name = member.orig_filename
        shown = ascii(name[:80])
        parts = name.rstrip("/").split("/")
        if (
            not name
            or name[0] == "/"
            or "\\" in name
            or "\0" in name
            or ":" in name
            or ".." in parts
            or "." in parts
        ):
            raise ProtocolViolation(f"the archive holds the path {shown}")
        if name in by_name:
            raise ProtocolViolation(f"the archive holds {shown} twice")
        mode = member.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ProtocolViolation(f"the archive holds {shown}, a link or a special file")
        if member.flag_bits & 0x41:
            raise ProtocolViolation(f"the archive holds {shown}, encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ProtocolViolation(f"the archive holds {shown} in compression {member.compress_type}")
        by_name[name] = member
    return by_name


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes | None:
    """At most `limit` bytes, counted as they unpack: the sizes in the headers are the model's own words."""
    if member.file_size > limit:
        return None
    parts: list[bytes] = []
    left = limit + 1
    with archive.open(member) as stream:
        while left > 0 and (part := stream.read(min(left, _READ_BYTES))):
            parts.append(part)
            left -= len(part)
    return None if left <= 0 else b"".join(parts)


def _count(file: IO[bytes], pattern: bytes, enough: int) -> int:
    """How often the bytes occur, counted up to `enough`."""
    file.seek(0)
    found, tail = 0, b""
    while found < enough and (block := file.read(_SCAN_BYTES)):
        found += (tail + block).count(pattern)
        tail = block[-(len(pattern) - 1) :]
    file.seek(0)
    return found
