"""One small arena for all tests of attacks: few clips, few rounds, the default rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from soundsright.core.rulesets import RULESETS, SOUNDSRIGHT_V3
from soundsright.testing.attacks import Arena

CLIPS = 20
"""On fewer clips, the loss of speech that `si-sar` causes is often not significant, so it can be paid."""


@pytest.fixture(scope="session")
def arena() -> Iterator[Arena]:
    """The present world: the default ruleset, and recordings that the attacker does not know."""
    with TemporaryDirectory() as folder:
        yield Arena(RULESETS[0], Path(folder), clips=CLIPS, pool_size=CLIPS)


@pytest.fixture(scope="session")
def arena_before() -> Iterator[Arena]:
    """The world before the defences: ruleset v3, and recordings that everybody knows."""
    with TemporaryDirectory() as folder:
        yield Arena(SOUNDSRIGHT_V3, Path(folder), clips=CLIPS, pool_size=CLIPS)
