"""Measures what an attack earns. Shares are percent of a round's emission.

Every round starts from the same titles, and is played twice on the same clips: once with the attacker's honest
model, once with the attack. So the rounds are independent but for the pool of clips that they share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.results import Estimate
from soundsright.core.rulesets import Ruleset
from soundsright.ranking import mean_estimate
from soundsright.testing.attacks.scenes import Attack, Scene
from soundsright.testing.attacks.stage import Cast, Setting, shares_of
from soundsright.testing.attacks.worlds import World, world_of

CLIPS = 24
POOL_SIZE = 160


@dataclass(frozen=True)
class Measured:
    """What an attack earns over rounds. All are means over rounds with 95 % intervals.

    `start` is what the honest model earns, `earned` what the attack earns, `gain` the difference. `loss` is what the
    victim loses by the attack, `others` what the other honest entries lose together.
    """

    attack: Attack
    rounds: int
    start: Estimate
    earned: Estimate
    gain: Estimate
    loss: Estimate
    others: Estimate
    finding: str
    broken: str

    @property
    def passed(self) -> bool:
        """Whether the attack earns no more than the honest model, the victim loses nothing, and nothing broke."""
        return self.gain.low <= 0 and self.loss.low <= 0 and not self.broken


@dataclass(frozen=True)
class _Earnings:
    attackers: float
    victim: float
    others: float


def measured(
    attack: Attack,
    ruleset: Ruleset,
    folder: Path,
    *,
    rounds: int,
    seed: int = 0,
    clips: int = CLIPS,
    pool_size: int = POOL_SIZE,
    progress: Callable[[int], None] = lambda _round: None,
) -> Measured:
    """Play an attack over `rounds` rounds. `progress` gets the number of rounds that are done.

    Raises:
        UsageError: the recordings or the models are not installed.
    """
    world = world_of(ruleset, attack.competition, folder, clips=clips, pool_size=pool_size, seed=seed)
    scene = attack.build(world)
    setting = world.stage.opened(scene.history)
    honest, attacked = [], []
    for number in range(1, rounds + 1):
        honest.append(_earnings(world, scene, setting, scene.honest, number))
        attacked.append(_earnings(world, scene, setting, scene.attacked, number))
        progress(number)
    pairs = list(zip(honest, attacked, strict=True))
    return Measured(
        attack,
        rounds,
        start=mean_estimate([own.attackers for own in honest]),
        earned=mean_estimate([own.attackers for own in attacked]),
        gain=mean_estimate([after.attackers - before.attackers for before, after in pairs]),
        loss=mean_estimate([before.victim - after.victim for before, after in pairs]),
        others=mean_estimate([before.others - after.others for before, after in pairs]),
        finding=scene.finding,
        broken=scene.broken,
    )


def _earnings(world: World, scene: Scene, setting: Setting, casts: Collection[Cast], number: int) -> _Earnings:
    """What is earned in one round, as the mean over the validators."""
    attackers = victim = others = 0.0
    for cast in casts:
        outcome = world.stage.continued(setting, cast, number=number, after_blocks=scene.after_blocks)
        shares = shares_of(outcome)
        attackers += math.fsum(share for hotkey, share in shares.items() if hotkey in scene.attackers)
        victim += shares.get(scene.victim, 0.0)
        others += math.fsum(s for h, s in shares.items() if h not in scene.attackers and h != scene.victim)
    return _Earnings(attackers / len(casts), victim / len(casts), others / len(casts))
