"""Which files of a folder are clean speech: corpora have degraded versions beside it, and so do generated sets.

Names decide first. `clean` beside `noisy` is the clean side; a folder named `noisy` is degraded without any other
beside it; `noise` and `mix` are left out only beside a clean side, because alone these words have other meanings.
Two folders with versions of the same recordings are refused if no name says which is clean.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from soundsright.core.errors import UsageError
from soundsright.core.text_files import MAX_MANIFEST_BYTES, objects_of_file
from soundsright.data.origins import GUESSED_GROUPS, summary_of
from soundsright.data.pairs import LEVEL, versions_below

_DEGRADED = ("noisy", "degraded", "reverberant", "reverberated", "distorted", "corrupted", "mixture")
"""The beginnings of words for degraded speech: `noisyreverb` too."""
_BESIDE_CLEAN = frozenset(
    {"noise", "noises", "music", "rir", "rirs", "impulse", "mix", "mixed", "mixes", "babble", "device"}
    | {"enhanced", "denoised", "dereverberated", "cleaned"}
)
_CLEAN = frozenset({"dry", "anechoic", "speech"})
_OF_FILES = frozenset({"noise", "enhanced", "denoised", "cleaned"})
_SOURCE = re.compile(r"s\d")
"""The folder of one talker of a mixture, beside `mix_both`."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_LEVELS = 6


@dataclass(frozen=True)
class CleanSide:
    """The files of clean speech, and the reason for each folder or file that was left out.

    For the clean side of a generated set, `speakers` has the speaker of each file by its name, and
    `speakers_are_guessed` whether the set only guessed them.
    """

    paths: list[Path]
    left_out: dict[str, str] = field(default_factory=dict)
    speakers: dict[str, str] | None = None
    speakers_are_guessed: bool = False


def clean_side(root: Path, paths: Iterable[Path]) -> CleanSide:
    """The files of `root` that are clean speech, without the degraded ones beside them.

    Raises:
        UsageError: none is, or the folder is itself the degraded side of a corpus or of a set.
    """
    paths = list(paths)
    own = generated_set(root)
    if own is not None:
        return _clean_side_of_set(root, own, paths)
    _refuse_degraded_root(root)
    side = without_sets(root, paths)
    left_out = {**side.left_out, **_degraded_folders(root, side.paths)}
    kept = _outside(root, side.paths, left_out)
    left_out |= _degraded_versions(root, kept)
    kept = _outside(root, kept, left_out)
    files = _degraded_files(kept)
    kept = [path for path in kept if path not in files]
    left_out |= {str(path): "is degraded by its name: a clean file lies beside it" for path in files}
    if not kept and left_out:
        first, reason = next(iter(left_out.items()))
        raise UsageError(f"{root} has no clean speech: {first} {reason}", "Give the folder of clean recordings.")
    return CleanSide(kept, left_out)


def without_sets(root: Path, paths: Iterable[Path]) -> CleanSide:
    """The files that are not part of a generated set below `root`."""
    paths = list(paths)
    folders = _folders_of(root, paths)
    reason = "is a generated set, whose files are not recordings"
    left_out = {str(root / folder): reason for folder in sorted(folders) if _holds_set(root / folder)}
    return CleanSide(_outside(root, paths, left_out), left_out)


def generated_set(folder: Path) -> Path | None:
    """The generated set that the folder is, or is part of."""
    whole = folder.resolve()
    return next((each for each in (whole, *whole.parents[:_LEVELS]) if _is_set(each)), None)


def _holds_set(folder: Path) -> bool:
    """Whether the folder is a set, or a link into one."""
    return _is_set(folder) or (folder.is_symlink() and generated_set(folder) is not None)


def _is_set(folder: Path) -> bool:
    if (folder / ".journal.jsonl").is_file():
        return True
    try:
        with (folder / "set.json").open("rb") as stream:
            return b'"format_version"' in stream.read(1_000) and (folder / "manifest.jsonl").is_file()
    except OSError:
        return False


def _clean_side_of_set(root: Path, own: Path, paths: list[Path]) -> CleanSide:
    if not (own / "set.json").is_file():
        raise UsageError(f"The set {own} is not complete", "Complete it with --resume, or give recordings.")
    summary = summary_of(own / "set.json")
    clean = str((summary.get("folders") or {}).get("clean", "clean"))
    if (summary.get("recipe") or {}).get("early_reflections_s"):
        raise UsageError(
            f"{own} has no clean speech: its targets keep early reflections", "Give the recordings it was made of."
        )
    inside = {path: path.resolve().relative_to(own).parts[0] for path in paths if _is_below(path, own)}
    kept = [path for path in paths if inside.get(path) == clean]
    if not kept:
        raise UsageError(f"{root} is the degraded side of the set {own}", f"Give {own / clean}.")
    left_out = {
        str(own / folder): f"is the degraded side of the set: only {clean} is drawn from"
        for folder in sorted({folder for folder in inside.values() if folder != clean})
    }
    guessed = bool((summary.get(GUESSED_GROUPS) or {}).get("speakers")) or GUESSED_GROUPS not in summary
    return CleanSide(kept, left_out, dict(_speakers_in(own / "manifest.jsonl")), guessed)


def _speakers_in(manifest: Path) -> Iterator[tuple[str, str]]:
    """The name of each clean file, and its speaker."""
    for number, line in objects_of_file(manifest, MAX_MANIFEST_BYTES, "Restore the file."):
        try:
            name, speaker = PurePosixPath(line["files"]["clean"]).name, str(line["speaker"])
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"{manifest}, line {number}, does not name a clean file and its speaker", "Restore the file."
            ) from error
        yield name, speaker


def _refuse_degraded_root(root: Path) -> None:
    """Refuse the folder `noisy_wav`, and name `clean_wav` if it lies beside it."""
    whole = root.resolve()
    words = _words(whole.name)
    marks = _degraded_words(words) | (_beside_words(words) - {"music"})
    if not marks:
        return
    try:
        beside = sorted(entry.name for entry in os.scandir(whole.parent) if entry.is_dir())
    except OSError:
        beside = []
    clean = next((n for n in beside if _clean_words(n) and _words(n) - _clean_words(n) == words - marks), None)
    if clean is not None:
        raise UsageError(
            f"{root} is the degraded side of {whole.parent / clean} by its name",
            f"Give {whole.parent / clean}, or rename the folder if its speech is clean.",
        )
    if _degraded_words(words):
        raise UsageError(
            f"{root} has degraded speech by its name",
            "Give the folder of clean recordings, or rename the folder if its speech is clean.",
        )


def _degraded_versions(root: Path, paths: list[Path]) -> dict[str, str]:
    """The folders with the recordings of a clean side beside them.

    Raises:
        UsageError: two folders have versions of the same recordings, and no name says which is clean.
    """
    left_out: dict[str, str] = {}
    without_clean = []
    for pair in versions_below(root, paths):
        clean = [folder for folder in pair if _clean_words(folder.name)]
        if len(clean) == 1:
            other = pair[0] if pair[1] in clean else pair[1]
            left_out[str(other)] = f"has other versions of the recordings in {clean[0].name} beside it"
        elif not clean:
            without_clean.append(pair)
    for one, other in without_clean:
        if str(one) not in left_out and str(other) not in left_out:
            raise UsageError(
                f"{one} and {other} have versions of the same recordings, and no name says which is clean",
                "Give the folder of the clean ones alone.",
            )
    return left_out


def _degraded_folders(root: Path, paths: list[Path]) -> dict[str, str]:
    children: dict[PurePosixPath, set[str]] = defaultdict(set)
    for folder in _folders_of(root, paths):
        children[folder.parent].add(folder.name)
    left_out = {}
    for parent, names in sorted(children.items()):
        clean = next((n for n in sorted(names) if _clean_words(n) or _SOURCE.fullmatch(n)), None)
        for name in sorted(names):
            words = _words(name)
            if clean is not None and name != clean and (_degraded_words(words) | _beside_words(words)):
                left_out[str(root / parent / name)] = f"is not clean speech by its name: only {clean} beside it is"
            elif _degraded_words(words):
                left_out[str(root / parent / name)] = "is degraded speech by its name"
    return left_out


def _degraded_files(paths: list[Path]) -> set[Path]:
    """Files such as noisy_01.wav in a folder with clean_01.wav."""
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        by_folder[path.parent].append(path)
    degraded: set[Path] = set()
    for files in by_folder.values():
        for end in (0, -1):
            word = {path: words[end] for path in files if (words := _ordered_words(path.stem))}
            if "clean" in word.values():
                degraded |= {path for path, each in word.items() if _degraded_words({each}) or each in _OF_FILES}
        stems = {path.stem for path in files}
        degraded |= {path for path in files if _is_version(path.stem, stems)}
    return degraded


def _is_version(stem: str, stems: set[str]) -> bool:
    """Whether the name is another's with words for a degradation at either end: u0_noisy beside u0."""
    for match in re.finditer(r"[-_. ]+", stem):
        for bare, more in (
            (stem[: match.start()], stem[match.end() :]),
            (stem[match.end() :], stem[: match.start()]),
        ):
            words = _words(more)
            if bare in stems and (_degraded_words(words) or _beside_words(words) or LEVEL.search(more)):
                return True
    return False


def _ordered_words(name: str) -> list[str]:
    """The words of a name: `noisy_testset_wav` and `NoisyTestset` begin with noisy.

    >>> _ordered_words("noisy28spk_TrainSet")
    ['noisy', 'spk', 'train', 'set']
    """
    return [word.lower() for word in _WORD.findall(name)]


def _words(name: str) -> set[str]:
    return set(_ordered_words(name))


def _degraded_words(words: Collection[str]) -> set[str]:
    return {word for word in words if word.startswith(_DEGRADED)}


def _beside_words(words: Collection[str]) -> set[str]:
    return {w for w in words if w in _BESIDE_CLEAN or w.startswith("reverb") or w.endswith("recorded")}


def _clean_words(name: str) -> set[str]:
    """The words by which the folder is a clean side; none for `mix_clean`."""
    words = _words(name)
    if _degraded_words(words) or _beside_words(words):
        return set()
    return {word for word in words if word in _CLEAN or word.startswith("clean")}


def _folders_of(root: Path, paths: Iterable[Path]) -> set[PurePosixPath]:
    """The folders between the root and the files, relative to the root."""
    parents = {PurePosixPath(path.parent.relative_to(root).as_posix()) for path in paths}
    return {folder for parent in parents for folder in (parent, *parent.parents) if folder.parts}


def _outside(root: Path, paths: list[Path], folders: Collection[str]) -> list[Path]:
    """The files that are in none of the folders."""
    within = {
        parent
        for parent in {path.parent for path in paths}
        if any(str(each) in folders for each in (parent, *parent.parents))
    }
    return [path for path in paths if path.parent not in within]


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder)
