"""A folder stands in for an image where no container engine runs, and its content is its digest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.adapters.hubs import FolderHub, StandInImages, folder_hash
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import EntryRefused
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.sources import ImageRef, ModelRef, Source
from soundsright.core.submission import Submission

LIMITS = FetchLimits()


def entry(source: Source) -> Submission:
    return Submission(0, "hk", PUBLISHED[0], source, 1)


@pytest.fixture
def images(tmp_path: Path) -> StandInImages:
    return StandInImages(FolderHub(tmp_path / "hub", tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "gate"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM base")
    return folder


def test_a_published_folder_is_fetched_by_its_digest(images: StandInImages, model: Path) -> None:
    image = images.publish("me", "gate", model)
    assert str(image) == f"stand-in.invalid/me/gate@sha256:{folder_hash(model)}"
    fetched = images.fetch(entry(image), limits=LIMITS)
    assert [path.name for path in fetched.path.iterdir()] == ["Dockerfile"]
    assert fetched.submission.source == image
    assert images.cached(entry(image), image.sha256) == fetched


def test_a_changed_model_has_another_digest_and_the_old_one_stays(images: StandInImages, model: Path) -> None:
    before = images.publish("me", "gate", model)
    (model / "Dockerfile").write_text("FROM another")
    after = images.publish("me", "gate", model)
    assert before != after
    assert (images.fetch(entry(before), limits=LIMITS).path / "Dockerfile").read_text() == "FROM base"


def test_digests_and_names_that_stand_for_nothing_are_refused(images: StandInImages, model: Path) -> None:
    image = images.publish("me", "gate", model)
    wrong: dict[str, Source] = {
        "not_found": replace(image, repository="stand-in.invalid/me/other"),
        "revision_mismatch": replace(image, sha256=image.sha256[:40] + "0" * 24),
        "bad_image_ref": ImageRef("reg.example/me/gate", image.sha256),
    }
    for code, source in wrong.items():
        with pytest.raises(EntryRefused) as refused:
            images.fetch(entry(source), limits=LIMITS)
        assert refused.value.code == code
    with pytest.raises(EntryRefused, match="stand-in"):
        images.fetch(entry(ModelRef("me", "gate", image.sha256[:40])), limits=LIMITS)
