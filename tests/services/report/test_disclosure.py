"""The manifest of a round's set, as it is read before anything of the round is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.core.errors import UsageError
from soundsright.services.report import disclosure
from soundsright.services.report.disclosure import manifest_lines


@pytest.mark.parametrize(
    "line", ["[]", '{"id": ""}', '{"id": ".."}', '{"id": "../../scores"}', '{"id": "a", "private_ids": "b"}', "{"]
)
def test_a_line_that_is_not_that_of_a_clip_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "manifest.jsonl").write_text(f'{{"id": "000000"}}\n{line}\n')
    with pytest.raises(UsageError, match=r"manifest\.jsonl(, line 2, is not| cannot be used)"):
        list(manifest_lines(tmp_path / "manifest.jsonl"))


def test_a_manifest_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disclosure, "_MAX_MANIFEST_BYTES", 100)
    (tmp_path / "manifest.jsonl").write_text('{"id": "000000"}\n' * 10)
    with pytest.raises(UsageError, match="larger than 100 bytes"):
        list(manifest_lines(tmp_path / "manifest.jsonl"))
