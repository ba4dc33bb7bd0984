"""A verifier with its pages: three provers that answer in their own ways, after one interval and in the next."""

from __future__ import annotations

from pathlib import Path

from soundsright.services.board import ShownTiers
from soundsright.services.verifier import SCOPE, TiersReader
from soundsright.testing.served import Manner
from tests.services.verifier.world import World

MANNERS = {
    "honest": Manner.HONEST,
    "threads": Manner.OTHER_THREADS,
    "better": Manner.BETTER,
    "short": Manner.NO_WAV,
    "gone": Manner.CRASH,
}
"""Provers by hotkey. The last one answers in the first interval only by silence."""


def verified(folder: Path) -> World:
    """A verifier in its second interval, in which nobody was asked yet: so the last failures may be heard."""
    world = World(folder, MANNERS)
    world.run_interval(1)
    world.close_interval(1)
    return world


def shown(world: World) -> ShownTiers:
    """The pages of the verifier as it is now."""
    reader = TiersReader(world.state.scoped(SCOPE), world.records, world.counters)
    return ShownTiers(reader.read(), world.context().failures_folder)
