"""The contract of the port `ModelHub`: the same tests for every hub.

To test a hub of your own package, give its URL in E2E_HUB, such as `shelf:///srv/models`. Name a model that it has
in E2E_MODEL, as NAMESPACE/NAME@REVISION. Then run with `-k plugged`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from soundsright.adapters.hubs import FolderHub, HubOptions, HuggingFaceHub, ImageFolders, plugged_hub
from soundsright.core.competition import PUBLISHED
from soundsright.core.content import content_hash, sha256_of_file
from soundsright.core.errors import EntryRefused
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import ModelHub
from soundsright.core.sources import ImageRef, ModelRef, Source
from soundsright.core.submission import FetchedModel, Submission
from soundsright.testing.fakes import FakeHub, FakeRepository
from soundsright.testing.hub.repositories import HubRepository
from soundsright.testing.hub.server import served_hub

PLUGGED = os.environ.get("E2E_HUB", "")
FILES = {"Dockerfile": b"FROM scratch\n", "app/model.onnx": b"w" * 5_000}
REVISION = "a" * 40
HASH = "c" * 64


@dataclass
class HubUnderTest:
    """A hub that has one model, and whether each fetched model has a folder of files with its content's hash."""

    hub: ModelHub
    source: Source
    has_files: bool = True

    def submission(self, source: Source | None = None) -> Submission:
        return Submission(1, "alice", PUBLISHED[0], source or self.source, 5)

    def fetch(self) -> FetchedModel:
        return self.hub.fetch(self.submission(), limits=FetchLimits())


@pytest.fixture(params=["folder", "huggingface", "images", "fake", *(["plugged"] if PLUGGED else [])])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HubUnderTest]:
    cache = tmp_path / "cache"
    model = ModelRef("alice", "gate", REVISION)
    if request.param == "folder":
        hub = FolderHub(tmp_path / "hub", cache)
        for name, data in FILES.items():
            (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "source" / name).write_bytes(data)
        yield HubUnderTest(hub, hub.publish("alice", "gate", tmp_path / "source"))
    elif request.param == "huggingface":
        with served_hub() as server:
            server.repositories["alice/gate"] = HubRepository({REVISION: dict(FILES)})
            yield HubUnderTest(HuggingFaceHub(server.url, cache), model)
    elif request.param == "images":
        yield HubUnderTest(ImageFolders(cache), ImageRef("reg.example/lab/gate", "0" * 64))
    elif request.param == "fake":
        fake = FakeHub(tmp_path)
        fake.repositories[model] = FakeRepository(HASH)
        yield HubUnderTest(fake, model, has_files=False)
    else:
        repository, _, revision = os.environ["E2E_MODEL"].partition("@")
        namespace, _, name = repository.partition("/")
        plugged = plugged_hub(HubOptions(PLUGGED, cache, os.environ.get("HF_TOKEN")))
        yield HubUnderTest(plugged, ModelRef(namespace, name, revision))


def test_a_fetched_model_has_its_submission_and_its_content_hash(case: HubUnderTest) -> None:
    fetched = case.fetch()
    assert fetched.submission == case.submission()
    assert re.fullmatch("[0-9a-f]{64}", fetched.content_hash)
    if case.has_files:
        paths = [path for path in fetched.path.rglob("*") if path.is_file()]
        hashes = {path.relative_to(fetched.path).as_posix(): sha256_of_file(path) for path in paths}
        assert content_hash(hashes) == fetched.content_hash


def test_a_second_fetch_gives_the_same_model(case: HubUnderTest) -> None:
    assert case.fetch() == case.fetch()


def test_a_fetched_model_is_in_the_cache_by_its_content_hash(case: HubUnderTest) -> None:
    fetched = case.fetch()
    assert case.hub.cached(case.submission(), fetched.content_hash) == fetched
    assert case.hub.cached(case.submission(), "0" * 64) is None


def test_forget_keeps_the_models_that_are_named(case: HubUnderTest) -> None:
    fetched = case.fetch()
    assert case.hub.forget({fetched.content_hash}) == 0
    assert case.hub.cached(case.submission(), fetched.content_hash) == fetched
    assert case.hub.forget(()) == 1
    assert case.hub.cached(case.submission(), fetched.content_hash) is None
    assert case.fetch() == fetched


def test_a_model_that_the_hub_does_not_have_is_refused(case: HubUnderTest) -> None:
    with pytest.raises(EntryRefused):
        case.hub.fetch(case.submission(ModelRef("alice", "missing", "b" * 40)), limits=FetchLimits())
