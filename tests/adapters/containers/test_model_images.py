"""Each image of the tests' registry is pulled by its digest and does what its name says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundsright.adapters.containers import (
    BuildLimits,
    DockerSandbox,
    DockerSettings,
    Engine,
    LocalRegistry,
    local_registry,
)
from soundsright.adapters.hubs import ImageFolders
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import ModelFault
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import DegradedClip, SandboxLimits
from soundsright.core.submission import Submission
from tests.model_images import NAMES, published_model

pytestmark = pytest.mark.docker

LIMITS = SandboxLimits(memory_bytes=2_000_000_000, load_timeout_s=60.0)


@pytest.fixture(scope="module")
def registry(engine: Engine) -> Iterator[LocalRegistry]:
    """A registry whose images are removed from the engine at the end."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    with local_registry() as registry:
        yield registry
        for row in engine.client.api.images():
            if any(name.startswith(registry.address) for name in row["RepoDigests"] or ()):
                engine.client.images.remove(row["Id"], force=True)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_of_the_registry_runs_as_its_name_says(
    name: str, engine: Engine, registry: LocalRegistry, clips: tuple[DegradedClip, ...], tmp_path: Path
) -> None:
    image = published_model(engine, registry, name)
    model = ImageFolders(tmp_path, (registry.address,)).fetch(
        Submission(0, "hk", PUBLISHED[0], image, 1), limits=FetchLimits()
    )
    sandbox = DockerSandbox(engine, settings=DockerSettings(BuildLimits(registries=(registry.address,))))
    if name == "crasher":
        with pytest.raises(ModelFault), sandbox.run(model, limits=LIMITS) as running:
            running.enhance(clips)
        return
    with sandbox.run(model, limits=LIMITS) as running:
        answers = running.enhance(clips)
        peak_bytes = running.timing.peak_memory_bytes or 0
    assert all(answer.failure is None for answer in answers)
    if name in ("slow", "liar"):
        assert sum(answer.elapsed_s or 0.0 for answer in answers) >= 1.5, "the host measures the time"
    assert (peak_bytes > 600_000_000) == (name == "greedy")
