"""Pack the record of a round with its audio: into one .zip file, or into a folder.

    round.json                            the round document, signed or not
    results.json  scores.jsonl            the decisions, and every clip's scores
    plan.json  steps.jsonl                what the decisions follow from
    clips.jsonl  answers.jsonl            the digests of the clips and of the answers
    index.json                            where each entry's lines are, to fetch a part
    sets/COMPETITION/manifest.jsonl       the set's recipes
    disclosed/COMPETITION.jsonl           recipes of private recordings that retired after the round
    committed.json                        the block in which the signer committed to the document
    log.json                              the proof that the document is in a log, if the run has one
    audio/AB/ABC….flac                    each signal under the SHA-256 of its WAV file

The same run files give the same bytes. Private feedback, local paths, and what a living private corpus hides stay
out.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import BundleRefused, UsageError
from soundsright.core.ports import Account
from soundsright.services.records.reading import is_plain_file
from soundsright.services.records.round_audio import stored_audio
from soundsright.services.records.round_bundle import RoundBundle, bundled_lines
from soundsright.services.records.round_document import round_file
from soundsright.services.records.round_making import COMMITTED, RECORD
from soundsright.services.records.round_store import (
    LOG_PROOF,
    MAX_AUDIO_BYTES,
    FolderStore,
    audio_name,
    max_bytes_of,
)

MAX_PACKED_BYTES = 16 << 30
MAX_IN_MEMORY_BYTES = 256 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
_ENCODERS = 2
_AHEAD = 32
"""Signals that are encoded before they are written, so that memory does not grow with the round."""


@dataclass(frozen=True)
class Packed:
    """The number of files and of signals in a bundle, and the bytes of its audio as WAV and as stored."""

    files: int
    signals: int
    wav_bytes: int
    stored_bytes: int


def write_bundle(
    folder: Path,
    out: Path | IO[bytes],
    *,
    audio: bool = True,
    account: Account | None = None,
    max_bytes: int = MAX_PACKED_BYTES,
) -> Packed:
    """Write the bundle of the run in `folder`: a .zip file, or a new folder if the name of `out` does not end so.

    An account signs the document, if it is not signed yet.

    Raises:
        UsageError: the run has no record, the bundle would be larger than `max_bytes`, a file cannot be read or
            written, or the document is signed by another account.
    """
    with closing(opened_record(folder)) as record:
        files = _texts(record, folder, account)
        signals = signals_of(record, folder) if audio else {}
        total = sum(map(len, files.values())) + sum(path.stat().st_size for path in signals.values())
        if total > max_bytes:
            raise UsageError(
                f"The bundle would have {total / 1e6:.0f} MB, and at most {max_bytes / 1e6:.0f} MB are allowed",
                "Leave out the audio with --no-audio.",
            )
        try:
            return _written(out, files, signals)
        except OSError as error:
            raise UsageError(f"The bundle cannot be written ({error})", "Give another file with --out.") from error


def bundle_bytes(folder: Path) -> bytes:
    """The .zip file without audio, as bytes.

    Raises:
        UsageError: as `write_bundle`.
    """
    buffer = io.BytesIO()
    write_bundle(folder, buffer, audio=False, max_bytes=MAX_IN_MEMORY_BYTES)
    return buffer.getvalue()


def has_record(folder: Path) -> bool:
    """Whether the run in the folder has a record, from which a bundle can be made."""
    return is_plain_file(folder / RECORD / "round.json")


def opened_record(folder: Path) -> RoundBundle:
    """The record in a run's folder, without its audio.

    Raises:
        UsageError: it has none.
        BundleRefused: the record cannot be read.
    """
    if not has_record(folder):
        raise UsageError(
            f"{folder} has no record of its round",
            "Give the folder of a finished run. Runs of versions before 0.5.0 have none: run them again.",
        )
    return RoundBundle(FolderStore(folder / RECORD))


def _texts(record: RoundBundle, folder: Path, account: Account | None) -> dict[str, bytes]:
    """The files of the bundle without audio, by name."""
    files = {"round.json": _signed(record, account)}
    if COMMITTED in record.store.sizes:
        files[COMMITTED] = record.store.read(COMMITTED)
    proof = folder / LOG_PROOF
    if is_plain_file(proof) and proof.stat().st_size <= (max_bytes_of(LOG_PROOF) or 0):
        files[LOG_PROOF] = proof.read_bytes()
    files |= {name: record.read(name) for name in sorted(record.document.files)}
    for competition in record.document.competitions:
        if lines := list(disclosed_lines(record, folder, competition.id)):
            files[f"disclosed/{competition.id}.jsonl"] = b"".join(lines)
    return files


def _signed(record: RoundBundle, account: Account | None) -> bytes:
    signer = record.opened.signer
    if account is None or signer == account.address:
        return record.store.read("round.json")
    if signer is not None:
        raise UsageError(
            f"The round document is signed by {signer}, and the key is that of {account.address}",
            "Leave out the key: the signature stays.",
        )
    return round_file(record.document, account).encode()


def disclosed_lines(record: RoundBundle, folder: Path, competition: str) -> Iterator[bytes]:
    """The lines of the set's present manifest that were hidden in the record, and are not any more."""
    hidden = {line.get("id") for line in record.manifest(competition) if "recipe_sha256" in line}
    path = folder / "sets" / competition / "manifest.jsonl"
    if not hidden or not is_plain_file(path):
        return
    for line in bundled_lines(str(path), path.read_bytes()):
        if line.get("id") in hidden and "salt" in line:
            yield f"{canonical_json(line)}\n".encode()


def signals_of(record: RoundBundle, folder: Path) -> dict[str, Path]:
    """The WAV file of each signal of the record that the run's folder has, by digest."""
    paths: dict[str, Path] = {}
    for line in record.clips():
        for role in ("clean", "degraded"):
            paths.setdefault(line[role], folder / "sets" / line["competition"] / role / f"{line['clip']}.wav")
    for line in record.answers():
        if line.get("sha256") is not None:
            paths.setdefault(line["sha256"], folder / "enhanced" / line["entry"] / f"{line['clip']}.wav")
    return {digest: path for digest, path in sorted(paths.items()) if is_plain_file(path)}


def _written(out: Path | IO[bytes], files: Mapping[str, bytes], signals: Mapping[str, Path]) -> Packed:
    if not isinstance(out, Path):
        return _write_archive(out, files, signals)
    target = out.resolve()
    part = target.with_name(f".{target.name}.part")
    # A bundle that is interrupted must not look like a finished one, which the leaderboard offers.
    try:
        if out.suffix == ".zip":
            packed = _write_archive(part, files, signals)
        else:
            if target.exists():
                raise UsageError(f"{out} exists", "Give a new folder, or a file that ends with .zip.")
            shutil.rmtree(part, ignore_errors=True)
            packed = _write_folder(part, files, signals)
        part.replace(target)
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
    return packed


def _write_archive(out: Path | IO[bytes], files: Mapping[str, bytes], signals: Mapping[str, Path]) -> Packed:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, raw in files.items():
            archive.writestr(_zip_info(name, zipfile.ZIP_DEFLATED), raw)
        wav = stored = 0
        for name, raw, size in _encoded(signals):
            archive.writestr(_zip_info(name, zipfile.ZIP_STORED), raw)
            wav, stored = wav + size, stored + len(raw)
    return Packed(len(files) + len(signals), len(signals), wav, stored)


def _write_folder(folder: Path, files: Mapping[str, bytes], signals: Mapping[str, Path]) -> Packed:
    for name, raw in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
    wav = stored = 0
    for name, raw, size in _encoded(signals):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
        wav, stored = wav + size, stored + len(raw)
    return Packed(len(files) + len(signals), len(signals), wav, stored)


def _encoded(signals: Mapping[str, Path]) -> Iterator[tuple[str, bytes, int]]:
    """The name, the stored bytes, and the size as WAV, of each signal in their order."""
    digests = list(signals)
    with ThreadPoolExecutor(_ENCODERS) as pool:
        for start in range(0, len(digests), _AHEAD):
            batch = digests[start : start + _AHEAD]
            yield from pool.map(lambda digest: stored_signal(digest, signals[digest]), batch)


def stored_signal(digest: str, path: Path) -> tuple[str, bytes, int]:
    """The name of a signal in a bundle, its stored bytes, and its size as WAV.

    Raises:
        UsageError: the file is too large.
        BundleRefused: it has other content than the digest says.
        OSError: it cannot be read.
    """
    if path.stat().st_size > MAX_AUDIO_BYTES:
        raise UsageError(
            f"{path} has more than {MAX_AUDIO_BYTES >> 20} MiB", "Leave out the audio with --no-audio."
        )
    wav = path.read_bytes()
    if hashlib.sha256(wav).hexdigest() != digest:
        raise BundleRefused(f"{path} is not the audio of the round: it was changed", "Restore it from a backup.")
    kind, raw = stored_audio(wav)
    return audio_name(digest, kind), raw, len(wav)


def _zip_info(name: str, compression: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = compression
    info.external_attr = 0o644 << 16
    info.create_system = 3
    return info
