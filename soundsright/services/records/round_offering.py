"""The files of a run's record, one at a time, with the names that they have in its bundle.

A leaderboard offers them under an address, so that others can check the round or fetch one clip without the whole
bundle. Audio is made when it is asked for, from the WAV file in the run's folder. What the record withholds stays
withheld. Sizes are in bytes.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from soundsright.core.errors import BundleRefused, UsageError
from soundsright.services.records.reading import is_plain_file
from soundsright.services.records.round_making import COMMITTED, RECORD
from soundsright.services.records.round_packing import disclosed_lines, opened_record, signals_of, stored_signal
from soundsright.services.records.round_store import LOG_PROOF

_KEPT_SIGNALS = 8
"""Signals that stay in memory after they were made, because some clients read a file in several parts."""


class OfferedRecord:
    """The files of the record in the folder of a run. It takes no name that a bundle does not have.

    Raises:
        UsageError: the run has no record.
        BundleRefused: the record cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._record = opened_record(folder)
        self._signals = signals_of(self._record, folder)
        self._sizes = {name: facts.bytes for name, facts in self._record.document.files.items()}
        self._competitions = {f"disclosed/{c.id}.jsonl": c.id for c in self._record.document.competitions}
        self._made = lru_cache(_KEPT_SIGNALS)(self._stored)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all files but the audio. Some may be missing."""
        return ("round.json", COMMITTED, LOG_PROOF, *self._sizes, *self._competitions)

    def signals(self) -> tuple[str, ...]:
        """The digests of the signals that the run's folder has."""
        return tuple(self._signals)

    def size_of(self, digest: str) -> int:
        """The bytes of a signal as WAV; 0 if its file is gone."""
        try:
            return self._signals[digest].stat().st_size
        except OSError:
            return 0

    def signal(self, digest: str) -> tuple[str, bytes] | None:
        """The name and the bytes of a stored signal; None if its file was changed or removed."""
        try:
            return self._made(digest) if digest in self._signals else None
        except (UsageError, BundleRefused, OSError):
            return None

    def file(self, name: str) -> Path | None:
        """The file of that name, if the record has it on the disk."""
        is_named = name in self._sizes or name in ("round.json", COMMITTED, LOG_PROOF)
        path = self._folder / name if name == LOG_PROOF else self._folder / RECORD / name
        return path if is_named and is_plain_file(path) else None

    def made(self, name: str) -> bytes | None:
        """The bytes of a file that is made from others: audio, or recipes that were disclosed; None without it."""
        try:
            if name in self._competitions:
                return b"".join(disclosed_lines(self._record, self._folder, self._competitions[name])) or None
        except (UsageError, BundleRefused, OSError):
            # The file was changed or removed since the round ended. `bundle make` says which.
            return None
        stored = self.signal(Path(name).name.partition(".")[0])
        return stored[1] if stored is not None and stored[0] == name else None

    def _stored(self, digest: str) -> tuple[str, bytes]:
        name, raw, _ = stored_signal(digest, self._signals[digest])
        return name, raw
