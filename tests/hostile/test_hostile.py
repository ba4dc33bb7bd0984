"""Hostile models: none escapes, each gets the expected fault, harms no other model, and leaves nothing behind."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from soundsright.core.ports import DegradedClip, RunningModel, Sandbox
from soundsright.core.submission import FetchedModel
from tests.conftest import DOCKERFILE, KIT, fetched
from tests.hostile.cases import CASES, Case
from tests.hostile.trial import LIMITS, bait, tried

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Sandbox], RunningModel]]:
    """An honest model in each sandbox, which runs at the same time as every hostile one."""
    running: dict[str, RunningModel] = {}
    with ExitStack() as stack:

        def of(sandbox: Sandbox) -> RunningModel:
            if sandbox.name not in running:
                folder = tmp_path_factory.mktemp("neighbour")
                folder.chmod(0o755)
                published = "os.environ['PUBLISHED'] = '1'\n" if sandbox.isolated else ""
                (folder / "app.py").write_text(f"from server import *\n{published}serve(Model())\n")
                (folder / "Dockerfile").write_text(DOCKERFILE)
                (folder / "server.py").write_bytes(KIT.read_bytes())
                running[sandbox.name] = stack.enter_context(sandbox.run(fetched(folder), limits=LIMITS))
            return running[sandbox.name]

        yield of


@pytest.fixture
def neighbour(sandbox: Sandbox, neighbours: Callable[[Sandbox], RunningModel]) -> RunningModel:
    """The honest model. It starts before `left_behind` moves the temporary directory, as it outlives the test."""
    return neighbours(sandbox)


def open_handles() -> int:
    """The number of open files, pipes and connections of the harness."""
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_hostile_model(
    case: Case,
    sandbox: Sandbox,
    make_model: Callable[..., FetchedModel],
    clips: tuple[DegradedClip, ...],
    neighbour: RunningModel,
    left_behind: Callable[[], list[str]],
    tmp_path: Path,
) -> None:
    if case.needs_isolation and not sandbox.isolated:
        pytest.skip(f"the {sandbox.name} sandbox provides no isolation: use it only for models that you trust")
    before = set(left_behind())
    handles = open_handles()
    (tmp_path / "bait").mkdir()
    with bait(tmp_path / "bait") as targets:
        outcome = tried(case, sandbox, make_model, clips, targets)
    assert not outcome.escaped
    if case.attempts:
        assert outcome.prevented, f"the model never tried: {outcome.sentence} {outcome.log}"
    if case.gets != "any":
        assert outcome.result == case.gets, f"{outcome.sentence} {outcome.log[-500:]}"
    assert len(outcome.log.encode()) <= LIMITS.log_bytes
    assert set(left_behind()) <= before
    # The client of an engine keeps a few connections open.
    assert open_handles() <= handles + 20, "the harness must close what a model sent"
    for answer, clip in zip(neighbour.enhance(clips), clips, strict=True):
        assert answer.audio is not None, answer.failure
        np.testing.assert_array_equal(answer.audio.samples, clip.audio.samples)
