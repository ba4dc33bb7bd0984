"""The ZIP archive that a model returns: read within limits, and refused as a whole if it is hostile."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundsright.adapters.protocol.archive import ArchiveBounds, read_archive
from soundsright.core.errors import ProtocolViolation

BOUNDS = ArchiveBounds({"a.wav": 1_000, "b.wav": 1_000})


def zipped(fill: Callable[[zipfile.ZipFile], None], compression: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        fill(archive)
    out.seek(0)
    return out


def members(*files: tuple[str, bytes]) -> Callable[[zipfile.ZipFile], None]:
    """A function that writes these files, by name and content, into an archive."""

    def fill(archive: zipfile.ZipFile) -> None:
        for name, content in files:
            archive.writestr(name, content)

    return fill


def test_only_expected_members_are_read() -> None:
    def fill(archive: zipfile.ZipFile) -> None:
        archive.writestr("a.wav", b"x")
        archive.writestr("note.txt", b"y")
        archive.mkdir("folder")

    assert read_archive(zipped(fill), BOUNDS) == {"a.wav": b"x"}


def test_a_member_that_unpacks_to_more_than_its_limit_is_none() -> None:
    assert read_archive(zipped(lambda z: z.writestr("a.wav", bytes(1_001))), BOUNDS) == {"a.wav": None}


def test_a_member_with_a_false_size_in_its_header_is_cut_at_its_limit() -> None:
    data = bytearray(zipped(lambda z: z.writestr("a.wav", bytes(50_000_000))).getvalue())
    for offset in (22, data.index(b"PK\x01\x02") + 24):
        data[offset : offset + 4] = (900).to_bytes(4, "little")
    try:
        members = read_archive(io.BytesIO(bytes(data)), BOUNDS)
    except ProtocolViolation:
        return
    assert members["a.wav"] is None or len(members["a.wav"]) <= 1_000


def test_highly_compressed_silence_is_allowed() -> None:
    bounds = ArchiveBounds({"a.wav": 10_000_000})
    assert read_archive(zipped(lambda z: z.writestr("a.wav", bytes(10_000_000))), bounds)["a.wav"] == bytes(
        10_000_000
    )


@pytest.mark.parametrize("name", ["../a.wav", "/a.wav", "x/../../a.wav", "..\\a.wav", "C:a.wav", "./a.wav"])
def test_a_path_in_a_name_refuses_the_archive(name: str) -> None:
    with pytest.raises(ProtocolViolation, match="path"):
        read_archive(zipped(lambda z: z.writestr(name, b"")), BOUNDS)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_refuses_the_archive() -> None:
    with pytest.raises(ProtocolViolation, match="twice"):
        read_archive(zipped(members(("a.wav", b""), ("a.wav", b""))), BOUNDS)


def test_a_link_refuses_the_archive() -> None:
    link = zipfile.ZipInfo("a.wav")
    link.external_attr = 0o120777 << 16
    with pytest.raises(ProtocolViolation, match="link"):
        read_archive(zipped(lambda z: z.writestr(link, "/etc/passwd")), BOUNDS)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_exotic_compression_refuses_the_archive(compression: int) -> None:
    with pytest.raises(ProtocolViolation, match="compression"):
        read_archive(zipped(lambda z: z.writestr("a.wav", b"x"), compression), BOUNDS)


def test_an_encrypted_member_refuses_the_archive() -> None:
    data = bytearray(zipped(lambda z: z.writestr("a.wav", b"x")).getvalue())
    for offset in (6, data.index(b"PK\x01\x02") + 8):
        data[offset] |= 1
    with pytest.raises(ProtocolViolation, match="encrypted"):
        read_archive(io.BytesIO(bytes(data)), BOUNDS)


def test_a_directory_of_thousands_is_refused_before_it_is_read() -> None:
    file = zipped(members(*((f"{n}", b"") for n in range(5_000))))
    with pytest.raises(ProtocolViolation, match="more than 18 members"):
        read_archive(file, BOUNDS)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8), st.integers(0, 300))
def test_damaged_archives_raise_nothing_but_a_protocol_violation(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(zipped(members(("a.wav", bytes(100)), ("b.wav", b"y" * 50))).getvalue())
    for offset, value in changes:
        data[offset % len(data)] = value
    try:
        contents = read_archive(io.BytesIO(bytes(data[: len(data) - cut])), BOUNDS)
    except ProtocolViolation:
        return
    assert all(value is None or len(value) <= 1_000 for value in contents.values())


@pytest.mark.parametrize("offset", [2**62, 2**63, 2**64 - 1])
def test_a_member_beyond_the_end_of_the_file_is_refused(offset: int) -> None:
    name, wide = b"a.wav", struct.pack("<HHQ", 1, 8, offset)
    facts = (45, 3, 45, 0, 0, 0, 0, 33, 0, 10, 10, len(name), len(wide), 0, 0, 0, 0, 0xFFFFFFFF)
    directory = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", *facts) + name + wide
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), 0, 0)
    with pytest.raises(ProtocolViolation, match="the archive cannot be read"):
        read_archive(io.BytesIO(directory + end), BOUNDS)
