"""The salt of a commitment: stored before it is used, kept for a content, and never lost without a word."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.submission import is_salt
from soundsright.services.miner.secrets_store import stored_salt
from tests.services.services_bench import ENTRY

CONTENT = "c" * 64


def test_a_content_keeps_its_salt_and_each_content_has_its_own(tmp_path: Path) -> None:
    first = stored_salt(tmp_path, "hk", "A", CONTENT)
    assert is_salt(first)
    others = {
        stored_salt(tmp_path, "hk", "A", "d" * 64),
        stored_salt(tmp_path, "hk", "B", CONTENT),
        stored_salt(tmp_path, "other", "A", CONTENT),
    }
    assert len(others | {first}) == 4
    assert stored_salt(tmp_path, "hk", "A", CONTENT) == first


def test_the_salt_is_on_the_disk_for_its_owner_only(tmp_path: Path) -> None:
    salt = stored_salt(tmp_path / "new folder", "hk", "A", CONTENT)
    (path,) = (tmp_path / "new folder").iterdir()
    assert salt in json.loads(path.read_text())["salts"].values()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_salt_that_cannot_be_stored_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureFault):
        stored_salt(tmp_path / "file", "hk", "A", CONTENT)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"salts": {"a": "short"}}', '{"salts": []}', "[" * 100_000])
def test_a_damaged_file_of_salts_is_not_replaced(tmp_path: Path, text: str) -> None:
    """A new salt would give the same content another digest, in a later block."""
    path = tmp_path / "salts.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="damaged"):
        stored_salt(tmp_path, "hk", "A", CONTENT)
    assert path.read_text() == text


def test_a_part_that_a_killed_process_left_does_no_harm(tmp_path: Path) -> None:
    first = stored_salt(tmp_path, "hk", "A", CONTENT)
    (tmp_path / ".salts.json.1.part").write_text('{"salts')
    assert stored_salt(tmp_path, "hk", "A", CONTENT) == first


def test_no_text_of_an_entry_shows_its_salt() -> None:
    assert ENTRY.salt not in repr(ENTRY)
