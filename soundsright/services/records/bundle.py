"""A bundle: one archive with everything that anyone needs to check a round.

    README.txt                            how to score the audio again
    SHA256SUMS                            the checksum of every other file
    results.json  scores.jsonl            the decisions, and every clip's scores with its recipe
    sets/COMPETITION/manifest.jsonl       the set; with audio also clean/ and degraded/
    enhanced/COMPETITION/ENTRY/           with audio: the enhanced clips of each entry

The same run files always give the same bytes. Miners' private feedback, local paths and the round's state stay out.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from soundsright.core.errors import UsageError, printable
from soundsright.services.records.reading import is_plain_file
from soundsright.services.records.results import Results
from soundsright.services.records.runs import REFERENCES, Run

MAX_BUNDLE_BYTES = 16 << 30
MAX_IN_MEMORY_BYTES = 256 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
_PIECE_BYTES = 1 << 20


def write_bundle(run: Run, out: Path | IO[bytes], *, audio: bool = True, max_bytes: int = MAX_BUNDLE_BYTES) -> int:
    """Write the archive, and return the number of its files.

    Names are sorted and dates are fixed, so the same run gives the same bytes.

    Raises:
        UsageError: the run has no results or is larger than `max_bytes`, a file cannot be read or written, or `out`
            is one of the run's own files.
    """
    doc = run.finished()
    files = dict(sorted(_files(run, audio)))
    total = sum(path.stat().st_size for path in files.values())
    if total > max_bytes:
        raise UsageError(
            f"The bundle would have {total / 1e6:.0f} MB, and at most {max_bytes / 1e6:.0f} MB are allowed",
            "Leave out the audio.",
        )
    if isinstance(out, Path) and out.resolve() in {path.resolve() for path in files.values()}:
        raise UsageError(f"{out} is a file of the run, which goes into the bundle", "Give another file.")
    readme = _readme(run, doc, audio)
    try:
        if not isinstance(out, Path) or (out.exists() and not out.is_file()):
            return _write_archive(out, files, readme)
        # A bundle that is interrupted must not look like a finished one, which the leaderboard offers.
        target = out.resolve()
        part = target.with_name(f".{target.name}.part")
        try:
            count = _write_archive(part, files, readme)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return count
    except OSError as error:
        raise UsageError(f"The bundle cannot be written ({error})", "Give another file.") from error


def _write_archive(out: Path | IO[bytes], files: Mapping[str, Path], readme: str) -> int:
    texts = {"README.txt": readme}
    sums: list[str] = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, path in files.items():
            sums.append(f"{_copy(archive, name, path)}  {name}\n")
        texts["SHA256SUMS"] = "".join(sums)
        for name, text in texts.items():
            archive.writestr(_zip_info(name), text)
    return len(files) + len(texts)


def bundle_bytes(run: Run) -> bytes:
    """The archive without audio, as bytes.

    Raises:
        UsageError: as `write_bundle`.
    """
    buffer = io.BytesIO()
    write_bundle(run, buffer, audio=False, max_bytes=MAX_IN_MEMORY_BYTES)
    return buffer.getvalue()


def _files(run: Run, audio: bool) -> Iterator[tuple[str, Path]]:
    for name in ("results.json", "scores.jsonl"):
        if is_plain_file(run.folder / name):
            yield name, run.folder / name
    for c in run.competitions:
        manifest = c.set_folder / "manifest.jsonl"
        if is_plain_file(manifest):
            yield f"sets/{c.doc.id}/manifest.jsonl", manifest
        for clip in c.clip_ids if audio else ():
            for signal in (*REFERENCES, *(entry.key for entry in c.entries)):
                path = c.signal(signal, clip)
                if path is not None:
                    folder = (
                        f"sets/{c.doc.id}/{signal}" if signal in REFERENCES else f"enhanced/{c.doc.id}/{signal}"
                    )
                    yield f"{folder}/{clip}.wav", path


def _copy(archive: zipfile.ZipFile, name: str, path: Path) -> str:
    """Copy a file into the archive and return its SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while piece := source.read(_PIECE_BYTES):
            digest.update(piece)
        source.seek(0)
        with archive.open(_zip_info(name, path.stat().st_size), "w") as target:
            shutil.copyfileobj(source, target, _PIECE_BYTES)
    return digest.hexdigest()


def _zip_info(name: str, size: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    info.create_system = 3
    info.file_size = size
    return info


def _readme(run: Run, doc: Results, audio: bool) -> str:
    r = doc.round
    lines = [
        f"SoundsRight, round {r.id}, rules {r.ruleset} {r.ruleset_digest}",
        f"The seed comes from block {r.seed_block}, {r.seed_block_hash}.",
        f"Entries closed with block {r.entries_close_block}.",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in doc.versions.items()) + ".",
        "",
        "Check the files:           sha256sum --check SHA256SUMS",
    ]
    for c in run.competitions:
        lines += ["", f"{c.doc.id}: seed {c.doc.seed}, set {c.doc.set_digest}"]
        hidden = sum(recipe.is_hidden for recipe in c.recipes.values())
        if hidden:
            lines += [
                f"  {hidden} of {len(c.recipes)} clips have no audio here: their recordings are still private."
            ]
        if audio and hidden < len(c.recipes):
            metrics = ",".join(doc.metrics)
            options = f"--clean sets/{c.doc.id}/clean --noisy sets/{c.doc.id}/degraded --metrics {metrics}"
            lines += [
                f"  {entry.key}: {printable(entry.label)}" for entry in c.entries if entry.folder and entry.answered
            ]
            lines += [f"  soundsright score {options} --enhanced enhanced/{c.doc.id}/ENTRY"]
        elif not audio:
            lines += ["  This bundle has no audio. The digests of the audio are in the manifest."]
    return "\n".join(lines) + "\n"
