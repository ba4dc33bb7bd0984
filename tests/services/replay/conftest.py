"""One round and its honest bundle, which these tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soundsright.services.records import RoundBundle, check_bundle, open_bundle
from tests.services.replay.bundled import Bundled


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    return Bundled(tmp_path_factory.mktemp("world") / "round")


@pytest.fixture(scope="session")
def honest(world: Bundled) -> Path:
    return world.bundle("honest")


@pytest.fixture
def bundle(honest: Path) -> Iterator[RoundBundle]:
    with open_bundle(honest) as opened:
        check_bundle(opened)
        yield opened
