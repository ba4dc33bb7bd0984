"""The audio of a bundle as the files of its round, for the steps of a round that listen.

Near copies and signs of tuning follow from the audio. The round's own code finds them, and asks for files such as
`enhanced/ENTRY/000001.wav`. Here these names stand for the signals of the bundle, so nothing is
unpacked to the disk.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsright.core.audio import Audio
from soundsright.core.errors import BundleRefused, UsageError
from soundsright.core.ports import Pool
from soundsright.metrics import ClipEvidence
from soundsright.services.records import RoundBundle
from soundsright.services.replay.deciding import UNPROCESSED
from soundsright.services.replay.keeping import KeptWork
from soundsright.services.replay.plan import ScoredPair, entry_ids_of
from soundsright.services.replay.scoring import signal_of, stored_signals
from soundsright.services.rounds import PROBE_CLIPS, Heard, Unchecked, evidence_of_files, steps

NEAR_COPIES, FLAGS = steps.NEAR_COPIES.name, steps.FLAGS.name
ON_RECORD = Unchecked(f"{NEAR_COPIES}, {FLAGS}", "They rest on the record. --score computes them from the audio.")
_SAMPLED = Unchecked(FLAGS, "They rest on the record. Only a replay of all results computes them.")


@dataclass(frozen=True)
class Listening:
    """The audible part of a round. `heard` is None if a signal is missing; `unchecked` says what and why."""

    heard: Heard | None
    unchecked: tuple[Unchecked, ...]


def listening(
    bundle: RoundBundle,
    pairs: Sequence[ScoredPair],
    pool: Pool,
    *,
    sampled: bool = False,
    kept: KeptWork | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Listening:
    """The audio of all results of a round. A sample of them is enough for near copies, and not for flags.

    `pairs` are all results of the round. Near copies need a few clips of every entry, whichever a sample draws.
    `progress` gets the number of answers that were compared with others or examined, and the number of all.
    """
    missing = next((pair for pair in pairs if not _is_whole(bundle, pair)), None)
    if missing is not None:
        hidden = missing.line.recipe.is_hidden
        why = "recordings are private, so its audio is withheld" if hidden else "audio is not all in the bundle"
        return Listening(None, (Unchecked(ON_RECORD.part, f"They rest on the record: the round's {why}."),))
    files = dict(_files(pairs, entry_ids_of(bundle)))
    shown = _Shown(progress, _number_of_answers(pairs, sampled=sampled))

    def read(path: Path) -> Audio:
        if "enhanced" in path.parts[-3:]:
            shown.add()
        return signal_of(bundle, _digest(files, path))

    pool_of_files = StoredFiles(bundle.store.path, files, pool, kept, shown.add)
    if sampled:
        return Listening(Heard(read, pool_of_files, (NEAR_COPIES,)), (_SAMPLED,))
    return Listening(Heard(read, pool_of_files), ())


class _Shown:
    """Counts what was listened to, and shows it. Several threads may add to it."""

    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self._done = min(self._done + 1, self._total)
            self._progress(self._done, self._total)


def _number_of_answers(pairs: Sequence[ScoredPair], *, sampled: bool) -> int:
    """The number of answers to compare with others, and to examine for signs of tuning."""
    answered = [pair for pair in pairs if pair.line.entry != UNPROCESSED and pair.line.scores is not None]
    by_entry = Counter((pair.line.competition, pair.line.entry) for pair in answered)
    compared = sum(min(number, PROBE_CLIPS) for number in by_entry.values())
    return compared if sampled else compared + len(answered)


@dataclass(frozen=True)
class StoredFiles:
    """A pool whose jobs get signals of the bundle at `path` for the names of files. `files` has their digests.

    `kept` has the results of a replay that was stopped, and gets the new ones. `listened` is called for each.
    """

    path: Path
    files: Mapping[tuple[str, ...], str]
    pool: Pool
    kept: KeptWork | None = None
    listened: Callable[[], None] = lambda: None

    def submit(self, function: Callable[..., Any], /, *args: Any, deadline_s: float | None = None) -> Future[Any]:
        if function is not evidence_of_files:
            raise BundleRefused("The record lacks a step that only a running round computes")
        clean, degraded, enhanced = (_digest(self.files, each) for each in args)
        signals = (clean, degraded, enhanced)
        known = None if self.kept is None else self.kept.signs.get(signals)
        if known is not None:
            found: Future[ClipEvidence] = Future()
            found.set_result(known)
            self.listened()
            return found
        job = self.pool.submit(evidence_of_stored, self.path, *signals, deadline_s=deadline_s)
        job.add_done_callback(lambda done: self._ended(signals, done))
        return job

    def _ended(self, signals: tuple[str, str, str], job: Future[ClipEvidence]) -> None:
        if job.cancelled() or job.exception() is not None:
            return
        self.listened()
        if self.kept is not None:
            # A disk that is full costs the continuation of a replay, and not the replay.
            with suppress(UsageError):
                self.kept.add_signs(signals, job.result())

    def stop(self) -> None:
        """Do nothing: whoever made the pool stops it."""

    def close(self) -> None:
        """Do nothing: whoever made the pool closes it."""


def evidence_of_stored(path: Path, clean: str, degraded: str, enhanced: str) -> ClipEvidence:
    """Signs of tampering in an answer in the bundle at `path`, by the SHA-256 of the signals. A worker runs this.

    Raises:
        BundleRefused: a signal is missing or damaged.
    """
    from soundsright.metrics import clip_evidence

    clean_audio, noisy, answer = stored_signals(path, (clean, degraded, enhanced))
    return clip_evidence(clean_audio, answer, noisy)


def _is_whole(bundle: RoundBundle, pair: ScoredPair) -> bool:
    signals = (pair.clean, pair.degraded, pair.answer)
    return all(each is None or bundle.has_audio(each) for each in signals)


def _files(
    pairs: Sequence[ScoredPair], entry_ids: Mapping[tuple[str, str], str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """The last three parts of the name of each file, and the digest of its signal."""
    for pair in pairs:
        competition, hotkey, clip = pair.key
        yield (competition, "clean", f"{clip}.wav"), pair.clean
        yield (competition, "degraded", f"{clip}.wav"), pair.degraded
        entry_id = entry_ids.get((competition, hotkey))
        if entry_id is not None and pair.answer is not None:
            yield ("enhanced", entry_id, f"{clip}.wav"), pair.answer


def _digest(files: Mapping[tuple[str, ...], str], path: Path) -> str:
    digest = files.get(path.parts[-3:])
    if digest is None:
        raise BundleRefused(f"The round needs the audio {path}, which its record does not name")
    return digest
