"""The lines of a set's manifest, as values ready for JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from soundsright.core.audio import Clip, ClipRecipe, SpeechPiece
from soundsright.core.groups import ClipGroups
from soundsright.data.render import Rendered


def recipe_fields(recipe: ClipRecipe) -> dict[str, Any]:
    """The recipe as values ready for JSON; `extra` stays a nested object. Later additions are absent if unused.

    >>> recipe_fields(ClipRecipe("utterance-1", "anna", 0.0, noise="rain", noise_offset_s=1.5, snr_db=3.0))["noise"]
    'rain'
    """
    values = {name: getattr(recipe, name) for name in _RECIPE_FIELDS}
    if recipe.pieces:
        values["pieces"] = [dict(vars(piece)) for piece in recipe.pieces]
    return {name: value for name, value in values.items() if name not in _ADDED or value != _ADDED[name]}


STILL_PRIVATE = (
    "the recordings of the clip are still private",
    "Try again when they have retired and the round was published as a whole.",
)
"""The problem with a clip of a round that is not public yet, and what to do."""


def is_hidden(line: Mapping[str, Any]) -> bool:
    """Whether the line of a round's manifest has only digests, because the recordings of its clip are private."""
    return "recipe_sha256" in line and "speech" not in line


_RECIPE_FIELDS = tuple(field.name for field in fields(ClipRecipe))

_ADDED: dict[str, Any] = {"fresh": None, "pieces": (), "speed": None, "equaliser": ()}
"""Fields that older sets do not have, with the values that they stand for there."""

_BABBLE = "babble:"
_SIMULATED_ROOM = re.compile(r"^(shoebox-[\d.]+x[\d.]+x[\d.]+m)-[\d.]+m$")
"""The name of a simulated room, before the distance of its source."""


def recipe_of(line: Mapping[str, Any]) -> ClipRecipe:
    """The recipe in a line of a manifest, or in the values of `recipe_fields`.

    Raises:
        KeyError: the line lacks a field.
        TypeError: a field has another form.
    """
    values = {name: line.get(name, _ADDED[name]) if name in _ADDED else line[name] for name in _RECIPE_FIELDS}
    values["pieces"] = tuple(SpeechPiece(**piece) for piece in values["pieces"])
    values["equaliser"] = tuple((float(delay_s), float(gain)) for delay_s, gain in values["equaliser"])
    return ClipRecipe(**values)


def recordings_of(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of all recordings in a clip, each once: its speech, its noise with all voices of babble, its room.

    `recipe` has the values of `recipe_fields`, or a whole line of a manifest. The ids of simulated rooms and of
    noise by formula are among the result, although no recording has them.

    >>> recordings_of({"speech": "utterance-1", "noise": "babble:utterance-2+utterance-3", "rir": None})
    ('utterance-1', 'utterance-2', 'utterance-3')
    """
    noise = recipe.get("noise") or ""
    voices = noise.removeprefix(_BABBLE).split("+") if noise.startswith(_BABBLE) else [noise]
    speech = [recipe.get("speech"), *(piece["speech"] for piece in recipe.get("pieces") or ())]
    return tuple(dict.fromkeys(name for name in (*speech, *voices, recipe.get("rir")) if name))


def groups_of(clips: Iterable[Mapping[str, Any]] | Mapping[str, Mapping[str, Any]]) -> ClipGroups | None:
    """The groups of the clips of a set: their noise or their room, and their prompt.

    `clips` are the lines of a manifest, or recipes by clip id. The factors are

    - `noise`: the recording, or the kind for noise by formula and for babble,
    - `room`: the measured response, or the simulated room at any distance from the source,
    - `prompt`: the recording of speech, or the longest of several.

    A factor is left out if a clip has no such source. The result is None if a clip does not say what it was made
    from, as a hidden clip or a line of another program's manifest.

    Raises:
        ValueError: two lines are of one clip.

    >>> babble = {"speech": "s1", "noise": "babble:s2+s3", "rir": None}
    >>> groups_of({"a": babble, "b": {"speech": "s2", "noise": "rain"}}).factors
    {'noise': ('babble', 'rain'), 'prompt': ('s1', 's2')}
    """
    if isinstance(clips, Mapping):
        rows = list(clips.items())
    else:
        rows = [(str(line.get("id")), line) for line in clips]
    found: dict[str, list[str | None]] = {
        "noise": [_noise_of(recipe) for _, recipe in rows],
        "room": [_room_of(recipe) for _, recipe in rows],
        "prompt": [_prompt_of(recipe) for _, recipe in rows],
    }
    if not rows or None in found["prompt"]:
        return None
    known = {
        factor: tuple(label for label in labels if label is not None)
        for factor, labels in found.items()
        if None not in labels
    }
    return ClipGroups(tuple(clip_id for clip_id, _ in rows), known)


def _noise_of(recipe: Mapping[str, Any]) -> str | None:
    name = recipe.get("noise")
    if not isinstance(name, str) or not name:
        return None
    return _BABBLE.removesuffix(":") if name.startswith(_BABBLE) else name


def _room_of(recipe: Mapping[str, Any]) -> str | None:
    name = recipe.get("rir")
    if not isinstance(name, str) or not name:
        return None
    return _SIMULATED_ROOM.sub(r"\1", name)


def _prompt_of(recipe: Mapping[str, Any]) -> str | None:
    """The recording with the longest stretch in the clip; None if the recipe has another form."""
    try:
        pieces = [(float(piece["duration_s"]), piece["speech"]) for piece in recipe.get("pieces") or ()]
        name = max(pieces, key=lambda piece: piece[0])[1] if pieces else recipe["speech"]
    except (KeyError, TypeError, ValueError):
        return None
    return name if isinstance(name, str) and name else None


def clip_line(clip: Clip) -> dict[str, Any]:
    """One line of a manifest: the clip's name, rate, length, digest and recipe."""
    return {
        "id": clip.id,
        "sample_rate_hz": clip.clean.sample_rate_hz,
        "samples": len(clip.clean),
        "digest": clip.digest,
        **recipe_fields(clip.recipe),
    }


def file_hashes(line: dict[str, Any]) -> dict[str, str]:
    """The SHA-256 of each file of the line's item, by its path in the set."""
    if "shard" in line:
        return {line["shard"]: line["shard_sha256"]}
    return {file: line["sha256"][role] for role, file in line["files"].items()}


def item_line(item: Rendered, files: dict[str, str], sha256: dict[str, str]) -> dict[str, Any]:
    """One line of a set on disk: `clip_line` with the text, the degraded role, and each file's path and hash.

    `drawn_from` names the speakers, noise recordings and rooms, which two splits never share.
    """
    return {
        "id": item.id,
        "sample_rate_hz": item.sample_rate_hz,
        "samples": int(item.signals["clean"].shape[0]),
        "digest": item.digest,
        **recipe_fields(item.recipe),
        "text": item.text,
        "degraded": item.degraded,
        "files": files,
        "sha256": sha256,
        "split": item.split,
        "drawn_from": item.drawn_from.as_lists,
    }
