"""Makes a set on disk: signals are float32 `(n,)`, full scale ±1; times in seconds.

`clean/`, `noisy/` and `reverberant/` with equal names and lengths, `manifest.jsonl` with a line for each item, and
`set.json` with all that is needed to make the set again. Items are made by workers, a few at a time, and noted in a
journal once they are on disk: memory does not grow with the set, and a run that was killed goes on where it was.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any
from pathlib import Path
from typing import Any

from soundsright.core.audio import Clip, digest_of_digests
from soundsright.core.errors import UsageError
from soundsright.data.encoding import (
    EncodedItem,
    SetFormat,
    Subtype,
    encoded,
    library_versions,
    parquet_bytes,
    sha256_of,
    webdataset_bytes,
)
from soundsright.data.interruption import deaf_children, one_interruption
from soundsright.data.journal import Journal, written_atomically
from soundsright.data.manifest import item_line
from soundsright.data.recipe import PUBLISHED_RECIPE, SetRecipe, SetTask
from soundsright.data.render import Rendered, clip_id, render
from soundsright.data.sources import Sources

FORMAT_VERSION = 1
MAX_ITEMS = 1_000_000
MAX_WORKERS = 256

_ITEMS_A_UNIT = 16
_ITEMS_A_SHARD = 1_000
_UNITS_IN_FLIGHT = 3
_GRACE_S = 5.0
"""How long a worker has for the item in hand once it is told to stop."""


@dataclass(frozen=True)
class SetJob:
    """What to make, from what, and where. `provenance` describes the sources for `set.json`; `folders` renames the
    folders of `clean`, `noisy` and `reverberant`.

    Raises:
        UsageError: if a number is out of bounds or `only` names an item outside the set.
    """

    out: Path
    task: SetTask
    sample_rate_hz: int
    count: int
    seed: int
    sources: Sources
    recipe: SetRecipe = PUBLISHED_RECIPE
    format: SetFormat = SetFormat.WAV
    subtype: Subtype = Subtype.PCM16
    shards: int | None = None
    only: tuple[int, ...] = ()
    folders: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_ITEMS:
            raise UsageError(f"{self.count} items are no set", f"Ask for 1 to {MAX_ITEMS} with --n.")
        if self.seed < 0:
            raise UsageError(f"Seed {self.seed} is negative", "Choose a number from 0.")
        if self.shards is not None and not 1 <= self.shards <= self.count:
            raise UsageError(f"{self.shards} shards of {self.count} items", f"Choose 1 to {self.count} shards.")
        outside = [i for i in self.only if not 0 <= i < self.count]
        if outside:
            raise UsageError(f"Item {outside[0]} is not in a set of {self.count}", f"Choose 0 to {self.count - 1}.")
        if self.subtype is Subtype.FLOAT and self.format is not SetFormat.WAV:
            raise UsageError(f"{self.format} cannot hold float samples here", "Use --format wav for float.")

    @property
    def shard_count(self) -> int:
        if self.shards is not None:
            return self.shards
        return -(-self.count // _ITEMS_A_SHARD) if self.format.in_shards else 1

    def shard_of(self, index: int) -> int:
        """Contiguous shards whose sizes differ by one at most."""
        return index * self.shard_count // self.count

    @property
    def facts(self) -> dict[str, Any]:
        """What decides every byte of the set, as JSON-able values."""
        return {
            "format_version": FORMAT_VERSION,
            "task": str(self.task),
            "sample_rate_hz": self.sample_rate_hz,
            "count": self.count,
            "seed": self.seed,
            "split": self.sources.split,
            "recipe": asdict(self.recipe),
            "format": str(self.format),
            "subtype": str(self.subtype),
            "shards": self.shard_count,
            "only": list(self.only),
            "folders": dict(self.folders),
            "sources": {k: v for k, v in self.provenance.items() if k != "skipped"},
        }


@dataclass(frozen=True)
class SetReport:
    """What was made: the digest of the set, the number of items, and the recordings that could not be used.

    `shorter` items are shorter than the recipe's shortest duration, since their recordings are.
    """

    out: Path
    digest: str
    items: int
    made_now: int
    skipped: dict[str, str]
    shorter: int = 0


@dataclass(frozen=True)
class _Unit:
    """The items of one task of a worker: a whole shard, or a handful of files."""

    number: int
    indices: tuple[int, ...]


@dataclass(frozen=True)
class _Made:
    lines: dict[int, dict[str, Any]]
    skipped: dict[str, str]


def generate_set(
    job: SetJob,
    *,
    workers: int = 1,
    resume: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SetReport:
    """Make the set, or what is missing of it or damaged. `progress` is told items done and items in all.

    The same job gives the same bytes for any number of workers, in one run or in several.

    Raises:
        UsageError: the directory holds another set, cannot be written, or its disk is full; a source has nothing
            that can be used.
    """
    if not 1 <= workers <= MAX_WORKERS:
        raise UsageError(f"{workers} workers", f"Choose 1 to {MAX_WORKERS} workers.")
    with _told_plainly(job.out):
        total = len(set(job.only)) or job.count
        journal = Journal.open(job.out, job.facts, resume=resume, found=lambda items: progress(items, total))
        try:
            return _generate(job, journal, workers, progress)
        except UsageError:
            journal.discard_if_empty()
            raise
        finally:
            journal.close()


def clips_of(job: SetJob) -> Iterator[Clip]:
    """The job's items as clips in memory, equal to those that `generate_set` writes as 16-bit files.

    Raises:
        UsageError: too many recordings in a row cannot be used.
    """
    for index in sorted(set(job.only)) or range(job.count):
        yield _rendered(job, index, {}).as_clip()


def _generate(job: SetJob, journal: Journal, workers: int, progress: Callable[[int, int], None]) -> SetReport:
    wanted = sorted(set(job.only)) or range(job.count)
    total = len(wanted)
    if job.format.in_shards:
        # A shard is one file: made as a whole or not at all.
        units = [u for u in _units(job, wanted) if not all(index in journal for index in u.indices)]
    else:
        units = list(_units(job, [index for index in wanted if index not in journal]))
    made_now = 0
    progress(total - sum(len(u.indices) for u in units), total)
    with one_interruption(), _Workers(job, workers) as pool:
        for made in pool.run(units):
            journal.add(made.lines, made.skipped)
            made_now += len(made.lines)
            progress(len(journal), total)
    skipped = {**job.provenance.get("skipped", {}), **journal.skipped}
    digests, shorter = {}, 0
    for line in journal.write_manifest(job.out / "manifest.jsonl"):
        digests[line["id"]] = line["digest"]
        # The shortest that can be drawn, rounded as the cut is.
        shorter += line["samples"] < round(job.recipe.duration_s[0] * job.sample_rate_hz)
    if not job.format.in_shards:
        journal.write_metadata(job.out / "metadata.jsonl")
    digest = digest_of_digests(digests)
    summary = {
        **job.facts,
        "versions": library_versions(),
        "items": len(digests),
        "digest": digest,
        "skipped_count": len(skipped),
        "skipped": dict(sorted(skipped.items())),
    }
    with written_atomically(job.out / "set.json") as stream:
        stream.write(json.dumps(summary, indent=2, ensure_ascii=False).encode() + b"\n")
    journal.finish()
    return SetReport(job.out, digest, len(digests), made_now, skipped, shorter)


def _units(job: SetJob, wanted: Any) -> Iterator[_Unit]:
    if not job.format.in_shards:
        for start in range(0, len(wanted), _ITEMS_A_UNIT):
            yield _Unit(start // _ITEMS_A_UNIT, tuple(wanted[start : start + _ITEMS_A_UNIT]))
        return
    shard: list[int] = []
    for index in wanted:
        if shard and job.shard_of(index) != job.shard_of(shard[0]):
            yield _Unit(job.shard_of(shard[0]), tuple(shard))
            shard = []
        shard.append(index)
    yield _Unit(job.shard_of(shard[0]), tuple(shard))


def _make_unit(job: SetJob, unit: _Unit) -> _Made:
    """Render, encode and write the items of a unit."""
    skipped: dict[str, str] = {}
    if not job.format.in_shards:
        lines = {}
        for index in unit.indices:
            item = _item(job, index, skipped)
            for role, data in item.files.items():
                _write(job.out / item.line["files"][role], data)
            lines[index] = item.line
        return _Made(lines, skipped)
    items = [_item(job, index, skipped) for index in unit.indices]
    if job.format is SetFormat.WEBDATASET:
        name, data = f"set-{unit.number:05d}.tar", webdataset_bytes(items, job.format.suffix)
    else:
        name = f"data/set-{unit.number:05d}.parquet"
        data = parquet_bytes(items, job.format.suffix, job.sample_rate_hz)
    _write(job.out / name, data)
    shard = {"shard": name, "shard_sha256": sha256_of(data)}
    return _Made({i: {**item.line, **shard} for i, item in zip(unit.indices, items, strict=True)}, skipped)


def _item(job: SetJob, index: int, skipped: dict[str, str]) -> EncodedItem:
    if _told_to_stop.is_set():
        raise InterruptedError
    rendered = _rendered(job, index, skipped)
    name = clip_id(index) + job.format.suffix
    folder = f"{job.shard_of(index):05d}/" if job.shard_count > 1 and not job.format.in_shards else ""
    files = {role: encoded(rendered, role, job.format, job.subtype) for role in rendered.signals}
    hashes = {role: sha256_of(data) for role, data in files.items()}
    paths = (
        {role: f"{job.folders.get(role, role)}/{folder}{name}" for role in files}
        if not job.format.in_shards
        else {}
    )
    return EncodedItem(rendered.id, files, item_line(rendered, paths, hashes))


def _rendered(job: SetJob, index: int, skipped: dict[str, str]) -> Rendered:
    return render(
        job.task, job.sample_rate_hz, job.seed, index, sources=job.sources, recipe=job.recipe, skipped=skipped
    )


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class _Workers:
    """Runs units here or in processes, and yields them as they are done, a few in flight."""

    def __init__(self, job: SetJob, count: int) -> None:
        self.job = job
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> _Workers:
        if self.count > 1:
            context = get_context("spawn")
            stop, self._run_on = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(
                self.count, mp_context=context, initializer=_prepare_worker, initargs=(self.job, stop)
            )
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if self._pool is None:
            return
        if error is not None:
            self._run_on.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._run_on.close()

    def run(self, units: list[_Unit]) -> Iterator[_Made]:
        if self._pool is None:
            for unit in units:
                yield _make_unit(self.job, unit)
            return
        waiting = iter(units)
        running: set[Future[_Made]] = set()
        try:
            while True:
                for unit in waiting:
                    with deaf_children():
                        running.add(self._pool.submit(_make_unit_in_worker, unit))
                    if len(running) >= self.count * _UNITS_IN_FLIGHT:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise UsageError(
                "A worker process was killed, perhaps for want of memory",
                "Run again with --resume and fewer --workers.",
            ) from error


# What a worker process is told, the job once by its pool before any unit: a pool has no other way to give its
# processes something that is too large to be sent with every unit.
_job_of_this_worker: list[SetJob] = []
_told_to_stop = threading.Event()


def _prepare_worker(job: SetJob, stop: Connection) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threading.Thread(target=_end_when_told, args=(stop,), daemon=True).start()
    _job_of_this_worker[:] = [job]


def _end_when_told(stop: Connection) -> None:
    # The other end is closed by the parent, or by its death: one that was killed outright closes no queue, and its
    # workers would wait for work for ever. A parent that lives waits for the item in hand, but not for a stuck one.
    wait_for_any([stop])
    _told_to_stop.set()
    parent = parent_process()
    if parent is not None:
        parent.join(_GRACE_S)
    os._exit(1)


def _make_unit_in_worker(unit: _Unit) -> _Made:
    return _make_unit(_job_of_this_worker[0], unit)


@contextmanager
def _told_plainly(out: Path) -> Iterator[None]:
    """Errors of the disk as one line; what was made so far is kept."""
    try:
        yield
    except OSError as error:
        where = error.filename or out
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UsageError(
                f"The disk is full at {where}", "Free some space and run again with --resume."
            ) from error
        raise UsageError(
            f"{where} cannot be written ({error.strerror})", "Choose another --out, or run again with --resume."
        ) from error
