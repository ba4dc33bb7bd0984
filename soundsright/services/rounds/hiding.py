"""The clips whose recordings nobody else may hear yet: what is kept of them, and what may be shown.

Their audio and recipes lie in a private folder of the round. The public manifest has digests instead, which bind
the validator to them. The digest of a recipe is salted: otherwise anyone could try all names of known recordings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from soundsright.core.audio import Audio, Clip, pcm16
from soundsright.core.canonical import canonical_json
from soundsright.core.errors import InfrastructureFault

PRIVATE_FOLDER = "private-round"
"""The folder in a round's folder with everything that must not be shown. Only its owner can read it."""
_PUBLIC_FIELDS = ("id", "digest")


@dataclass(frozen=True)
class HiddenClip:
    """A clip that must not be shown yet. The digests may be shown; the salt opens the digest of the recipe.

    `private_ids` are its recordings that nobody else may hear yet.
    """

    degraded_sha256: str
    recipe_sha256: str
    salt: str
    private_ids: tuple[str, ...]

    @property
    def shown(self) -> dict[str, str]:
        """The fields that may be shown."""
        return {"degraded_sha256": self.degraded_sha256, "recipe_sha256": self.recipe_sha256}


def hidden_clip(clip: Clip, recipe: Mapping[str, object], private_ids: tuple[str, ...], salt: str) -> HiddenClip:
    """The clip as one that must not be shown. `recipe` has its values as JSON has them."""
    return HiddenClip(signal_sha256(clip.degraded), recipe_sha256(recipe, salt), salt, private_ids)


def signal_sha256(audio: Audio) -> str:
    """SHA-256 of a signal's 16-bit samples, in little-endian order."""
    return hashlib.sha256(pcm16(audio.samples).astype("<i2").tobytes()).hexdigest()


def recipe_sha256(recipe: Mapping[str, object], salt: str) -> str:
    """The salted digest of a recipe: SHA-256 over a line, the salt, and the recipe as JSON with sorted keys.

    >>> recipe_sha256({"speech": "s1"}, "00")[:16]
    '3b5b879873d2cfc2'
    """
    return hashlib.sha256(f"soundsright.recipe/1\n{salt}\n{canonical_json(recipe)}".encode()).hexdigest()


def manifest_line(
    clip_id: str, digest: str, recipe: Mapping[str, object], hidden: HiddenClip | None
) -> dict[str, object]:
    """The line of a clip in the manifest of its set, with everything that is known about it."""
    kept = {} if hidden is None else {**asdict(hidden), "private_ids": list(hidden.private_ids)}
    return {"id": clip_id, "digest": digest, **recipe, **kept}


def shown_line(line: Mapping[str, Any], *, disclosed: bool) -> dict[str, Any]:
    """A line as it may be shown: without its recipe, unless the clip was never hidden or is `disclosed`."""
    if "private_ids" not in line:
        return dict(line)
    if disclosed:
        return {name: value for name, value in line.items() if name != "private_ids"}
    return {name: line[name] for name in (*_PUBLIC_FIELDS, "degraded_sha256", "recipe_sha256")}


def is_private_path(path: Path) -> bool:
    """Whether a file lies in the private folder of a round."""
    return PRIVATE_FOLDER in path.parts


def make_private(folder: Path) -> None:
    """Make the private folder of a round, which only its owner can read.

    Raises:
        InfrastructureFault: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise InfrastructureFault(
            f"{folder} cannot be made readable for its owner only ({error})",
            "Give the round a folder on a disk with file permissions.",
        ) from error
