"""A model's folder is published in a registry on this machine, pulled by its digest, and forgotten."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.containers import (
    DockerSandbox,
    DockerSettings,
    LocalRegistry,
    local_registry,
    publish_image,
)
from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.adapters.hubs import ImageFolders
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.sources import ImageRef
from soundsright.core.submission import FetchedModel, Submission
from tests.engines import OwnEngine

pytestmark = pytest.mark.docker

HOW: dict[str, Any] = {"base": OwnEngine.BUSYBOX, "limits": BuildLimits(network="none")}


@pytest.fixture
def registry() -> Iterator[LocalRegistry]:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    with local_registry() as registry:
        yield registry


def model_folder(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "Dockerfile").write_text('FROM python:3.12-slim\nRUN pip install x\nCOPY . .\nCMD ["/bin/sh"]\n')
    (folder / "text").write_text(text)
    return folder


def fetched(image: ImageRef, cache: Path) -> FetchedModel:
    return ImageFolders(cache).fetch(Submission(0, "hk", PUBLISHED[0], image, 1), limits=FetchLimits())


def image_names(own: OwnEngine) -> list[str]:
    rows = own.engine.client.api.images()
    return sorted(str(name) for row in rows for name in (*(row["RepoTags"] or ()), *(row["RepoDigests"] or ())))


def test_a_published_image_is_pulled_by_its_digest_and_forgotten_without_a_submission(
    own: OwnEngine, registry: LocalRegistry, tmp_path: Path
) -> None:
    before = image_names(own)
    repository = f"{registry.address}/lab/gate"
    first, second = (
        publish_image(own.engine, model_folder(tmp_path / text, text), repository, **HOW)
        for text in ("first", "second")
    )
    assert first.repository == second.repository == repository
    assert first != second
    assert image_names(own) == before, "the engine keeps no name of a published image"

    # Both images had the same tag. The digest still names the first one.
    sandbox = DockerSandbox(own.engine, settings=DockerSettings(BuildLimits(registries=(registry.address,))))
    models = [fetched(image, tmp_path / "cache") for image in (first, second)]
    for model in models:
        sandbox.prepare(model)
    assert sandbox.build(models[0]).build_s > 0
    assert sandbox.build(models[0]).build_s == 0, "an image that is here is not pulled again"
    assert own.engine.client.images.get(str(first)).id != own.engine.client.images.get(str(second)).id

    assert sandbox.forget_images({models[1].content_hash}) == 1
    assert any(str(second) in name for name in image_names(own))
    assert not any(str(first) in name for name in image_names(own))
    assert sandbox.forget_images(()) == 1
    assert image_names(own) == before


def test_an_image_that_somebody_else_tagged_is_not_removed(
    own: OwnEngine, registry: LocalRegistry, tmp_path: Path
) -> None:
    before = image_names(own)
    image = publish_image(
        own.engine,
        model_folder(tmp_path / "m", "tagged"),
        f"{registry.address}/lab/x",
        **HOW,
    )
    sandbox = DockerSandbox(own.engine, settings=DockerSettings(BuildLimits(registries=(registry.address,))))
    sandbox.prepare(fetched(image, tmp_path / "cache"))
    own.engine.client.images.get(str(image)).tag("mine", tag="1")
    sandbox.forget_images(())
    assert own.engine.client.images.get("mine:1")
    own.engine.client.images.remove(str(image))
    own.engine.client.images.remove("mine:1")
    assert image_names(own) == before


def test_a_missing_registry_program_is_one_line_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="apt-get install docker-registry"), local_registry():
        pass


def test_a_registry_leaves_nothing_behind() -> None:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    with local_registry() as registry:
        folder = registry.data.parent
        assert folder.exists()
    assert not folder.exists()
