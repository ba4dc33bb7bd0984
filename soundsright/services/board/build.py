"""Writes the pages of the leaderboard to a folder. Audio becomes scripts, which a browser can load from a disk.

Audio is 16-bit FLAC in base64. A clip is written with all its signals or with none. Clips on which entries differ
most come first, until the size limit is reached. The pages say which clips have no audio.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from soundsright.core.errors import BundleRefused, InfrastructureFault, UsageError
from soundsright.services.board.federation_page import ShownFederation
from soundsright.services.board.pages import AudioAccess, ClipAddress, Site
from soundsright.services.board.tiers_page import ShownTiers
from soundsright.services.drawing import MAX_SIGNAL_BYTES, Page, clips_by_spread, flac_bytes, places_of
from soundsright.services.records import (
    BUNDLE,
    RECORD,
    REFERENCES,
    ExecutorHistory,
    OfferedRecord,
    Run,
    RunCompetition,
    ValidSignature,
)
from soundsright.services.rounds import read_wav

MARKER = ".soundsright-leaderboard"


@dataclass(frozen=True)
class BuiltSite:
    """Counts of what was written. `audio_bytes` is a part of `total_bytes`; `notes` names files that are broken."""

    files: int
    total_bytes: int
    audio_bytes: int
    clips_heard: int
    clips_silent: int
    notes: tuple[str, ...]


def build_site(
    runs: Sequence[Run],
    out: Path,
    *,
    audio_bytes: int,
    executor: ExecutorHistory | None = None,
    federation: ShownFederation | None = None,
    tiers: ShownTiers | None = None,
    valid_signature: ValidSignature | None = None,
    log: str | None = None,
) -> BuiltSite:
    """Write the site with at most `audio_bytes` of audio to `out`, a new or empty folder or an earlier build.

    The files of an earlier build are replaced. With the rounds of an executor, a federation, or tiers, the site has
    pages for them. With `valid_signature`, the page of a round shows who signed its record and who replayed it.
    `log` is the hotkey of the log that counts.

    Raises:
        UsageError: the folder has other files, or cannot be written.
    """
    _claim(out)
    writer = _Writer(out)
    notes: list[str] = []
    with_audio = _write_audio(runs, writer, audio_bytes, notes)
    audio_written = writer.total_bytes
    site = Site(
        runs,
        AudioAccess("embedded", frozenset(with_audio)),
        executor=executor,
        federation=federation,
        tiers=tiers,
        valid_signature=valid_signature,
        log=log,
    )
    bundles = {f"r/{run.key}/{BUNDLE}": run.bundle for run in runs if run.bundle is not None}
    for path in site.paths():
        if path in bundles:
            writer.copy(path, bundles[path])
            continue
        page = site.page(path)
        if page is not None:
            writer.write(path, page)
    _write_records(runs, writer, audio_bytes - audio_written, notes)
    writer.finish()
    clips = sum(len(c.clip_ids) for run in runs for c in run.competitions)
    silent = clips - len(with_audio)
    return BuiltSite(writer.files, writer.total_bytes, audio_written, len(with_audio), silent, tuple(notes))


def _write_records(runs: Sequence[Run], writer: _Writer, audio_bytes: int, notes: list[str]) -> None:
    """Write the files of each round's record, latest run first. Its audio is written whole, while it fits."""
    for run in reversed(runs):
        try:
            record = OfferedRecord(run.folder)
        except (UsageError, BundleRefused, OSError):
            # It has none, or the page of the round says what is wrong.
            continue
        root = f"r/{run.key}/{RECORD}"
        for name in record.names:
            if (path := record.file(name)) is not None:
                writer.copy(f"{root}/{name}", path)
            elif (raw := record.made(name)) is not None:
                writer.write(f"{root}/{name}", Page(raw, "application/jsonl"))
        signals = record.signals()
        size = sum(record.size_of(digest) for digest in signals)
        if size > audio_bytes:
            notes.append(
                f"{run.folder}: the audio of its record, {size / 1e6:.0f} MB as WAV, does not fit, so nobody can "
                "score the round from this site; --audio-mib gives it more room"
            )
            continue
        audio_bytes -= size
        for digest in signals:
            stored = record.signal(digest)
            if stored is not None:
                writer.write(f"{root}/{stored[0]}", Page(stored[1], "audio/flac"))


def _write_audio(runs: Sequence[Run], writer: _Writer, limit_bytes: int, notes: list[str]) -> set[ClipAddress]:
    """Write clips until `limit_bytes` are reached, one of each competition in turn, latest run first.

    Returns the clips that have audio.
    """
    queues = [[(run, c, clip) for clip in clips_by_spread(c)] for run in reversed(runs) for c in run.competitions]
    clips = [clip for turn in zip_longest(*queues) for clip in turn if clip is not None]
    written: set[ClipAddress] = set()
    for run, c, clip in clips:
        scripts = _clip_scripts(run, c, clip, notes)
        if not scripts:
            continue
        if writer.total_bytes + sum(len(page.body) for page in scripts.values()) > limit_bytes:
            break
        for path, page in scripts.items():
            writer.write(path, page)
        written.add(ClipAddress(run.key, c.doc.id, clip))
    return written


def _clip_scripts(run: Run, c: RunCompetition, clip: str, notes: list[str]) -> dict[str, Page]:
    """The signals of a clip as scripts by path. A broken one becomes an empty script and a line in `notes`."""
    scripts: dict[str, Page] = {}
    for signal in (*REFERENCES, *(entry.key for entry in c.entries)):
        path = c.signal(signal, clip)
        if path is None:
            continue
        address = f"audio/{run.key}/{c.doc.id}/{clip}/{signal}.js"
        try:
            if path.stat().st_size > MAX_SIGNAL_BYTES:
                raise InfrastructureFault(
                    f"{path} is larger than {MAX_SIGNAL_BYTES >> 20} MiB, so the page has no audio of it"
                )
            data = base64.b64encode(flac_bytes(read_wav(path))).decode()
        except (InfrastructureFault, ValueError) as fault:
            notes.append(str(fault))
            # An empty script makes the page say that this signal cannot be played.
            data = ""
        # ASCII without a tag: `json.dumps` escapes all else, and the texts are our own.
        places = json.dumps(places_of(c, clip, signal), separators=(",", ":"))
        scripts[address] = Page(f'EmbeddedAudio.take("{address}","{data}",{places});\n'.encode(), "text/javascript")
    return scripts


class _Writer:
    """Writes pages below a folder. `finish` removes the files of an earlier build that were not written again."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._before = {path for path in out.rglob("*") if path.is_file()}
        self._folders: set[Path] = set()
        self._written: set[Path] = set()
        self.total_bytes = 0

    @property
    def files(self) -> int:
        return len(self._written)

    def write(self, path: str, page: Page) -> None:
        with self._target(path) as target:
            target.write_bytes(page.body)

    def copy(self, path: str, source: Path) -> None:
        with self._target(path) as target:
            shutil.copyfile(source, target)

    @contextmanager
    def _target(self, path: str) -> Iterator[Path]:
        """The file to write for a path of the site, in an existing folder. Its size counts."""
        if not re.fullmatch(r"[A-Za-z0-9_./-]+", path) or ".." in path:
            raise AssertionError(f"{path!r} is not a path of the site")
        target = self._out / path
        try:
            if target.parent not in self._folders:
                target.parent.mkdir(parents=True, exist_ok=True)
                self._folders.add(target.parent)
            yield target
        except OSError as error:
            raise UsageError(
                f"{target} cannot be written ({error.strerror})", "Choose a folder that you may write to."
            ) from error
        self._written.add(target)
        self.total_bytes += target.stat().st_size

    def finish(self) -> None:
        for path in self._before - self._written - {self._out / MARKER}:
            path.unlink(missing_ok=True)
        for folder in sorted((p for p in self._out.rglob("*") if p.is_dir()), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()


def _claim(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()) and not (out / MARKER).is_file():
            raise UsageError(
                f"{out} has files that are not part of a leaderboard", "Choose an empty or new folder."
            )
        (out / MARKER).write_text("`soundsright leaderboard build` replaces the files in this folder.\n")
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written ({error.strerror})", "Choose a folder that you may write to."
        ) from error
