"""All files of a bundle but its audio, fetched from an address and checked against the round document.

Nobody vouches for the address, so each file is read up to the size in the document, which is bounded itself. Sizes
are in bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from soundsright.core.competition import MAX_COMPETITIONS
from soundsright.core.errors import BundleRefused, UsageError, printable
from soundsright.services.records.round_document import OpenedRound, read_round
from soundsright.services.records.round_making import COMMITTED
from soundsright.services.records.round_part import BundlePlace, named_file, whole_file
from soundsright.services.records.round_store import LOG_PROOF, max_bytes_of
from soundsright.services.records.signed import ValidSignature

MAX_FETCHED_BYTES = 1 << 30
_MAX_FILES = 16 + MAX_COMPETITIONS


def fetch_record(place: BundlePlace, out: Path, valid_signature: ValidSignature | None = None) -> OpenedRound:
    """Write the files of a bundle without audio to the empty folder `out`, where they are a bundle again.

    Without `valid_signature`, the signature is not verified.

    Raises:
        UsageError: the folder cannot be written.
        BundleRefused: a file is missing, too large, or not what the round document says.
        SoundsRightError: the place does not answer.
    """
    raw = whole_file(place, "round.json", max_bytes_of("round.json") or 0)
    opened = read_round(raw, valid_signature)
    _check_sizes(opened)
    _write(out, "round.json", raw)
    for name in opened.document.files:
        _write(out, name, named_file(place, opened, name))
    for name, optional in _unnamed(place, opened):
        _write(out, name, optional)
    return opened


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


def _unnamed(place: BundlePlace, opened: OpenedRound) -> Iterator[tuple[str, bytes]]:
    """The files that a bundle can have beside those that the document names."""
    for name in (COMMITTED, LOG_PROOF, *(f"disclosed/{c.id}.jsonl" for c in opened.document.competitions)):
        limit = max_bytes_of(name) or 0
        raw = place.part(name, 0, limit + 1)
        if raw is None:
            continue
        if len(raw) > limit:
            raise BundleRefused(f"{name} has more than {limit} bytes")
        yield name, raw


def _write(out: Path, name: str, raw: bytes) -> None:
    try:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(raw)
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written ({error.strerror})", "Set TMPDIR to a folder with room for the bundle."
        ) from error
