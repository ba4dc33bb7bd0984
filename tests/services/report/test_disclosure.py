"""The manifest of a round's set, as it is read before anything of the round is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.core.errors import UsageError
from soundsright.services.report.disclosure import manifest_lines


@pytest.mark.parametrize(
    "line", ["[]", '{"id": ""}', '{"id": ".."}', '{"id": "../../scores"}', '{"id": "a", "private_ids": "b"}', "{"]
)
def test_a_line_that_is_not_that_of_a_clip_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "manifest.jsonl").write_text(f'{{"id": "000000"}}\n{line}\n')
    with pytest.raises(UsageError, match=r"manifest\.jsonl cannot be used"):
        list(manifest_lines(tmp_path / "manifest.jsonl"))


def test_a_manifest_has_a_largest_size(tmp_path: Path) -> None:
    with (tmp_path / "manifest.jsonl").open("wb") as file:
        file.truncate(300 << 20)
    with pytest.raises(UsageError, match="larger than 256 MiB"):
        list(manifest_lines(tmp_path / "manifest.jsonl"))
