"""Pulling images for the executor: the tries, the pauses between them, and who is to blame in the end."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from soundsright.adapters.hubs import ImageFolders
from soundsright.core.competition import PUBLISHED
from soundsright.core.content import image_content_hash
from soundsright.core.errors import (
    EngineUnavailable,
    EntryRefused,
    FaultClass,
    ImageNotPulled,
    ProtocolViolation,
    RegistryUnavailable,
    SoundsRightError,
    fault_class,
)
from soundsright.core.executor_rules import executor_rules
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import RunningModel, SandboxLimits
from soundsright.core.sources import ImageRef
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.executor import forget_images, pulled

IMAGE = ImageRef("reg.example/lab/gate", "0" * 64)
RULES = executor_rules()


class FakeRunner:
    """A runner whose tries to prepare a model end in these faults, in their order; then they succeed."""

    name = "fake"

    def __init__(self, *faults: SoundsRightError) -> None:
        self._faults = iter(faults)
        self.tries = 0

    def prepare(self, model: FetchedModel) -> None:
        self.tries += 1
        if (fault := next(self._faults, None)) is not None:
            raise fault

    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> AbstractContextManager[RunningModel]:
        raise NotImplementedError

    def stop(self) -> None: ...


class FakeKeeper(FakeRunner):
    """A runner that keeps images."""

    kept: Collection[str] = ()

    def forget_images(self, keep: Collection[str]) -> int:
        self.kept = keep
        return 3


@pytest.fixture
def model(tmp_path: Path) -> FetchedModel:
    submission = Submission(0, "hk", PUBLISHED[0], IMAGE, 1)
    return ImageFolders(tmp_path).fetch(submission, limits=FetchLimits())


AWAY = ImageNotPulled("the registry is away", passing=True)
DEFAULT_AWAY = RegistryUnavailable("The engine cannot pull it", "Check the network.")


def test_a_registry_that_fails_three_times_costs_nothing(model: FetchedModel) -> None:
    runner, pauses_s = FakeRunner(AWAY, AWAY, DEFAULT_AWAY), list[float]()
    pulled(runner, model, RULES, pauses_s.append)
    assert runner.tries == 4
    assert pauses_s == [5.0, 10.0, 20.0]


def test_a_registry_of_the_submissions_choice_that_never_answers_is_its_fault(model: FetchedModel) -> None:
    runner, pauses_s = FakeRunner(*[AWAY] * 9), list[float]()
    with pytest.raises(EntryRefused, match="the registry is away") as refused:
        pulled(runner, model, RULES, pauses_s.append)
    assert (refused.value.code, refused.value.evidence) == ("pull_failed", {"image": str(IMAGE)})
    assert runner.tries == RULES.pull_tries == len(pauses_s) + 1


def test_a_trusted_registry_that_never_answers_is_a_fault_of_this_machine(model: FetchedModel) -> None:
    runner = FakeRunner(*[DEFAULT_AWAY] * 9)
    with pytest.raises(EngineUnavailable, match=r"cannot pull it\. Check the network\.") as fault:
        pulled(runner, model, RULES, list[float]().append)
    assert fault_class(fault.value) is FaultClass.LOCAL
    assert runner.tries == RULES.pull_tries


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (ImageNotPulled("the image does not exist"), EntryRefused),
        (EngineUnavailable("The engine's disk is full", "Free space."), EngineUnavailable),
        (ProtocolViolation("IMAGE is not a plain file"), ProtocolViolation),
    ],
)
def test_a_fault_that_does_not_pass_ends_the_pull_at_once(
    fault: SoundsRightError, raised: type[Exception], model: FetchedModel
) -> None:
    runner, pauses_s = FakeRunner(fault), list[float]()
    with pytest.raises(raised):
        pulled(runner, model, RULES, pauses_s.append)
    assert (runner.tries, pauses_s) == (1, [])


def test_images_that_no_submission_names_are_removed() -> None:
    keeper = FakeKeeper()
    assert forget_images(keeper, [IMAGE]) == 3
    assert keeper.kept == {image_content_hash(IMAGE)}
    assert forget_images(FakeRunner(), [IMAGE]) == 0, "a runner without images has none to remove"
