"""Checks that the files of a folder are intact: a corpus, a set, fetched archives, or any recordings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from soundsright.core.audio import Clip, ClipRecipe, digest_of_digests
from soundsright.core.content import sha256_of_file
from soundsright.core.errors import AudioFileError, UsageError
from soundsright.core.text_files import MAX_MANIFEST_BYTES, object_of_file, objects_of_file
from soundsright.core.walking import folder_files
from soundsright.data.audio_files import SUFFIXES, read_file
from soundsright.data.counts import Sharing, SharingCounter
from soundsright.data.installed import refuse_private
from soundsright.data.levels import SILENT_DB
from soundsright.data.manifest import STILL_PRIVATE, file_hashes, is_hidden
from soundsright.data.silence import NO_SOUND_DB, Sound, is_silent, silence_problem

_PEAK_DB = -50.0

MAX_SUMMARY_BYTES = 256_000_000
_RESTORE = "Restore the file."
RECEIPT = ".soundsright-fetch.json"
"""The file that `fetch` writes beside the archives, with the SHA-256 of each."""


@dataclass(frozen=True)
class Verdict:
    """The kind of a folder, the number of files checked, and the problem of each damaged file, by path.

    `sharing` says how many clips of a set share their material. `notes` says what was not looked at, and which
    recordings are mostly silent.
    """

    kind: str
    checked: int
    problems: dict[str, str]
    sharing: dict[str, Sharing] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def verified(root: Path) -> Verdict:
    """Read every file of the folder, and compare it with the manifest if there is one.

    Raises:
        UsageError: the folder is missing or has no audio, or its manifest has another form.
    """
    if not root.is_dir():
        raise UsageError(f"There is no folder {root}", "Give a folder of audio.")
    if (root / "set.json").is_file():
        return _set(root)
    if (root / "manifest.jsonl").is_file():
        return _of_manifest(root)
    if (root / RECEIPT).is_file():
        return _hashed("archives", root, object_of_file(root / RECEIPT, MAX_SUMMARY_BYTES, _RESTORE).items())
    refuse_private(root)
    return _recordings(root)


def _set(root: Path) -> Verdict:
    expected: dict[str, str] = {}
    digests: dict[str, str] = {}
    counter = SharingCounter()
    for number, line in objects_of_file(root / "manifest.jsonl", MAX_MANIFEST_BYTES, _RESTORE):
        try:
            counter.add(line)
            digests[str(line["id"])] = str(line["digest"])
            expected.update(_named_hash(*each) for each in file_hashes(line).items())
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UsageError(
                f"{root / 'manifest.jsonl'}, line {number}, does not describe an item of a set", _RESTORE
            ) from error
    verdict = _hashed("set", root, expected.items())
    stated = object_of_file(root / "set.json", MAX_SUMMARY_BYTES, _RESTORE).get("digest")
    if stated != digest_of_digests(digests):
        verdict.problems[str(root / "set.json")] = "does not have the digest of its manifest"
    return replace(verdict, sharing=counter.sharing)


def _named_hash(file: object, sha256: object) -> tuple[str, str]:
    """The path and the hash that a line of a manifest states.

    Raises:
        TypeError: they are not text.
        ValueError: no file can have that path.
    """
    if not isinstance(file, str) or not isinstance(sha256, str):
        raise TypeError("the path or the hash of a file is not text")
    if "\0" in file:
        raise ValueError("the path of a file has a NUL character")
    return file, sha256


def _of_manifest(root: Path) -> Verdict:
    """The verdict on a folder with a manifest but no `set.json`: a corpus, or the set of a round."""
    numbered = list(objects_of_file(root / "manifest.jsonl", MAX_MANIFEST_BYTES, _RESTORE))
    lines = [line for _, line in numbered]
    if all({"file", "sha256"} <= line.keys() for line in lines):
        return _corpus(root, numbered)
    if all({"id", "digest", "speech"} <= line.keys() for line in lines) and (root / "degraded").is_dir():
        return _round_set(root, numbered)
    hidden = next((number for number, line in numbered if is_hidden(line)), None)
    if hidden is not None:
        raise UsageError(f"{root / 'manifest.jsonl'}, line {hidden}: {STILL_PRIVATE[0]}", STILL_PRIVATE[1])
    raise UsageError(
        f"{root / 'manifest.jsonl'} is the manifest of neither a corpus nor a round's set",
        "Give the whole folder of a set: a generated set has a set.json beside its manifest.",
    )


_SILENT_DB_OF_KINDS = {"noise": SILENT_DB, "speech": NO_SOUND_DB, "rir": NO_SOUND_DB}


def _corpus(root: Path, numbered: Sequence[tuple[int, dict[str, Any]]]) -> Verdict:
    """The verdict on recordings with a manifest. One that is intact can still be silent."""
    expected, kinds = [], {}
    for number, line in numbered:
        try:
            file, sha256 = _named_hash(line["file"], line["sha256"])
            kinds[str(root / file)] = _SILENT_DB_OF_KINDS.get(line.get("kind", ""))
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{root / 'manifest.jsonl'}, line {number}, does not describe a recording", _RESTORE
            ) from error
        expected.append((file, sha256))
    verdict = _hashed("corpus", root, expected)
    looked_at = [(path, db) for path, db in kinds.items() if db is not None and path not in verdict.problems]
    with ThreadPoolExecutor(4) as pool:
        silent = list(pool.map(lambda each: is_silent(Path(each[0]), each[1]), looked_at))
    problems = {path: silence_problem(db) for (path, db), is_it in zip(looked_at, silent, strict=True) if is_it}
    return replace(verdict, problems={**problems, **verdict.problems})


def _round_set(root: Path, numbered: Sequence[tuple[int, dict[str, Any]]]) -> Verdict:
    """The verdict on the clips of a round. Each has one digest over the rate and the samples of both its files."""
    lines = [line for _, line in numbered]
    counter = SharingCounter()
    for number, line in numbered:
        try:
            _named_hash(line["id"], line["digest"])
            _named_hash(line["speech"], line["digest"])
            counter.add(line)
        except (TypeError, AttributeError, ValueError) as error:
            raise UsageError(
                f"{root / 'manifest.jsonl'}, line {number}, does not describe a clip", _RESTORE
            ) from error

    def check(line: dict[str, Any]) -> dict[str, str]:
        clean, degraded = (root / role / f"{line['id']}.wav" for role in ("clean", "degraded"))
        missing = {str(path): "is missing" for path in (clean, degraded) if not path.is_file()}
        if missing:
            return missing
        recipe = ClipRecipe(line["speech"], "", 0.0)  # The digest does not cover it.
        try:
            digest: str | None = Clip(line["id"], read_file(clean), read_file(degraded), recipe).digest
        except AudioFileError as error:
            return {error.path: error.problem.removeprefix(f"{error.path}: ")}
        except ValueError:
            digest = None  # They differ in rate or length.
        return (
            {} if digest == line["digest"] else {f"{clean} and {degraded}": "do not have the digest of their clip"}
        )

    problems: dict[str, str] = {}
    with ThreadPoolExecutor(4) as pool:
        for problem in pool.map(check, lines):
            problems |= problem
    return Verdict("round's set", 2 * len(lines), problems, counter.sharing)


def _hashed(kind: str, root: Path, expected: Iterable[tuple[str, object]]) -> Verdict:
    def check(item: tuple[str, object]) -> tuple[str, str | None]:
        path = root / item[0]
        try:
            if not path.is_file():
                return str(path), "is missing"
            return str(path), None if sha256_of_file(path) == item[1] else "differs from its SHA-256"
        except OSError as error:
            return str(path), f"cannot be read ({error.strerror})"

    with ThreadPoolExecutor(4) as pool:
        checks = list(pool.map(check, expected))
    return Verdict(kind, len(checks), {path: problem for path, problem in checks if problem})


def _recordings(root: Path) -> Verdict:
    found = folder_files(root, SUFFIXES)
    if not found.files:
        problem = " ".join([f"{root} has no audio files.", *found.notes])
        raise UsageError(problem, "Give a folder of recordings, a corpus or a set.")

    def check(path: Path) -> tuple[str, str | None, float]:
        try:
            audio = read_file(path)
        except AudioFileError as error:
            return str(path), error.problem.removeprefix(f"{path}: "), 0.0
        silent_share = Sound.of(audio.samples, audio.sample_rate_hz).silent_share()
        # An impulse response can have little energy and a clear peak.
        is_silent = silent_share == 1.0 and np.abs(audio.samples).max() < 10.0 ** (_PEAK_DB / 20.0)
        return str(path), silence_problem(SILENT_DB) if is_silent else None, silent_share

    with ThreadPoolExecutor(4) as pool:
        checks = list(pool.map(check, found.files))
    problems = {path: problem for path, problem, _ in checks if problem}
    sparse = [(path, share) for path, problem, share in checks if share > 0.5 and not problem]
    notes = found.notes
    if sparse:
        path, share = max(sparse, key=lambda each: each[1])
        notes += (f"{len(sparse)} of {len(checks)} files are mostly silent, such as {path}: {100 * share:.0f} %.",)
    return Verdict("recordings", len(checks), problems, notes=notes)
