"""The ZIP archive that a model returns, read within limits and never unpacked to disk.

The name of a member serves only to look up a clip; no path is made from it. The whole archive is refused if it has
anything that an answer never needs: a path, a link, a name twice, encryption, an unusual compression, or too many
members.
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
"""A few members besides the clips are allowed, such as folders or a note."""


@dataclass(frozen=True)
class ArchiveBounds:
    """`member_bytes` gives each expected name and how many bytes it may unpack to.

    The limit is a size, not a compression ratio: silence shrinks a thousandfold without being an attack.
    """

    member_bytes: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        """The most that all members together may unpack to."""
        return sum(self.member_bytes.values())

    @property
    def archive_bytes(self) -> int:
        """The largest size of the archive: all members without compression, and its directory."""
        return self.total_bytes + 1_024 * (len(self.member_bytes) + _EXTRA_MEMBERS) + 65_536


def read_archive(file: IO[bytes], bounds: ArchiveBounds) -> dict[str, bytes | None]:
    """The bytes of each expected member, or None if it unpacks to more than its limit.

    A name that the archive does not have is missing in the result. Other members are not read.

    Raises:
        ProtocolViolation: if the archive is damaged or hostile.
    """
    max_members = len(bounds.member_bytes) + _EXTRA_MEMBERS
    if _count(file, _CENTRAL_HEADER, max_members + 1) > max_members:
        # Count before `zipfile` makes an object of each member: a directory of millions would fill the memory.
        raise ProtocolViolation(
            f"the archive has more than {max_members} members; expected {len(bounds.member_bytes)}"
        )
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members_by_name(archive.infolist())
            return {
                name: _read(archive, members[name], limit)
                for name, limit in bounds.member_bytes.items()
                if name in members
            }
    except ZIP_FAULTS as e:
        raise ProtocolViolation(f"the archive cannot be read: {str(e)[:200]}") from e


def _members_by_name(members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    by_name: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        # `filename` ends at the first NUL byte, which would hide the rest of the name.
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
            raise ProtocolViolation(f"the archive has a path as a member name: {shown}")
        if name in by_name:
            raise ProtocolViolation(f"the archive has the member {shown} twice")
        mode = member.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ProtocolViolation(f"the archive member {shown} is a link or a special file")
        if member.flag_bits & 0x41:
            raise ProtocolViolation(f"the archive member {shown} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ProtocolViolation(
                f"the archive member {shown} uses compression {member.compress_type}; store or deflate it"
            )
        by_name[name] = member
    return by_name


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes | None:
    """The member's bytes, or None if they exceed the limit. They are counted, because the header may be false."""
    if member.file_size > limit:
        return None
    parts: list[bytes] = []
    bytes_left = limit + 1
    with archive.open(member) as stream:
        while bytes_left > 0 and (part := stream.read(min(bytes_left, _READ_BYTES))):
            parts.append(part)
            bytes_left -= len(part)
    return None if bytes_left <= 0 else b"".join(parts)


def _count(file: IO[bytes], pattern: bytes, stop_at: int) -> int:
    """How often the pattern occurs. Stops once it has counted `stop_at`."""
    file.seek(0)
    count, tail = 0, b""
    while count < stop_at and (block := file.read(_SCAN_BYTES)):
        count += (tail + block).count(pattern)
        tail = block[-(len(pattern) - 1) :]
    file.seek(0)
    return count
