"""The image that was built for an entry: recorded once, in the signed document, and shown with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.core.errors import BundleRefused, EngineUnavailable
from soundsright.core.submission import FetchedModel
from soundsright.services.records import check_bundle, entry_story, first_difference, open_bundle
from soundsright.services.rounds import steps
from tests.services.records.bundles import RecordedRun, recorded
from tests.services.rounds.subnet import ROUND_ID, StuckSandbox, Subnet

CHANGES = "FROM base\n"
PINNED = f"FROM python@sha256:{'1' * 64}\nCOPY . .\n"
NOT_NAMED = "line 1: the base image base is not named by its digest, so it can change"


class Builder(StuckSandbox):
    """A sandbox that builds images, of which `contents` are by content hash. Others cannot be read."""

    contents: dict[str, str]

    def built_content(self, model: FetchedModel) -> str:
        self.asked = [*getattr(self, "asked", ()), model.submission.hotkey]
        if model.content_hash not in self.contents:
            raise EngineUnavailable("The engine does not answer", "Start it.")
        return self.contents[model.content_hash]


def built_run(folder: Path, dockerfile: str, mark: str = "a") -> RecordedRun:
    """A round in containers, in which the image of `carol` cannot be read."""
    subnet = Subnet(folder)
    (folder / "model" / "Dockerfile").write_text(dockerfile)
    subnet.sandbox = Builder(subnet.hub)
    subnet.sandbox.contents = {f"content-{name}": mark * 64 for name in ("alice", "bob")}
    return recorded(subnet)


def story(run: RecordedRun, name: str) -> tuple[str, str]:
    with open_bundle(run.record) as bundle:
        check_bundle(bundle)
        return next((line.sentence, line.proof) for line in entry_story(bundle, name) if line.step == "Image")


def test_a_build_that_cannot_be_repeated_says_why(tmp_path: Path) -> None:
    run = built_run(tmp_path, CHANGES)
    assert story(run, "alice") == (f"reproducible: no ({NOT_NAMED})", f"content {'a' * 64}")
    with open_bundle(run.record) as bundle:
        facts = {entry.hotkey: (entry.image, entry.image_reproducible) for entry in bundle.document.entries}
    assert facts == {"alice": ("a" * 64, False), "bob": ("a" * 64, False), "carol": (None, False)}


def test_a_build_that_can_be_repeated_is_said_to_be(tmp_path: Path) -> None:
    assert story(built_run(tmp_path, PINNED), "bob") == ("reproducible: yes", f"content {'a' * 64}")


def test_an_image_that_cannot_be_read_stops_no_round(tmp_path: Path) -> None:
    sentence, proof = story(built_run(tmp_path, PINNED), "carol")
    assert "its content could not be read (The engine does not answer" in sentence
    assert proof == ""


def test_an_image_is_read_once_also_after_a_restart(tmp_path: Path) -> None:
    run = built_run(tmp_path, PINNED)
    sandbox = run.subnet.sandbox
    assert isinstance(sandbox, Builder)
    run.subnet.run()
    assert sorted(sandbox.asked) == ["alice", "bob", "carol"]


def test_a_round_without_containers_and_an_old_one_have_no_image(tmp_path: Path) -> None:
    run = recorded(Subnet(tmp_path))
    assert run.subnet.steps("image:") == {}
    with open_bundle(run.record) as bundle:
        check_bundle(bundle)
        assert {(entry.image, entry.image_reproducible) for entry in bundle.document.entries} == {(None, None)}
        assert "Image" not in [line.step for line in entry_story(bundle, "alice")]


@pytest.mark.parametrize(("dockerfile", "step"), [(CHANGES, None), (PINNED, "content")])
def test_only_builds_that_can_be_repeated_are_compared(tmp_path: Path, dockerfile: str, step: str | None) -> None:
    one, other = (built_run(tmp_path / mark, dockerfile, mark) for mark in "ab")
    with open_bundle(one.record) as first, open_bundle(other.record) as second:
        found = first_difference(first, second)
    assert (found and found.step) == step


def test_a_document_that_contradicts_the_recorded_image_is_refused(tmp_path: Path) -> None:
    run = built_run(tmp_path, PINNED)
    with open_bundle(run.record) as bundle:
        entries = tuple(e.model_copy(update={"image_reproducible": False}) for e in bundle.document.entries)
        forged = bundle.document.model_copy(update={"entries": entries})
        object.__setattr__(bundle.opened, "document", forged)
        with pytest.raises(BundleRefused, match="The image of"):
            check_bundle(bundle)


def test_the_step_of_an_image_is_read_as_it_was_written() -> None:
    step = steps.ImageStep(None, False, NOT_NAMED, "no engine")
    assert steps.record_of(ROUND_ID, "image:a", step.to_facts()) == step
