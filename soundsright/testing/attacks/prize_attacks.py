"""Attacks on the rules of payment: many entries, worthless entries, and a second hotkey for an old title."""

from __future__ import annotations

from dataclasses import replace

from soundsright.testing.attacks.scenes import (
    ATTACKER,
    CHAMPION,
    DENOISING_48K,
    Attack,
    Scene,
    shipped_entrant,
)
from soundsright.testing.attacks.signal_attacks import WIDE
from soundsright.testing.attacks.stage import Entrant
from soundsright.testing.attacks.systems import crashing, disguised, made_from
from soundsright.testing.attacks.weights import entry_folder, other_weights
from soundsright.testing.attacks.worlds import World

SYBILS = 20
JUNK = 255
_OLD_BLOCKS = 210_000
"""After these blocks a title pays the least."""


def _renewed(world: World) -> Scene:
    """The attacker is the champion of an old title. It enters the same model again, under a second hotkey."""
    owner = replace(WIDE.champion, hotkey="owner-of-the-title")
    rivals = (*WIDE.rivals, shipped_entrant("runner-up", "baseline-denoising-16k"))
    second = Entrant(ATTACKER, owner.system, owner.folder)
    return Scene(
        (owner,),
        ((owner, *rivals),),
        ((*rivals, second),),
        attackers=(ATTACKER, owner.hotkey),
        victim="runner-up",
        after_blocks=_OLD_BLOCKS,
    )


def _sybils(world: World) -> Scene:
    """The attacker's own model, in many disguises."""
    own = WIDE.own
    copies = tuple(
        Entrant(
            f"sybil-{number:02d}",
            made_from(own.system, f"disguise {number}", disguised(number)),
            other_weights(world.workshop / f"sybil-{number:02d}"),
        )
        for number in range(SYBILS - 1)
    )
    return Scene(
        (WIDE.champion,),
        (WIDE.cast,),
        ((*WIDE.cast, *copies),),
        attackers=(ATTACKER, *(copy.hotkey for copy in copies)),
    )


def _stuffing(world: World) -> Scene:
    """The attacker holds the title. Junk enters, so that a better challenger needs a larger lead."""
    holder = shipped_entrant(ATTACKER, "baseline-denoising-16k")
    challenger = shipped_entrant(CHAMPION, "baseline-denoising-48k")
    junk = tuple(
        Entrant(name, crashing(), entry_folder(world.workshop / name, {"note.txt": name.encode()}))
        for name in (f"junk-{number:03d}" for number in range(JUNK))
    )
    cast = (holder, *WIDE.rivals, challenger)
    return Scene(
        (holder,),
        (cast,),
        ((*cast, *junk),),
        attackers=(ATTACKER, *(entrant.hotkey for entrant in junk)),
    )


PRIZE_ATTACKS = (
    Attack(
        "renewed-title",
        "enters the model of its own old title under a second hotkey",
        "baseline-denoising-48k, with an old title",
        _renewed,
        DENOISING_48K,
    ),
    Attack(
        "sybil-remainder",
        f"enters its own model {SYBILS} times, in disguises of its output and other files",
        "nsnet2",
        _sybils,
        DENOISING_48K,
    ),
    Attack(
        "holm-stuffing",
        f"holds a title, and enters {JUNK} models that crash to protect it from a better one",
        "baseline-denoising-16k, with the title",
        _stuffing,
        DENOISING_48K,
    ),
)
"""Attacks on how prizes are divided."""
