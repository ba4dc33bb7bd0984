"""Whether a directory still holds what it should: a corpus, a set, fetched archives, or any recordings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsright.core.audio import Clip, ClipRecipe, digest_of_digests
from soundsright.core.content import files_below, sha256_of_file
from soundsright.core.errors import AudioFileError, UsageError
from soundsright.data.audio_files import SUFFIXES, read_file
from soundsright.data.manifest import file_hashes

RECEIPT = ".soundsright-fetch.json"
"""What `fetch` leaves beside the archives: the SHA-256 of each."""


@dataclass(frozen=True)
class Verdict:
    """What kind of directory it is, how many files were looked at, and what is wrong, by path."""

    kind: str
    checked: int
    problems: dict[str, str]


def verified(root: Path) -> Verdict:
    """Read every file of the directory and hold it against what its manifest says, where it has one.

    Raises:
        UsageError: the directory is missing or holds no audio, or its manifest is none of ours.
    """
    if not root.is_dir():
        raise UsageError(f"There is no directory {root}", "Give a directory.")
    if (root / "set.json").is_file():
        return _set(root)
    if (root / "manifest.jsonl").is_file():
        return _of_manifest(root, list(_lines(root / "manifest.jsonl")))
    if (root / RECEIPT).is_file():
        receipt = json.loads((root / RECEIPT).read_text(encoding="utf-8"))
        return _hashed("archives", root, receipt.items())
    return _recordings(root)


def _set(root: Path) -> Verdict:
    expected: dict[str, str] = {}
    digests: dict[str, str] = {}
    for line in _lines(root / "manifest.jsonl"):
        digests[line["id"]] = line["digest"]
        expected |= file_hashes(line)
    verdict = _hashed("set", root, expected.items())
    stated = json.loads((root / "set.json").read_text(encoding="utf-8")).get("digest")
    if stated != digest_of_digests(digests):
        verdict.problems[str(root / "set.json")] = "does not have the digest of its manifest"
    return verdict


def _of_manifest(root: Path, lines: list[dict[str, Any]]) -> Verdict:
    """A directory that has a manifest alone: each kind has lines of its own."""
    if all({"file", "sha256"} <= line.keys() for line in lines):
        return _hashed("corpus", root, ((line["file"], line["sha256"]) for line in lines))
    if all({"id", "digest", "speech"} <= line.keys() for line in lines) and (root / "degraded").is_dir():
        return _round_set(root, lines)
    raise UsageError(
        f"{root / 'manifest.jsonl'} is the manifest of neither a corpus nor a round's set",
        "Give a whole directory: a set that was generated has a set.json beside its manifest.",
    )


def _round_set(root: Path, lines: list[dict[str, Any]]) -> Verdict:
    """The clips of a round: each has one digest over the rate and the samples of both its files."""

    def check(line: dict[str, Any]) -> dict[str, str]:
        clean, degraded = (root / role / f"{line['id']}.wav" for role in ("clean", "degraded"))
        missing = {str(path): "is missing" for path in (clean, degraded) if not path.is_file()}
        if missing:
            return missing
        recipe = ClipRecipe(line["speech"], "", 0.0)  # No part of the digest.
        try:
            found = Clip(line["id"], read_file(clean), read_file(degraded), recipe).digest
        except AudioFileError as error:
            return {error.path: error.problem.removeprefix(f"{error.path}: ")}
        except ValueError:
            found = None  # They differ in rate or length.
        return (
            {} if found == line["digest"] else {f"{clean} and {degraded}": "do not have the digest of their clip"}
        )

    problems: dict[str, str] = {}
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(check, lines):
            problems |= found
    return Verdict("round's set", 2 * len(lines), problems)


def _lines(manifest: Path) -> Iterator[dict[str, Any]]:
    with manifest.open(encoding="utf-8") as stream:
        for number, raw in enumerate(stream, 1):
            try:
                line = json.loads(raw)
            except json.JSONDecodeError as error:
                raise UsageError(f"{manifest}, line {number}, is not JSON ({error.msg})", "Restore it.") from error
            if not isinstance(line, dict):
                raise UsageError(f"{manifest}, line {number}, is no object", "Restore it.")
            yield line


def _hashed(kind: str, root: Path, expected: Any) -> Verdict:
    def check(item: tuple[str, str]) -> tuple[str, str | None]:
        path = root / item[0]
        if not path.is_file():
            return str(path), "is missing"
        return str(path), None if sha256_of_file(path) == item[1] else "differs from its SHA-256"

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(check, expected))
    return Verdict(kind, len(found), {path: problem for path, problem in found if problem})


def _recordings(root: Path) -> Verdict:
    paths = [p for p in files_below(root) if p.suffix.lower() in SUFFIXES]
    if not paths:
        raise UsageError(f"{root} holds no audio files", "Give a directory of recordings, a corpus or a set.")

    def check(path: Path) -> tuple[str, str | None]:
        try:
            read_file(path)
        except AudioFileError as error:
            return str(path), error.problem.removeprefix(f"{path}: ")
        return str(path), None

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(check, paths))
    return Verdict("recordings", len(found), {path: problem for path, problem in found if problem})
