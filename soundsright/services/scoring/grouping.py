"""The groups of the clips of a scored set, by its manifest: JSON lines with the `id` and the facts of a clip.

Clips that share a noise recording, a room or a prompt are not independent. Intervals for new material need to know
which clips do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from soundsright.core.audio import digest_of_signals
from soundsright.core.content import sha256_of_file
from soundsright.core.errors import AudioFileError, UsageError
from soundsright.core.groups import FEWEST_GROUPS, MAX_FACTORS, ClipGroups
from soundsright.core.text_files import objects_of_file
from soundsright.services.scoring.folder import ClipFiles, ScoreSet
from soundsright.services.scoring.listing import clip_name
from soundsright.services.scoring.report import MAX_REPORT_BYTES

_MANIFEST_FORM = "Give the manifest of the set, with one JSON object per line, each with an id."
AUTOMATIC = "auto"
"""Group by noise or room, and by prompt, as far as the manifest says them."""
INDEPENDENT = "none"
"""Count each clip as independent."""


def read_groups(
    path: Path, clip_ids: Sequence[str], cluster_by: str = AUTOMATIC, clean_sha256: Sequence[str | None] = ()
) -> ClipGroups:
    """The groups of the clips, by the set's manifest.

    `cluster_by` is `AUTOMATIC`, or fields of the manifest, separated by commas. `noise`, `room` and `prompt` are
    those of `data.groups_of`, if the manifest says them. If the manifest has the SHA-256 of a clean file, it must
    match `clean_sha256`, as far as that is known.

    Raises:
        UsageError: the manifest lacks a clip or a field, does not say what the clips share, or is for other clean
            files.
    """
    from soundsright.data import groups_of

    by_id = _lines(path)
    if missing := [clip_id for clip_id in clip_ids if clip_id not in by_id]:
        raise UsageError(
            f"{path} lacks {len(missing)} clips; the first is {missing[0]}", "Give the manifest of this set."
        )
    lines = {clip_id: by_id[clip_id] for clip_id in clip_ids}
    _check_files(path, lines, clean_sha256)
    known = groups_of(lines)
    if cluster_by == AUTOMATIC:
        if known is None:
            raise UsageError(
                f"{path} does not say which noise, room or speech the clips have",
                "Name fields of it with --cluster-by, such as speaker, or use --cluster-by none.",
            )
        return known
    factors = {}
    for field in _fields(cluster_by):
        if known is not None and field in known.factors:
            factors[field] = known.factors[field]
            continue
        if lacking := [clip_id for clip_id, line in lines.items() if line.get(field) is None]:
            raise UsageError(
                f"{path} has no {field!r} for {len(lacking)} of {len(lines)} clips; the first is {lacking[0]}",
                f"Choose from {', '.join(_shared_fields(lines, known))}.",
            )
        factors[field] = tuple(_label(line[field]) for line in lines.values())
    return ClipGroups(tuple(clip_ids), factors)


def found_groups(pairs: ScoreSet, clean: Path) -> tuple[Path, ClipGroups] | None:
    """The manifest in the folder above the clean recordings, and its groups.

    None if there is no manifest, or it is not that of exactly these clips by their names and digests.
    """
    path = clean.parent / "manifest.jsonl"
    if not clean.is_dir() or not path.is_file():
        return None
    try:
        lines = _lines(path)
        if lines.keys() != {clip.id for clip in pairs.clips}:
            return None
        if not all(_is_of(lines[clip.id], clip, path.parent) for clip in pairs.clips):
            return None
        return path, read_groups(path, [clip.id for clip in pairs.clips])
    except (UsageError, AudioFileError, OSError):
        return None


def group_words(groups: ClipGroups) -> str:
    """The factors with their numbers of groups.

    >>> group_words(ClipGroups(("a", "b"), {"noise": ("x", "y"), "prompt": ("p", "p")}))
    'noise (2 groups) and prompt (1 group)'
    """
    words = [f"{factor} ({n} group{'' if n == 1 else 's'})" for factor, n in groups.counts.items()]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def too_few_groups(groups: ClipGroups) -> str:
    """Why there is no interval, in one sentence. Empty if there is one.

    >>> too_few_groups(ClipGroups(("a", "b"), {"noise": ("x", "y")}))
    'There is no interval: the clips have only 2 groups by noise, which say nothing about new ones.'
    """
    few = [
        f"{n} group{'' if n == 1 else 's'} by {factor}" for factor, n in groups.counts.items() if n < FEWEST_GROUPS
    ]
    if not few:
        return ""
    return f"There is no interval: the clips have only {' and '.join(few)}, which say nothing about new ones."


def _fields(cluster_by: str) -> list[str]:
    fields = list(dict.fromkeys(name.strip() for name in cluster_by.split(",")))
    if not all(fields):
        raise UsageError(
            f"--cluster-by {cluster_by!r} has an empty name", "Give names of fields, separated by commas."
        )
    if len(fields) > MAX_FACTORS:
        raise UsageError(f"--cluster-by has {len(fields)} fields", f"Give at most {MAX_FACTORS}.")
    return fields


def _shared_fields(lines: Mapping[str, Mapping[str, Any]], known: ClipGroups | None) -> list[str]:
    """The fields that every line has as a text or a number, and that some lines share."""
    first = next(iter(lines.values()))
    names = [
        name
        for name in first
        if name != "id"
        and all(isinstance(line.get(name), str | int | float) for line in lines.values())
        and len({line[name] for line in lines.values()}) < len(lines)
    ]
    return list(dict.fromkeys([*(known.factors if known is not None else ()), *names])) or [INDEPENDENT]


def _label(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _lines(path: Path) -> dict[str, dict[str, Any]]:
    by_id: dict[str, dict[str, Any]] = {}
    for number, line in objects_of_file(path, MAX_REPORT_BYTES, _MANIFEST_FORM):
        if not isinstance(line.get("id"), str | int):
            raise UsageError(f"{path}, line {number}, has no id", _MANIFEST_FORM)
        clip_id = clip_name(str(line["id"]))
        if clip_id in by_id:
            raise UsageError(f"{path}, line {number} has the clip {clip_id} again", "Keep one line for each clip.")
        by_id[clip_id] = line
    return by_id


def _clean_sha256(line: Mapping[str, Any]) -> str | None:
    digests = line.get("sha256")
    return str(digests["clean"]) if isinstance(digests, Mapping) and "clean" in digests else None


def _check_files(path: Path, lines: Mapping[str, Mapping[str, Any]], clean_sha256: Sequence[str | None]) -> None:
    digests = zip(lines.items(), clean_sha256, strict=bool(clean_sha256))
    differing = [
        clip_id
        for (clip_id, line), digest in digests
        if None not in (digest, known := _clean_sha256(line)) and digest != known
    ]
    if differing:
        raise UsageError(
            f"{path} has another clean file for {len(differing)} of {len(lines)} clips; the first is "
            f"{differing[0]}",
            "Give the manifest of this set. If you converted the files, remove sha256 from the manifest.",
        )


def _is_of(line: Mapping[str, Any], clip: ClipFiles, folder: Path) -> bool:
    """Whether the line is that of the clip, by the digest of its file or of its signals."""
    known = _clean_sha256(line)
    if known is not None:
        return known == sha256_of_file(clip.clean)
    from soundsright.data import read_file

    degraded = clip.noisy or folder / "degraded" / f"{clip.id}.wav"
    return bool(line.get("digest") == digest_of_signals(clip.id, read_file(clip.clean), read_file(degraded)))
