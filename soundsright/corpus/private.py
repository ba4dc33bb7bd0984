"""A private corpus: encrypted recordings, of which each round uses some.

Everything here follows from the corpus and the number of a round. Nothing is recorded while rounds run.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from soundsright.core.errors import AudioFileError, UsageError
from soundsright.corpus.keys import Changed, CorpusKey
from soundsright.corpus.layout import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    MAX_SEALED_BYTES,
    batch_folder,
    is_sealed_name,
    manifest_bound,
    published_through,
    read_bounded,
    read_statement,
    recording_bound,
)
from soundsright.corpus.life import Life
from soundsright.corpus.merkle import MerkleTree
from soundsright.corpus.records import Leaf, Statement
from soundsright.data import PRIVATE_MARK, Corpus, Recording

_RESTORE = "Restore it from another copy of the corpus."


@dataclass(frozen=True)
class SealedRecording:
    """An encrypted recording on disk. It can be sent to a worker process, together with its key."""

    path: Path
    key: CorpusKey
    recording_id: str
    sha256: str

    def read(self) -> bytes:
        """The FLAC file, in memory.

        Raises:
            AudioFileError: the file is missing, was changed, or belongs to another recording.
        """
        try:
            with self.path.open("rb") as stream:
                sealed = stream.read(MAX_SEALED_BYTES + 1)
        except OSError as error:
            raise AudioFileError(self.path, f"cannot be read ({error.strerror})", _RESTORE) from error
        try:
            content = self.key.unseal(sealed, recording_bound(self.recording_id, self.sha256))
        except Changed:
            raise AudioFileError(self.path, "was changed since it was encrypted", _RESTORE) from None
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise AudioFileError(self.path, "has another content than its digest states", _RESTORE)
        return content


@dataclass(frozen=True)
class Entry:
    """A recording of a corpus: its leaf, its place, and its encrypted file. `cohort` counts over all batches."""

    leaf: Leaf
    batch: int
    index: int
    cohort: int
    sealed: SealedRecording

    def recording(self, *, is_fresh: bool = False) -> Recording:
        """The recording for sets. `is_fresh` states that no earlier round used it."""
        return recording_of(self.leaf, self.sealed.path, is_fresh=is_fresh, sealed=self.sealed)


def recording_of(
    leaf: Leaf, path: Path, *, is_fresh: bool = False, sealed: SealedRecording | None = None
) -> Recording:
    """The recording in a file as sets use it. Only `sealed` can read an encrypted file."""
    return Recording(
        id=leaf.id,
        path=path,
        sample_rate_hz=leaf.sample_rate_hz,
        duration_s=leaf.duration_s,
        speaker=leaf.speaker,
        language=leaf.language,
        text=leaf.text,
        licence=leaf.licence,
        bandwidth_hz=leaf.bandwidth_hz,
        sha256=leaf.sha256,
        group=leaf.group,
        fresh=is_fresh,
        source=leaf.source,
        sealed=sealed,
    )


@dataclass(frozen=True)
class PrivateCorpus:
    """Recordings that no one but the holders of the key can read. Rounds are counted as the chain counts them."""

    folder: Path
    statement: Statement
    entries: tuple[Entry, ...]
    key: CorpusKey = field(repr=False)
    published_through: int | None = None

    @classmethod
    def open(cls, folder: Path, key_file: Path) -> PrivateCorpus:
        """Read the descriptions of all recordings and check them against the root. No recording is decrypted.

        Raises:
            UsageError: the folder has no private corpus, or its description is damaged; or the key is lost, wrong,
                or readable by others.
        """
        # Look for the folder first: a wrong folder must not read as a lost key.
        read_statement(folder / PRIVATE_MARK)
        return cls.opened(folder, CorpusKey.read(key_file), key_name=str(key_file))

    @classmethod
    def opened(cls, folder: Path, key: CorpusKey, *, key_name: str = "the key") -> PrivateCorpus:
        """As `open`, with a key that is already in memory. `key_name` names it in errors."""
        statement, fingerprint = read_statement(folder / PRIVATE_MARK)
        if fingerprint != key.fingerprint:
            raise UsageError(
                f"{key_name} (fingerprint {key.fingerprint}) is not the key of {folder} ({fingerprint})",
                "Give the key file that was written when this corpus was built or imported.",
            )
        entries: list[Entry] = []
        for number in range(len(statement.batches)):
            entries += _entries_of(folder, statement, number, key)
        if len({entry.leaf.id for entry in entries}) != len(entries):
            # Its id says when a recording retires, so two of one id could be published too early.
            raise UsageError(f"{folder} lists two recordings with one id", _RESTORE)
        return cls(folder, statement, tuple(entries), key, published_through(folder))

    @property
    def root(self) -> str:
        """The root that commits to every recording, 64 hex digits."""
        return self.statement.root

    @property
    def life(self) -> Life:
        return self.statement.life

    @property
    def first_round(self) -> int:
        return self.statement.first_round

    @property
    def last_round(self) -> int:
        """The last round for which there are recordings."""
        return self.life.last_round

    @property
    def is_public(self) -> bool:
        """Whether all its recordings were published from this folder."""
        return self.published_through is not None and self.published_through >= self.last_round

    def at(self, number: int) -> Corpus:
        """The recordings of round `number`. Those that no earlier round used are marked as fresh.

        Raises:
            UsageError: the corpus begins later, or its recordings are used up.
        """
        life = self.life
        used, fresh = life.in_use(number), life.fresh(number)
        pool = [entry for entry in self.entries if entry.cohort in used]
        by_kind = {
            kind: tuple(e.recording(is_fresh=e.cohort in fresh) for e in pool if e.leaf.kind == kind)
            for kind in ("speech", "noise", "rir")
        }
        return Corpus(
            self.folder,
            by_kind["speech"],
            by_kind["noise"],
            by_kind["rir"],
            private_root=self.root,
            is_public=self.published_through is not None and number <= self.published_through,
        )

    def living(self, number: int) -> frozenset[str]:
        """The ids of recordings that round `number` or a later one uses. Nothing about them may be published."""
        return frozenset(e.leaf.id for e in self.entries if self.life.retired_round_of(e.cohort) > number)

    def retired_round_of(self, recording_id: str) -> int:
        """The first round that can no longer use the recording. From then on it may be published.

        Raises:
            UsageError: there is no such recording.
        """
        return self.life.retired_round_of(self.entry(recording_id).cohort)

    def recording_in(self, number: int, recording_id: str) -> Recording:
        """The recording, if round `number` may use it.

        Raises:
            UsageError: it has retired, is not in use yet, or does not exist; or the corpus has no such round.
        """
        entry = self.entry(recording_id)
        rounds = self.life.rounds_of(entry.cohort)
        self.life.in_use(number)  # A round that the corpus does not have is the first thing to name.
        if number not in rounds:
            retired = number >= self.life.retired_round_of(entry.cohort)
            raise UsageError(
                f"The recording {recording_id} "
                + (f"retired after round {rounds[-1]}" if retired else f"is first used in round {rounds[0]}")
                + f"; this is round {number}",
                "Choose a recording that the round uses.",
            )
        return entry.recording()

    def rounds_left(self, number: int) -> int:
        """For how many rounds there are recordings, from round `number` on."""
        return self.life.rounds_left(number)

    def entry(self, recording_id: str) -> Entry:
        """The recording with that id.

        Raises:
            UsageError: there is none.
        """
        try:
            return self._by_id[recording_id]
        except KeyError:
            raise UsageError(
                f"{self.folder} has no recording {recording_id[:80]!r}",
                "Give an id from a page or manifest of this corpus.",
            ) from None

    @cached_property
    def _by_id(self) -> dict[str, Entry]:
        return {entry.leaf.id: entry for entry in self.entries}


def _entries_of(folder: Path, statement: Statement, number: int, key: CorpusKey) -> list[Entry]:
    batch = statement.batches[number]
    below = batch_folder(folder, number)
    path = below / MANIFEST
    try:
        content = key.unseal(read_bounded(path, MAX_MANIFEST_BYTES), manifest_bound(batch.root))
    except Changed:
        raise UsageError(f"{path} was changed, or belongs to another corpus than {folder}", _RESTORE) from None
    try:
        lines = json.loads(content)
        if not isinstance(lines, list) or len(lines) != batch.recordings:
            raise ValueError(f"it does not describe {batch.recordings} recordings")
        leaves = [Leaf.of(line["leaf"]) for line in lines]
        files = [str(line["file"]) for line in lines]
        if not all(map(is_sealed_name, files)):
            raise ValueError("a file has a name that is not allowed")
        if any(leaf.cohort >= batch.cohorts for leaf in leaves):
            raise ValueError("a recording is in a cohort that the batch does not have")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{path} is not a list of recordings: {error}", _RESTORE) from error
    if MerkleTree([leaf.hash for leaf in leaves]).root.hex() != batch.root:
        raise UsageError(
            f"{path} lists other recordings than the root {statement.root} commits to",
            "Use the corpus to which the root belongs: a root belongs to one corpus only.",
        )
    first = statement.first_cohort_of(number)
    return [
        Entry(
            leaf,
            number,
            index,
            first + leaf.cohort,
            SealedRecording(below / file, key, leaf.id, leaf.sha256),
        )
        for index, (leaf, file) in enumerate(zip(leaves, files, strict=True))
    ]
