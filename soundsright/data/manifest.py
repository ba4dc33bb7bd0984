"""The lines of a set's manifest, as values ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from soundsright.core.audio import Clip, ClipRecipe, SpeechPiece
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
