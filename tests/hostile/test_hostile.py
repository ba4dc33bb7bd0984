"""Hostile models: each is held, gets what it deserves, harms no other and leaves nothing."""

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
    """An honest model in each sandbox, which runs beside every hostile one."""
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
    """Started before `left_behind` moves the temporary directory, since it outlives the test."""
    return neighbours(sandbox)


def open_handles() -> int:
    """How many files, pipes and connections the harness has open."""
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
        pytest.skip(f"the {sandbox.name} sandbox holds nothing of the kind: for one's own models only")
    before = set(left_behind())
    handles = open_handles()
    (tmp_path / "bait").mkdir()
    with bait(tmp_path / "bait") as found:
        outcome = tried(case, sandbox, make_model, clips, found)
    assert not outcome.escaped
    if case.attempts:
        assert outcome.held, f"the model never tried: {outcome.sentence} {outcome.log}"
    if case.gets != "any":
        assert outcome.got == case.gets, f"{outcome.sentence} {outcome.log[-500:]}"
    assert len(outcome.log.encode()) <= LIMITS.log_bytes
    assert set(left_behind()) <= before
    # An engine's client keeps a few connections for later.
    assert open_handles() <= handles + 20, "what a model sends must not stay open in the harness"
    for answer, clip in zip(neighbour.enhance(clips), clips, strict=True):
        assert answer.audio is not None, answer.failure
        np.testing.assert_array_equal(answer.audio.samples, clip.audio.samples)
