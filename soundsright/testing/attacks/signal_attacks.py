"""Attacks by what an entry answers: recordings that it knows, and changes that raise one metric alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from soundsright.testing.attacks.parrots import Library, parrot, stealth_parrot
from soundsright.testing.attacks.scenes import (
    ATTACKER,
    DENOISING_48K,
    Attack,
    Scene,
    field_of,
    own_system_scene,
)
from soundsright.testing.attacks.stage import Entrant
from soundsright.testing.attacks.systems import (
    Change,
    System,
    against_the_input,
    made_from,
    towards_the_input,
)
from soundsright.testing.attacks.weights import other_weights
from soundsright.testing.attacks.worlds import World

CLOSE = field_of("dtln", "nsnet2")
"""At 16 kHz: a champion and a model that is nearly as good."""
WIDE = field_of("baseline-denoising-48k", "nsnet2")
"""At 48 kHz."""


def _parrot(world: World) -> Scene:
    return own_system_scene(CLOSE, parrot(world.public, CLOSE.own.system))


def _leaked(world: World) -> Scene:
    """The attacker has all recordings in use, from a leak. Variation is the only thing between it and the prize."""
    return own_system_scene(CLOSE, parrot(Library("leaked recordings", world.live), CLOSE.own.system))


def _stealth(share: float) -> Attack:
    def build(world: World) -> Scene:
        return own_system_scene(CLOSE, stealth_parrot(world.public, CLOSE.own.system, share))

    return Attack(
        f"stealth-parrot-{share * 100:.0f}",
        f"mixes {share * 100:.0f} % of a recording that it knows into the output of an honest enhancer",
        "nsnet2",
        build,
    )


def _gate_poisoning(world: World) -> Scene:
    """The attacker has the clean speech of every clip, however it got it. No gain is larger than its."""
    system = System("leaked speech", lambda degraded, _rate_hz: world.stage.pool.clean_of(degraded))
    return own_system_scene(WIDE, system)


def _from_champion(name: str, change: Change) -> Callable[[World], Scene]:
    """A copy of the champion with changed output, and with weights that share no tensor with it."""

    def build(world: World) -> Scene:
        system = made_from(WIDE.champion.system, name, change)
        copy = Entrant(ATTACKER, system, other_weights(world.workshop / name))
        return replace(own_system_scene(WIDE, system), attacked=(WIDE.with_attackers(copy),))

    return build


SIGNAL_ATTACKS = (
    Attack("parrot", "finds the clip's recording among those that it knows, and returns that", "nsnet2", _parrot),
    Attack("leaked-recordings", "is a parrot that has all recordings in use, from a leak", "nsnet2", _leaked),
    _stealth(0.03),
    _stealth(0.1),
    Attack(
        "gate-poisoning",
        "returns leaked clean speech, so that its gain sets the gate of SI-SAR",
        "nsnet2",
        _gate_poisoning,
        DENOISING_48K,
    ),
    Attack(
        "si-sir",
        "subtracts 6 % of what the champion removed from the champion's output",
        "nsnet2",
        _from_champion("si-sir", against_the_input),
        DENOISING_48K,
    ),
    Attack(
        "si-sar",
        "returns the mean of the champion's output and the input",
        "nsnet2",
        _from_champion("si-sar", towards_the_input),
        DENOISING_48K,
    ),
)
"""Parrots, and outputs that raise one metric alone."""
