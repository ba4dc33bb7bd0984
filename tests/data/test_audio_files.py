"""Audio files that cannot be read are told what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.core.errors import AudioFileError
from soundsright.data.audio_files import facts_of, read_file


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".m4a"])
def test_a_git_lfs_pointer_is_told_with_its_remedy(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 12345678\n")
    for read in (facts_of, read_file):
        with pytest.raises(AudioFileError, match=r"is a Git LFS pointer, not a recording. Run `git lfs pull`"):
            read(path)
