"""Measures what an attack earns. Shares are percent of a round's emission.

Every round starts from the same titles, and is played twice on the same clips: once with the attacker's honest
model, once with the attack. So the rounds are independent but for the pool of clips that they share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.competition import Competition
from soundsright.core.results import Estimate
from soundsright.core.rulesets import Ruleset
from soundsright.ranking import mean_estimate
from soundsright.testing.attacks.scenes import Attack, Scene
from soundsright.testing.attacks.stage import Cast, Setting, shares_of
from soundsright.testing.attacks.worlds import World, world_of

CLIPS = 20
POOL_SIZE = 96


@dataclass(frozen=True)
class Measured:
    """What an attack earns over rounds. All are means over rounds with 95 % intervals.

    `start` is what the honest model earns, `earned` what the attack earns, `gain` the difference. `loss` is what
    the victim loses by the attack, `others` what the other honest entries lose together.
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
        return not (self.earns_more or self.costs_the_victim or self.broken)

    @property
    def earns_more(self) -> bool:
        """Whether the attack earns more than the honest model. One round has no interval; its mean decides."""
        return _is_positive(self.gain)

    @property
    def costs_the_victim(self) -> bool:
        """Whether the victim loses by the attack, by the same rule."""
        return _is_positive(self.loss)


def _is_positive(estimate: Estimate) -> bool:
    return (estimate.mean if estimate.low is None else estimate.low) > 0


@dataclass(frozen=True)
class _Earnings:
    attackers: float
    victim: float
    others: float


class Arena:
    """Plays attacks under one ruleset. What several attacks share is computed once: clips, answers, honest rounds.

    `folder` is for files that can be thrown away; the caller removes it.
    """

    def __init__(
        self, ruleset: Ruleset, folder: Path, *, seed: int = 0, clips: int = CLIPS, pool_size: int = POOL_SIZE
    ) -> None:
        self._ruleset = ruleset
        self._folder = folder
        self._seed = seed
        self._clips = clips
        self._pool_size = pool_size
        self._worlds: dict[str, World] = {}
        self._settings: dict[tuple[str, Cast], Setting] = {}
        self._shares: dict[tuple[str, Cast, Cast, int, int], dict[str, float]] = {}

    def world(self, competition: Competition) -> World:
        """The world of a competition.

        Raises:
            UsageError: the recordings are not installed.
        """
        if competition.id not in self._worlds:
            self._worlds[competition.id] = world_of(
                self._ruleset,
                competition,
                self._folder / competition.id,
                clips=self._clips,
                pool_size=self._pool_size,
                seed=self._seed,
            )
        return self._worlds[competition.id]

    def measured(
        self, attack: Attack, *, rounds: int, progress: Callable[[int], None] = lambda _round: None
    ) -> Measured:
        """Play an attack over `rounds` rounds. `progress` gets the number of rounds that are done.

        Raises:
            UsageError: the recordings or the models are not installed.
        """
        world = self.world(attack.competition)
        scene = attack.build(world)
        honest, attacked = [], []
        for number in range(1, rounds + 1):
            honest.append(self._earnings(world, scene, scene.honest, number))
            attacked.append(self._earnings(world, scene, scene.attacked, number))
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

    def shares(self, world: World, scene: Scene, cast: Cast, number: int) -> dict[str, float]:
        """What each hotkey earns in round `number` of a cast, after the scene's history."""
        competition_id = world.stage.competition.id
        key = competition_id, scene.history, cast, scene.after_blocks, number
        if key not in self._shares:
            setting = self._settings.get((competition_id, scene.history))
            if setting is None:
                setting = self._settings[competition_id, scene.history] = world.stage.opened(scene.history)
            outcome = world.stage.continued(setting, cast, number=number, after_blocks=scene.after_blocks)
            self._shares[key] = shares_of(outcome)
        return self._shares[key]

    def _earnings(self, world: World, scene: Scene, casts: Sequence[Cast], number: int) -> _Earnings:
        """What is earned in one round, as the mean over the validators."""
        attackers = victim = others = 0.0
        for cast in casts:
            shares = self.shares(world, scene, cast, number)
            attackers += math.fsum(share for hotkey, share in shares.items() if hotkey in scene.attackers)
            victim += shares.get(scene.victim, 0.0)
            others += math.fsum(s for h, s in shares.items() if h not in scene.attackers and h != scene.victim)
        return _Earnings(attackers / len(casts), victim / len(casts), others / len(casts))
