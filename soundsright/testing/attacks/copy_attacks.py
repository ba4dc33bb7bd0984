"""Attacks by copies of the champion: its output in disguise, or its weights in another file."""

from __future__ import annotations

from collections.abc import Callable

from soundsright.testing.attacks.scenes import (
    ATTACKER,
    CHAMPION,
    DENOISING_48K,
    Attack,
    Scene,
)
from soundsright.testing.attacks.signal_attacks import WIDE
from soundsright.testing.attacks.stage import Cast, Entrant
from soundsright.testing.attacks.systems import later, made_from, model_folder
from soundsright.testing.attacks.weights import (
    DISGUISES,
    disguised_weights,
    entry_folder,
    other_weights,
    poisoned_file,
)
from soundsright.testing.attacks.worlds import World

_CHAMPION_MODEL = "baseline-denoising-48k"
_IMAGE = b"registry.example/model@sha256:" + b"5e" * 32 + b"\n"


def _copies(*copies: Entrant, champion: Entrant = WIDE.champion) -> Scene:
    """The copies enter in place of the attacker's own model."""
    honest: Cast = (champion, *WIDE.rivals, WIDE.own)
    attacked: Cast = (champion, *WIDE.rivals, *copies)
    hotkeys = tuple(dict.fromkeys((ATTACKER, *(copy.hotkey for copy in copies))))
    return Scene((champion,), (honest,), (attacked,), attackers=hotkeys)


def _delayed(world: World) -> Scene:
    system = made_from(WIDE.champion.system, "one sample late", later(1))
    return _copies(Entrant(ATTACKER, system, other_weights(world.workshop / "delayed")))


def _same_image(world: World) -> Scene:
    """Both entries name one image. The README of the copy differs, and so does the registry."""
    files = {"IMAGE": _IMAGE, "README.md": b"A model.\n"}
    original = entry_folder(world.workshop / "image", files)
    files = {"IMAGE": _IMAGE.replace(b"registry", b"mirror"), "README.md": b"My own model.\n"}
    copy = entry_folder(world.workshop / "image-copy", files)
    system = WIDE.champion.system
    return _copies(Entrant(ATTACKER, system, copy), champion=Entrant(CHAMPION, system, original))


def _poisoned(world: World) -> Scene:
    """The champion's weights in a file that nobody can read, beside one that is made to hang its reader."""
    hidden = bytes(byte ^ 0x5A for byte in (model_folder(_CHAMPION_MODEL) / "weights.safetensors").read_bytes())
    folder = entry_folder(world.workshop / "poisoned", {"weights.pt": poisoned_file(), "hidden.bin": hidden})
    return _copies(Entrant(ATTACKER, WIDE.champion.system, folder))


def _disguised(world: World) -> Scene:
    """One copy for each disguise, all of them at once."""
    model = model_folder(_CHAMPION_MODEL)
    return _copies(
        *(
            Entrant(
                f"{ATTACKER}-{number}",
                WIDE.champion.system,
                disguised_weights(world.workshop / name, model, name),
            )
            for number, name in enumerate(DISGUISES)
        )
    )


def _attack(name: str, summary: str, build: Callable[[World], Scene]) -> Attack:
    return Attack(name, summary, "nsnet2", build, DENOISING_48K)


COPY_ATTACKS = (
    _attack("delayed-copy", "enters the champion's model with its output one sample late", _delayed),
    _attack("same-image", "enters the champion's image from a repository with another README", _same_image),
    _attack("poisoned-file", "hides the champion's weights, and adds a file that hangs its reader", _poisoned),
    _attack("disguised-tensors", f"enters the champion's weights in {len(DISGUISES)} disguises", _disguised),
)
"""Copies of the champion."""
