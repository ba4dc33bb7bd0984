"""An image is fetched as a folder with a file that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.adapters.hubs import ImageFolders
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import EntryRefused
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.sources import ImageRef, ModelRef
from soundsright.core.submission import Submission

IMAGE = "reg.example:5000/lab/gate@sha256:" + "0" * 64
COMMIT = "c" * 40


def test_an_image_is_fetched_as_a_folder_with_one_file(tmp_path: Path) -> None:
    hub = ImageFolders(tmp_path / "cache")
    entry = Submission(0, "hk", PUBLISHED[0], ImageRef.of_text(IMAGE), 1)
    fetched = hub.fetch(entry, limits=FetchLimits())
    assert {path.name: path.read_text() for path in fetched.path.iterdir()} == {"IMAGE": IMAGE + "\n"}
    assert hub.fetch(entry, limits=FetchLimits()) == fetched
    assert hub.cached(entry, fetched.content_hash) == fetched
    other = Submission(0, "hk", PUBLISHED[0], ModelRef("me", "gate", COMMIT), 1)
    with pytest.raises(EntryRefused):
        hub.fetch(other, limits=FetchLimits())
    assert hub.forget(()) == 1
    assert hub.cached(entry, fetched.content_hash) is None
