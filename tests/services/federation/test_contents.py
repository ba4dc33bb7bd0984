"""A document on the disk is the one of its digest, or it is not there."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from soundsright.core.errors import InfrastructureFault
from soundsright.services.federation import Contents


def sha256_of(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def envelope(document: str) -> tuple[str, bytes]:
    return sha256_of(document.encode()), json.dumps({"document": document, "signature": "0x00"}).encode()


def test_an_envelope_is_kept_by_its_document_and_another_text_by_itself(tmp_path: Path) -> None:
    contents = Contents(tmp_path / "new" / "folder")
    digest, raw = envelope('{"task":7}')
    contents.put(digest, raw)
    contents.put(sha256_of(b"a list"), b"a list")
    again = Contents(tmp_path / "new" / "folder")
    assert again.get(digest) == raw
    assert again.get(sha256_of(b"a list")) == b"a list"
    assert again.get("0" * 64) is None


@pytest.mark.parametrize("damaged", [b"", b'{"document":"', b'{"document":7}', b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_file_is_removed(tmp_path: Path, damaged: bytes) -> None:
    contents, (digest, raw) = Contents(tmp_path), envelope("x")
    contents.put(digest, damaged)
    assert contents.get(digest) is None
    assert list(tmp_path.iterdir()) == []
    contents.put(digest, raw)
    assert contents.get(digest) == raw


def test_several_threads_can_store_the_same_text_at_once(tmp_path: Path) -> None:
    raw = b"x" * 200_000
    digest = sha256_of(raw)

    def stored(contents: Contents) -> bool:
        for _ in range(100):
            contents.put(digest, raw)
            if contents.get(digest) != raw:
                return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(stored, [Contents(tmp_path) for _ in range(4)])) == [True] * 4
    assert [path.name for path in tmp_path.iterdir()] == [f"{digest}.json"]


def test_those_that_were_not_used_for_longest_are_removed_when_there_is_too_much(tmp_path: Path) -> None:
    texts = [bytes([number]) * 100 for number in range(10)]
    contents = Contents(tmp_path)
    for age, raw in enumerate(texts):
        contents.put(sha256_of(raw), raw)
        os.utime(tmp_path / f"{sha256_of(raw)}.json", (1_000 + age, 1_000 + age))
    assert contents.get(sha256_of(texts[0])) is not None, "it was used now"
    small = Contents(tmp_path, max_bytes=350)
    small.put(sha256_of(b"x" * 100), b"x" * 100)
    kept = [number for number, raw in enumerate(texts) if small.get(sha256_of(raw)) is not None]
    assert kept == [0, 9]


def test_what_is_no_digest_is_no_path(tmp_path: Path) -> None:
    for text in ("../x", "", "AB" * 32):
        with pytest.raises(ValueError, match="is not a digest"):
            Contents(tmp_path).get(text)


def test_a_disk_that_fails_is_told_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InfrastructureFault, match="cannot be written"):
        Contents(tmp_path / "file").put("0" * 64, b"")
