"""Pulling the base image of the executor's reference, with an engine that lacks it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import docker.errors
import pytest

from soundsright.adapters.containers import Engine, pull_base
from soundsright.core.errors import UsageError

KNOWN = "python:3.12-slim"


class Images:
    """The images of an engine that can pull `KNOWN` only."""

    def __init__(self) -> None:
        self.present: list[str] = []
        self.pulls = 0

    def get(self, name: str) -> None:
        if name not in self.present:
            raise docker.errors.ImageNotFound(name)

    def pull(self, name: str) -> None:
        self.pulls += 1
        if name != KNOWN:
            raise docker.errors.NotFound(name)
        self.present.append(name)


def test_a_base_image_is_pulled_once_and_one_that_cannot_be_pulled_is_wrong_use() -> None:
    images = Images()
    engine = cast(Engine, SimpleNamespace(client=SimpleNamespace(images=images)))
    pull_base(engine, KNOWN)
    pull_base(engine, KNOWN)
    assert (images.present, images.pulls) == ([KNOWN], 1)
    with pytest.raises(UsageError, match=r"no image nosuch:tag, and cannot pull it"):
        pull_base(engine, "nosuch:tag")
