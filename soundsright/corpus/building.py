"""Builds private corpora and adds to them. Times in seconds, rates in Hz.

A batch is written into a folder of its own, which becomes part of the corpus when `corpus.json` lists it. A build
that is interrupted leaves only a folder that the next one removes.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from soundsright.core.errors import AudioFileError, UsageError
from soundsright.core.folder_lock import locked
from soundsright.corpus.encoding import FULL_BAND_HZ, Encoded, Known, encoded_pieces
from soundsright.corpus.keys import CorpusKey
from soundsright.corpus.layout import (
    MANIFEST,
    batch_folder,
    is_private_corpus,
    manifest_bound,
    recording_bound,
    write_file,
    write_statement,
)
from soundsright.corpus.life import DEFAULT_FRESH, DEFAULT_USES, spread
from soundsright.corpus.material import NewRecording
from soundsright.corpus.private import PrivateCorpus
from soundsright.corpus.records import KINDS, MAX_RECORDINGS, Batch, Leaf, Statement, canonical
from soundsright.data import PRIVATE_MARK

Progress = Callable[[int, int], None]
_Stratum = tuple[str, bool]
_SHARE_OF_SMALL = 3
"""A corpus too small for `DEFAULT_FRESH` has three times as many cohorts as are in use."""


@dataclass(frozen=True)
class Plan:
    """How to build a batch.

    Attributes:
        uses: the rounds for which a recording lives.
        fresh: fresh recordings of speech in a round; None chooses a number that suits the amount of speech.
        first_round: the number of the corpus' first round.
        skip_known: leave out recordings that are already in the corpus or published, instead of refusing them.
        is_first: whether it is the first batch of its corpus.
        token: secret hex digits from a number of bytes. Only a simulation replaces it, so that it can be repeated.
    """

    uses: int = DEFAULT_USES
    fresh: int | None = None
    first_round: int = 0
    skip_known: bool = False
    is_first: bool = True
    token: Callable[[int], str] = secrets.token_hex

    @property
    def least(self) -> int:
        """The smallest number of cohorts: the first batch must fill a round, a later one adds at least one."""
        return self.uses if self.is_first else 1


@dataclass(frozen=True)
class BuildReport:
    """What a build wrote.

    `skipped` has the reason for each file that was left out, by its name. `noise_limits` says whether more noise
    would give more rounds.
    """

    corpus: PrivateCorpus
    added: int
    skipped: dict[str, str]
    noise_limits: bool


@dataclass
class _Draft:
    """The recordings of the batch that is being written."""

    leaves: list[tuple[Leaf, str]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Written:
    """A batch on disk, which `corpus.json` does not list yet."""

    batch: Batch
    skipped: dict[str, str]
    noise_limits: bool


@dataclass(frozen=True)
class _Cohorts:
    """The number of cohorts of a batch, and whether more noise would give more."""

    count: int
    noise_limits: bool


def build_corpus(
    folder: Path,
    key_file: Path,
    material: Sequence[NewRecording],
    *,
    plan: Plan | None = None,
    known: Known | None = None,
    progress: Progress = lambda done, total: None,
) -> BuildReport:
    """Build a new private corpus in an empty folder. The key file is made if there is none.

    Raises:
        UsageError: the folder has something else, the key cannot be used, a recording is already public or given
            twice, or there are too few recordings.
    """
    plan = Plan() if plan is None else plan
    check_new_folder(folder)
    key = key_of(key_file)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        written = _write_batch(folder, 0, key, material, plan, known or Known(), progress)
        statement = Statement(plan.first_round, plan.uses, (written.batch,))
        write_statement(folder / PRIVATE_MARK, statement, key.fingerprint)
    corpus = PrivateCorpus.opened(folder, key)
    return BuildReport(corpus, written.batch.recordings, written.skipped, written.noise_limits)


def add_to_corpus(
    corpus: PrivateCorpus,
    material: Sequence[NewRecording],
    *,
    fresh: int | None = None,
    skip_known: bool = False,
    known: Known | None = None,
    progress: Progress = lambda done, total: None,
) -> BuildReport:
    """Add recordings as a new batch. Earlier recordings keep their rounds; the corpus gets a new root.

    Raises:
        UsageError: a recording is already in the corpus or public, or there are too few recordings.
    """
    known = known or Known()
    known = known.with_digests({e.leaf.samples_sha256: f"{corpus.folder} as {e.leaf.id}" for e in corpus.entries})
    with locked(corpus.folder):
        current = PrivateCorpus.opened(corpus.folder, corpus.key)
        number = len(current.statement.batches)
        last = current.statement.batches[-1]
        fresh = max(1, last.speech // last.cohorts) if fresh is None else fresh
        plan = Plan(current.life.uses, fresh, current.first_round, skip_known, is_first=False)
        written = _write_batch(corpus.folder, number, corpus.key, material, plan, known, progress)
        statement = replace(current.statement, batches=(*current.statement.batches, written.batch))
        write_statement(corpus.folder / PRIVATE_MARK, statement, corpus.key.fingerprint)
    grown = PrivateCorpus.opened(corpus.folder, corpus.key)
    return BuildReport(grown, written.batch.recordings, written.skipped, written.noise_limits)


def check_new_folder(folder: Path) -> None:
    """Check that a corpus can be built in the folder: it is new, empty, or left by an interrupted build.

    Raises:
        UsageError: it has something else.
    """
    if is_private_corpus(folder):
        raise UsageError(f"{folder} is a private corpus already", "Add to it with `soundsright corpus add`.")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "Give a new folder.")
    if folder.exists() and any(e.name not in ("batches", f".{PRIVATE_MARK}.part") for e in folder.iterdir()):
        raise UsageError(f"{folder} is not empty", "Give a new folder.")


def key_of(key_file: Path) -> CorpusKey:
    """The key in the file, which is made if there is none.

    Raises:
        UsageError: the file cannot be used or written.
    """
    if key_file.exists():
        return CorpusKey.read(key_file)
    key = CorpusKey.new()
    key.write(key_file)
    return key


def _write_batch(
    folder: Path,
    number: int,
    key: CorpusKey,
    material: Sequence[NewRecording],
    plan: Plan,
    known: Known,
    progress: Progress,
) -> _Written:
    final = batch_folder(folder, number)
    part = final.with_name(f"{final.name}.part")
    if final.exists():
        # Not removed: it can also belong to a newer `corpus.json` that was lost.
        raise UsageError(
            f"{final} has recordings that {PRIVATE_MARK} does not list",
            f"Remove it if a command was interrupted. If you have a newer {PRIVATE_MARK}, restore that.",
        )
    # An interrupted command left it, because this process has the lock.
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        draft = _sealed_material(part, key, material, plan, known, progress)
        cohorts = _cohorts(Counter(_stratum(leaf) for leaf, _ in draft.leaves), plan)
        ordered = _in_order(draft.leaves, cohorts.count)
        batch = Batch.over([leaf for leaf, _ in ordered], cohorts.count)
        lines: list[dict[str, Any]] = [{"leaf": asdict(leaf), "file": file} for leaf, file in ordered]
        write_file(part / MANIFEST, key.seal(canonical(lines), manifest_bound(batch.root)))
        part.replace(final)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        if number == 0:
            _remove_if_empty(folder)
        raise
    return _Written(batch, draft.skipped, cohorts.noise_limits)


def _remove_if_empty(folder: Path) -> None:
    for each in (folder / "batches", folder):
        if each.is_dir() and not any(each.iterdir()):
            each.rmdir()


def _sealed_material(
    part: Path, key: CorpusKey, material: Sequence[NewRecording], plan: Plan, known: Known, progress: Progress
) -> _Draft:
    draft = _Draft()
    own: dict[str, str] = {}
    for done, item in enumerate(material, 1):
        try:
            pieces = encoded_pieces(item, known.may_have)
        except AudioFileError as error:
            draft.skipped[item.name] = error.problem.removeprefix(f"{error.path}: ")
            pieces = []
        for piece in pieces:
            where = own.get(piece.samples_sha256) or known.place_of(piece)
            if where is None:
                own[piece.samples_sha256] = f"the new recordings as {piece.name}"
                draft.leaves.append(_sealed(part, key, item, piece, plan.token))
            elif plan.skip_known:
                draft.skipped[piece.name] = f"is already in {where}"
            else:
                raise UsageError(
                    f"{piece.name} is already in {where}",
                    "Remove it, or leave out such recordings with --skip-known.",
                )
        if len(draft.leaves) > MAX_RECORDINGS:
            raise UsageError(f"A corpus has at most {MAX_RECORDINGS} recordings", "Build several corpora.")
        progress(done, len(material))
    return draft


def _sealed(
    part: Path, key: CorpusKey, item: NewRecording, piece: Encoded, token: Callable[[int], str]
) -> tuple[Leaf, str]:
    salt = token(16)
    leaf = Leaf(
        # The id reveals neither the name nor the content: it may be seen before the recording retires.
        id=f"{item.kind}-{hashlib.sha256(f'id:{salt}'.encode()).hexdigest()[:16]}",
        kind=item.kind,
        sha256=piece.sha256,
        samples_sha256=piece.samples_sha256,
        sample_rate_hz=piece.sample_rate_hz,
        duration_s=piece.duration_s,
        cohort=0,
        salt=salt,
        speaker=item.speaker,
        group=item.group or item.speaker or item.name,
        language=item.language,
        text=item.text if piece.is_whole else None,
        licence=item.licence,
        source=item.source,
        name=piece.name,
        bandwidth_hz=piece.bandwidth_hz,
    )
    file = f"{token(16)}.bin"
    write_file(part / file, key.seal(piece.content, recording_bound(leaf.id, leaf.sha256)))
    return leaf, file


def _in_order(drafted: Iterable[tuple[Leaf, str]], cohorts: int) -> list[tuple[Leaf, str]]:
    """The recordings and their files in the order of their lives, each in its cohort.

    The salts decide the order, so nobody chooses which recording comes when.
    """
    shuffled = sorted(drafted, key=lambda pair: hashlib.sha256(b"order" + pair[0].salt.encode()).digest())
    strata: dict[_Stratum, list[tuple[Leaf, str]]] = {}
    for leaf, file in shuffled:
        strata.setdefault(_stratum(leaf), []).append((leaf, file))
    placed: list[tuple[Leaf, str]] = []
    for pairs in strata.values():
        placed += [
            (replace(leaf, cohort=cohort), file)
            for cohort, (leaf, file) in zip(spread(len(pairs), cohorts), pairs, strict=True)
        ]
    return sorted(placed, key=lambda pair: (pair[0].cohort, KINDS.index(pair[0].kind), pair[0].salt))


def _stratum(leaf: Leaf) -> _Stratum:
    """The recordings among which this one is spread over the cohorts: its kind, and whether it is of full band.

    Competitions of both rates then have some in each round.
    """
    bandwidth_hz = leaf.sample_rate_hz / 2 if leaf.bandwidth_hz is None else leaf.bandwidth_hz
    return leaf.kind, bandwidth_hz >= FULL_BAND_HZ


def _cohorts(counts: Mapping[_Stratum, int], plan: Plan) -> _Cohorts:
    """Into how many cohorts recordings of these numbers are divided.

    Raises:
        UsageError: there are too few of a kind.
    """
    by_kind = Counter[str]()
    for (kind, _), count in counts.items():
        by_kind[kind] += count
    speech = min((count for (kind, _), count in counts.items() if kind == "speech"), default=0)
    # Competitions of full band need noise of full band in every round.
    is_wide = ("speech", True) in counts
    noise = counts.get(("noise", True), 0) if is_wide else by_kind["noise"]
    bands = {"speech": " in one of its bands" if speech < by_kind["speech"] else "", "noise": ""}
    bands["noise"] = f" with content up to {FULL_BAND_HZ:.0f} Hz" if noise < by_kind["noise"] else ""
    for kind, count in (("speech", speech), ("noise", noise)):
        if count < plan.least:
            raise UsageError(
                f"{count} recordings of {kind}{bands[kind]} are too few for {plan.least} round"
                + "s" * (plan.least > 1),
                f"Give at least {plan.least}, one for each round in which a recording is used"
                + (", or add noise with --make-noise." if kind == "noise" else ", or choose fewer --uses."),
            )
    fresh = plan.fresh
    if fresh is None:
        fresh = max(1, min(DEFAULT_FRESH, speech // (_SHARE_OF_SMALL * plan.least)))
    if speech // fresh < plan.least:
        raise UsageError(
            f"{speech} recordings of speech{bands['speech']} do not give {fresh} fresh ones "
            f"for {plan.least} rounds",
            f"Give at least {fresh * plan.least}, or choose a smaller --fresh.",
        )
    return _Cohorts(min(speech // fresh, noise), noise < speech // fresh)
