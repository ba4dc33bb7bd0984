"""Scores the audio of a bundle again, on all processors, and compares every score.

Scores are rounded to six decimals when they are measured, and compared as they are: a replay has the same numbers
or differs. Each worker opens the bundle itself, so no audio is unpacked to the disk.
"""

from __future__ import annotations

import atexit
import io
import json
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from soundsright.core.audio import Audio
from soundsright.core.canonical import canonical_json
from soundsright.core.errors import BundleRefused, ModelFault, UsageError
from soundsright.core.ports import Pool
from soundsright.core.text_files import json_object, text_of_file
from soundsright.metrics import scoring_deadline_s
from soundsright.services.records import RoundBundle, open_bundle
from soundsright.services.replay.plan import ScoredPair, disclosed_clips
from soundsright.services.replay.report import SCORES, Depth, ReplayReport, counted
from soundsright.services.rounds import LONGEST_CLIP_S, UNSCORABLE, Difference, decided_scores, result_of

MAX_CHECKED_BYTES = 512 << 20
WITHHELD = "The audio is withheld, because its recordings are private."
_AT_ONCE = 64
"""Jobs that wait in the pool, so that stopping does not leave a long queue."""
_NOT_ON_BOTH = "It reached a limit of time or memory on one of the two machines only."
_REMEDY = "Name another file."


@dataclass(frozen=True)
class CheckedScore:
    """One result that was scored again. `scores` is None if it could not be: `failure` then has the code."""

    competition: str
    entry: str
    clip: str
    scores: Mapping[str, float] | None
    failure: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """The competition, the entry's hotkey, and the clip."""
        return self.competition, self.entry, self.clip


def scored_again(
    bundle: RoundBundle,
    pairs: Sequence[ScoredPair],
    pool: Pool,
    *,
    earlier: Mapping[tuple[str, str, str], CheckedScore] | None = None,
    keep: Callable[[CheckedScore], None] = lambda _checked: None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ReplayReport:
    """Score the results again, and find the first difference in the order of `pairs`.

    `earlier` are results of a replay that was stopped, which are not scored again. Each new one goes to `keep`.
    A result whose audio is withheld counts as unchecked. So does a clip that the model did not answer, because only
    its model can show that again, and a result that only one of the two machines could score.

    Raises:
        BundleRefused: audio of the bundle is damaged.
        InfrastructureFault: a worker failed for a reason of this machine.
    """
    unchecked: list[tuple[str, str]] = []
    wanted: list[ScoredPair] = []
    disclosed = disclosed_clips(bundle)
    for pair in pairs:
        why = _why_not(bundle, pair, disclosed)
        if why:
            unchecked.append((f"{pair.line.competition}: score", why))
        else:
            wanted.append(pair)
    difference: Difference | None = None
    done = unscorable = 0
    for pair, checked in _results(bundle, wanted, pool, earlier or {}, keep):
        done += 1
        progress(done, len(wanted))
        difference = _difference(pair, checked)
        if difference is None:
            continue
        if UNSCORABLE not in (checked.failure, "" if pair.line.failure is None else pair.line.failure.code):
            break
        # The other machine can be slower, or have less memory, so nobody is accused.
        difference = None
        unscorable += 1
        unchecked.append((f"{pair.line.competition}: score", _NOT_ON_BOTH))
    checked_scores = {SCORES: done - unscorable}
    answered = sum(pair.answer is not None for pair in pairs)
    is_whole = answered == len(wanted) and not unscorable
    return ReplayReport(Depth.SCORE, checked_scores, difference, counted(unchecked), is_whole=is_whole)


def read_checked(path: Path, document_sha256: str) -> dict[tuple[str, str, str], CheckedScore]:
    """The results in a file of an earlier replay of the same document.

    Raises:
        UsageError: the file is of another document or program, or cannot be read.
    """
    lines = text_of_file(path, MAX_CHECKED_BYTES, _REMEDY).split("\n")
    header = json_object(lines[0], f"{path}, line 1", _REMEDY)
    if header != header_of(document_sha256):
        raise UsageError(f"{path} is not of a replay of this bundle by this program", _REMEDY)
    checked: dict[tuple[str, str, str], CheckedScore] = {}
    # The last line is not complete if the machine stopped while it was written.
    for number, line in enumerate(lines[1:-1], 2):
        try:
            each = CheckedScore(**json_object(line, f"{path}, line {number}", _REMEDY))
        except TypeError as error:
            raise UsageError(f"{path}, line {number} is not a result of a replay", _REMEDY) from error
        checked[each.key] = each
    return checked


def header_of(document_sha256: str) -> dict[str, object]:
    """The first line of the file of a replay: a result of other programs is not taken for one of these."""
    from soundsright.services.records import scoring_versions

    return {"schema": "soundsright.replayed/1", "document": document_sha256, "versions": scoring_versions()}


def line_of(checked: CheckedScore) -> str:
    """The line of a result in that file."""
    facts = {"competition": checked.competition, "entry": checked.entry, "clip": checked.clip}
    return canonical_json({**facts, "scores": checked.scores, "failure": checked.failure}) + "\n"


def start_file(file: TextIO, document_sha256: str, kept: Sequence[CheckedScore]) -> None:
    """Write the first line of the file, and the results that are kept."""
    file.write(json.dumps(header_of(document_sha256)) + "\n")
    for checked in kept:
        file.write(line_of(checked))
    file.flush()


def _why_not(bundle: RoundBundle, pair: ScoredPair, disclosed: Collection[tuple[str, str]]) -> str:
    """The reason why a result cannot be scored again; empty if it can be."""
    if pair.answer is None:
        return "The model did not answer, which only running it again can show."
    if all(bundle.has_audio(sha256) for sha256 in (pair.clean, pair.degraded, pair.answer)):
        return ""
    hidden = pair.line.recipe.is_hidden and (pair.line.competition, pair.line.id) not in disclosed
    return WITHHELD if hidden else "The bundle has no audio of it."


def _results(
    bundle: RoundBundle,
    pairs: Sequence[ScoredPair],
    pool: Pool,
    earlier: Mapping[tuple[str, str, str], CheckedScore],
    keep: Callable[[CheckedScore], None],
) -> Iterator[tuple[ScoredPair, CheckedScore]]:
    """Each result with its new scores, in the order of `pairs`."""
    waiting: deque[tuple[ScoredPair, Future[dict[str, float]] | CheckedScore]] = deque()
    metrics = tuple(bundle.results.metrics)

    def first() -> tuple[ScoredPair, CheckedScore]:
        pair, job = waiting.popleft()
        if isinstance(job, CheckedScore):
            return pair, job
        checked = _checked(pair, job)
        keep(checked)
        return pair, checked

    for pair in pairs:
        if pair.key in earlier:
            waiting.append((pair, earlier[pair.key]))
        else:
            signals = (pair.clean, pair.degraded, pair.answer)
            job = pool.submit(
                score_stored, bundle.store.path, *signals, metrics, deadline_s=scoring_deadline_s(LONGEST_CLIP_S)
            )
            waiting.append((pair, job))
        if len(waiting) >= _AT_ONCE:
            yield first()
    while waiting:
        yield first()


def _checked(pair: ScoredPair, job: Future[dict[str, float]]) -> CheckedScore:
    try:
        return CheckedScore(*pair.key, result_of(job))
    except ModelFault as fault:
        return CheckedScore(*pair.key, None, fault.code)


def _difference(pair: ScoredPair, checked: CheckedScore) -> Difference | None:
    line = pair.line
    place = f"{line.entry}, clip {line.id}"
    if line.failure is not None or checked.scores is None:
        recorded = "scores" if line.failure is None else f"the failure {line.failure.code}"
        again = f"the failure {checked.failure}" if checked.scores is None else "scores"
        return None if recorded == again else Difference(line.competition, "scores", place, recorded, again)
    before = line.scores or {}
    for metric in sorted({*before, *checked.scores}):
        values = before.get(metric, "nothing"), checked.scores.get(metric, "nothing")
        if values[0] != values[1]:
            return Difference(line.competition, "scores", f"{place}, {metric}", *values)
    return None


def score_stored(path: Path, clean: str, degraded: str, answer: str, metrics: tuple[str, ...]) -> dict[str, float]:
    """The scores of an answer in the bundle at `path`, by metric. A worker runs this.

    The signals are named by the SHA-256 of their WAV files.

    Raises:
        BundleRefused: a signal is missing or damaged.
    """
    clean_audio, answer_audio, degraded_audio = stored_signals(path, (clean, answer, degraded))
    return decided_scores(clean_audio, answer_audio, degraded_audio, metrics)


def stored_signals(path: Path, digests: Sequence[str]) -> tuple[Audio, ...]:
    """The signals in the bundle at `path`, which this process keeps open.

    Raises:
        BundleRefused: a signal is missing or damaged.
    """
    bundle = _last_opened.at(path)
    return tuple(signal_of(bundle, each) for each in digests)


def signal_of(bundle: RoundBundle, sha256: str) -> Audio:
    """The signal whose WAV file has that digest.

    Raises:
        BundleRefused: it is missing or damaged.
    """
    import soundfile

    try:
        samples, rate = soundfile.read(io.BytesIO(bundle.wav(sha256)), dtype="float32")
    except (soundfile.SoundFileError, ValueError, RuntimeError) as error:
        raise BundleRefused(f"The audio {sha256[:16]} cannot be read") from error
    return Audio(samples, int(rate))


class _LastOpened:
    """The bundle that this process opened last, so that a worker reads the list of its files once."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._bundle: RoundBundle | None = None

    def at(self, path: Path) -> RoundBundle:
        """The bundle at `path`. Another one is closed."""
        status = path.stat()
        key = (path, status.st_mtime_ns, status.st_size, status.st_ino)
        if self._bundle is None or key != self._key:
            self.close()
            self._bundle, self._key = open_bundle(path), key
        return self._bundle

    def close(self) -> None:
        if self._bundle is not None:
            self._bundle.close()
        self._bundle = None


_last_opened = _LastOpened()
atexit.register(_last_opened.close)
