"""Two builds of one model have one content, and everything that a container could notice changes it."""

from __future__ import annotations

import contextlib

import docker.errors
import pytest

from soundsright.adapters.containers import (
    BuildLimits,
    DockerSandbox,
    DockerSettings,
    Engine,
    image_content_digest,
)
from soundsright.adapters.containers.image_build import ImageBuild
from soundsright.core.errors import InfrastructureFault
from soundsright.core.ports import ImageBuilder
from soundsright.core.submission import FetchedModel
from tests.conftest import MakeModel
from tests.engines import BASE

pytestmark = pytest.mark.docker

MOST_BYTES = 5_000_000_000
LINES = (
    "ARG SOURCE_DATE_EPOCH",
    "WORKDIR /app",
    "COPY . .",
    "RUN mkdir made && echo $SOURCE_DATE_EPOCH > made/epoch",
)
DOCKERFILE = "\n".join((f"FROM {BASE}", *LINES, 'CMD ["python", "app.py"]', ""))


def id_and_content(engine: Engine, model: FetchedModel) -> tuple[str, str]:
    """The id and the content of a new image. It is removed, so that the next build finds no step in the cache."""
    tag = "soundsright-content:test"
    image = ImageBuild(engine, model, BuildLimits(network="none"), tag, {}, ()).run().id
    try:
        return image, image_content_digest(engine, image, max_bytes=MOST_BYTES)
    finally:
        with contextlib.suppress(docker.errors.ImageNotFound):
            engine.client.images.remove(image, force=True)


def test_two_builds_have_two_ids_and_one_content(engine: Engine, make_model: MakeModel) -> None:
    model = make_model(dockerfile=DOCKERFILE)
    (first, content), (second, again) = (id_and_content(engine, model) for _ in range(2))
    assert first != second
    assert content == again
    left = engine.client.containers.list(all=True, filters={"label": "soundsright=content"}, ignore_removed=True)
    assert not left


def test_a_sandbox_gives_the_content_of_the_image_that_it_built(engine: Engine, make_model: MakeModel) -> None:
    model = make_model(name="built", dockerfile=DOCKERFILE)
    sandbox = DockerSandbox(engine, settings=DockerSettings(build=BuildLimits(network="none")))
    assert isinstance(sandbox, ImageBuilder)
    with pytest.raises(InfrastructureFault):
        sandbox.built_content(model)
    image = sandbox.build(model)
    try:
        content = sandbox.built_content(model)
        assert content == image_content_digest(engine, image.id, max_bytes=MOST_BYTES)
    finally:
        engine.client.images.remove(image.id, force=True)


def test_a_file_a_mode_and_a_setting_change_the_content(engine: Engine, make_model: MakeModel) -> None:
    changes = {
        "as it is": DOCKERFILE,
        "a random file": DOCKERFILE + "RUN head -c 8 /dev/urandom > made/chance\n",
        "a mode": DOCKERFILE + "RUN chmod 600 made/epoch\n",
        "a link": DOCKERFILE + "RUN ln -s epoch made/link\n",
        "a variable": DOCKERFILE + "ENV MODE=2\n",
        "a user": DOCKERFILE + "USER 10001\n",
    }
    found = {
        id_and_content(engine, make_model(name=name.replace(" ", "-"), dockerfile=text))[1]
        for name, text in changes.items()
    }
    assert len(found) == len(changes)


def test_an_image_beyond_the_limit_is_not_read_to_its_end(engine: Engine) -> None:
    with pytest.raises(InfrastructureFault, match="more than 1000000 bytes"):
        image_content_digest(engine, BASE, max_bytes=1_000_000)
