"""The harvest: collect what rounds publish about their clips, then parrot."""

from __future__ import annotations

import re

from soundsright.services.records import results_of, scores_of, scores_text
from soundsright.services.rounds import RoundOutcome
from soundsright.testing.attacks.parrots import Library, parrot
from soundsright.testing.attacks.scenes import Attack, Scene, own_system_scene
from soundsright.testing.attacks.signal_attacks import CLOSE
from soundsright.testing.attacks.worlds import World

ROUNDS_WATCHED = 5
_FIRST = 1_000_000  # Their numbers are not those of the rounds that are measured.
_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"')


def named_recordings(outcome: RoundOutcome, live: set[str]) -> set[str]:
    """The live recordings that the public documents of a round name."""
    documents = results_of(outcome).model_dump_json() + scores_text(scores_of(outcome))
    return live & set(_NAME.findall(documents))


def _harvest(world: World) -> Scene:
    """The attacker has heard nothing before. It reads what the first rounds publish."""
    recordings = world.live
    setting = world.stage.opened((CLOSE.champion,))
    names: set[str] = set()
    for number in range(ROUNDS_WATCHED):
        outcome = world.stage.continued(setting, CLOSE.cast, number=_FIRST + number)
        names |= named_recordings(outcome, set(recordings))
    harvested = Library("harvest", {name: recordings[name] for name in sorted(names)})
    scene = own_system_scene(CLOSE, parrot(harvested, CLOSE.own.system))
    finding = f"{ROUNDS_WATCHED} rounds name {len(names)} of {len(recordings)} recordings in use"
    return Scene(scene.history, scene.honest, scene.attacked, finding=finding)


HARVESTS = (
    Attack("harvest", "collects the recordings that rounds publish, and returns them later", "nsnet2", _harvest),
)
"""Attacks that read public documents."""
