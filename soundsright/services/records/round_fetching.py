"""The files of a bundle, fetched from an address one by one and checked against the round document.

Nobody vouches for the address, so each file is read up to the size in the document, which is bounded itself. A file
that was fetched before is not fetched again if it still has its digest. Sizes are in bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from soundsright.core.competition import MAX_COMPETITIONS
from soundsright.core.errors import BundleRefused, UsageError, printable
from soundsright.services.records.reading import is_plain_file
from soundsright.services.records.round_audio import wav_of
from soundsright.services.records.round_document import OpenedRound, read_round
from soundsright.services.records.round_making import COMMITTED
from soundsright.services.records.round_part import BundlePlace, fetched_signal, named_file, whole_file
from soundsright.services.records.round_store import (
    LOG_PROOF,
    MAX_AUDIO_BYTES,
    MAX_BUNDLE_BYTES,
    audio_name,
    max_bytes_of,
)
from soundsright.services.records.signed import ValidSignature

MAX_FETCHED_BYTES = 1 << 30
_AT_ONCE = 4
_AHEAD = 64
"""Signals that are asked for before the first of them counts."""
_MAX_FILES = 16 + MAX_COMPETITIONS


def fetch_record(place: BundlePlace, out: Path, valid_signature: ValidSignature | None = None) -> OpenedRound:
    """Write the files of a bundle without audio to the folder `out`, where they are a bundle again.

    Without `valid_signature`, the signature is not verified.

    Raises:
        UsageError: the folder cannot be written.
        BundleRefused: a file is missing, too large, or not what the round document says.
        SoundsRightError: the place does not answer.
    """
    raw, opened = _document(place, valid_signature)
    _fetch_files(place, opened, out)
    # Last, because a folder with a document looks like a bundle.
    _write(out, "round.json", raw)
    return opened


def fetch_into(place: BundlePlace, cache: Path, valid_signature: ValidSignature | None = None) -> Path:
    """Fetch a bundle without audio into a folder in `cache` that is named by the document's digest.

    Files of an earlier fetch stay in the folder. Returns the folder.

    Raises:
        UsageError, BundleRefused, SoundsRightError: as `fetch_record`.
    """
    raw, opened = _document(place, valid_signature)
    folder = cache / opened.sha256
    _fetch_files(place, opened, folder)
    _write(folder, "round.json", raw)
    return folder


def fetch_audio(
    place: BundlePlace,
    folder: Path,
    digests: Iterable[str],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Fetch the audio with these digests into the folder of a bundle. Returns the number that the place lacks.

    Audio that the folder has already, with its digest, is not fetched again.

    Raises:
        UsageError: the folder cannot be written, or would be larger than a bundle can be.
        BundleRefused: audio has other content than its name says.
        SoundsRightError: the place does not answer.
    """
    wanted = list(dict.fromkeys(digests))
    missing = size = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for start in range(0, len(wanted), _AHEAD):
            batch = wanted[start : start + _AHEAD]
            for number, raw_bytes in enumerate(pool.map(partial(_fetch_signal, place, folder), batch), start + 1):
                missing += raw_bytes is None
                size += raw_bytes or 0
                progress(number, len(wanted))
            if size > MAX_BUNDLE_BYTES:
                raise UsageError(
                    f"The audio has more than {MAX_BUNDLE_BYTES / 1e9:.0f} GB", "Check a part of it with --sample."
                )
    return missing


def _fetch_signal(place: BundlePlace, folder: Path, digest: str) -> int | None:
    """The size of the stored signal; None if the place does not have it."""
    for kind in ("flac", "wav"):
        path = folder / audio_name(digest, kind)
        try:
            if is_plain_file(path) and path.stat().st_size <= MAX_AUDIO_BYTES:
                wav_of(path.read_bytes(), kind, digest)
                return path.stat().st_size
        except (OSError, BundleRefused):
            continue
    found = fetched_signal(place, digest)
    for name, raw in (found or {}).items():
        _write(folder, name, raw)
        return len(raw)
    return None


def _document(place: BundlePlace, valid_signature: ValidSignature | None) -> tuple[bytes, OpenedRound]:
    raw = whole_file(place, "round.json", max_bytes_of("round.json") or 0)
    opened = read_round(raw, valid_signature)
    _check_sizes(opened)
    return raw, opened


def _fetch_files(place: BundlePlace, opened: OpenedRound, out: Path) -> None:
    for name, facts in opened.document.files.items():
        if not _has(out / name, facts.sha256, facts.bytes):
            _write(out, name, named_file(place, opened, name))
    unnamed = dict(_unnamed(place, opened))
    for name in _unnamed_files(opened):
        if name in unnamed:
            _write(out, name, unnamed[name])
        else:
            # An earlier fetch may have left it.
            (out / name).unlink(missing_ok=True)


def _has(path: Path, sha256: str, size: int) -> bool:
    try:
        if not is_plain_file(path) or path.stat().st_size != size:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def _check_sizes(opened: OpenedRound) -> None:
    files = opened.document.files
    for name, facts in files.items():
        limit = max_bytes_of(name)
        if limit is None or name.startswith("audio/"):
            raise BundleRefused(f"The round document names {printable(name[:100])}, which is no file of a bundle")
        if facts.bytes > limit:
            raise BundleRefused(f"{name} has {facts.bytes} bytes, and at most {limit} are read")
    total = sum(facts.bytes for facts in files.values())
    if len(files) > _MAX_FILES or total > MAX_FETCHED_BYTES:
        raise BundleRefused(
            f"The bundle has {len(files)} files of {total / 1e6:.0f} MB without audio, and at most {_MAX_FILES} of"
            f" {MAX_FETCHED_BYTES / 1e6:.0f} MB are fetched",
            "Download it in another way, and verify the folder.",
        )


def _unnamed_files(opened: OpenedRound) -> tuple[str, ...]:
    return COMMITTED, LOG_PROOF, *(f"disclosed/{c.id}.jsonl" for c in opened.document.competitions)


def _unnamed(place: BundlePlace, opened: OpenedRound) -> Iterator[tuple[str, bytes]]:
    """The files that a bundle can have beside those that the document names."""
    for name in _unnamed_files(opened):
        limit = max_bytes_of(name) or 0
        raw = place.part(name, 0, limit + 1)
        if raw is None:
            continue
        if len(raw) > limit:
            raise BundleRefused(f"{name} has more than {limit} bytes")
        yield name, raw


def _write(out: Path, name: str, raw: bytes) -> None:
    path = out / name
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(raw)
        part.replace(path)
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written ({error.strerror})", "Set STATE_FOLDER to a folder with room for the bundle."
        ) from error
