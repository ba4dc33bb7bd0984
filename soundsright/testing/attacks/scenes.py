"""An attack as data: who enters an honest round, who enters the attacked one, and whose earnings are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from soundsright.core.competition import PUBLISHED, Competition
from soundsright.testing.attacks.stage import DAY_BLOCKS, Cast, Entrant
from soundsright.testing.attacks.systems import System, enhancer, model_folder
from soundsright.testing.attacks.worlds import World

CHAMPION = "champion"
ATTACKER = "attacker"
DENOISING_16K, DENOISING_48K = PUBLISHED[0], PUBLISHED[2]

_RIVALS = ("webrtc", "spectral-gate")


@dataclass(frozen=True)
class Scene:
    """The rounds of an attack.

    `history` wins the titles in a first round. Then `honest` and `attacked` are played from there, each on the
    same clips: one cast for every validator that sees another one. The earnings of the `attackers` are summed, and
    `victim` is the hotkey whose loss counts. `finding` says what an attacking client obtained. `broken` names a
    harm that no share shows; it is empty if there is none.
    """

    history: Cast
    honest: tuple[Cast, ...]
    attacked: tuple[Cast, ...]
    attackers: tuple[str, ...] = (ATTACKER,)
    victim: str = CHAMPION
    after_blocks: int = DAY_BLOCKS
    finding: str = ""
    broken: str = ""


@dataclass(frozen=True)
class Attack:
    """An attack: its name, one line about it, the honest model that it starts from, and how it is played."""

    name: str
    summary: str
    start: str
    build: Callable[[World], Scene]
    competition: Competition = DENOISING_16K


@dataclass(frozen=True)
class Field:
    """The honest entries of a scene: the champion, the attacker's own model, and two more."""

    champion: Entrant
    own: Entrant
    rivals: Cast

    @property
    def cast(self) -> Cast:
        return (self.champion, *self.rivals, self.own)

    def with_attackers(self, *attackers: Entrant) -> Cast:
        """The cast with these entries in place of the attacker's own model."""
        return (self.champion, *self.rivals, *attackers)


def shipped_entrant(hotkey: str, model: str) -> Entrant:
    """An honest entry: one of the models that ship with the project."""
    return Entrant(hotkey, enhancer(model), model_folder(model))


def field_of(champion: str, own: str) -> Field:
    """A champion and an attacker's own model by the names of their models, with two rivals."""
    rivals = tuple(shipped_entrant(f"rival-{number}", model) for number, model in enumerate(_RIVALS))
    return Field(shipped_entrant(CHAMPION, champion), shipped_entrant(ATTACKER, own), rivals)


def own_system_scene(field: Field, system: System) -> Scene:
    """The attacker enters its own model with other answers."""
    return Scene(
        (field.champion,),
        (field.cast,),
        (field.with_attackers(replace(field.own, system=system)),),
    )
