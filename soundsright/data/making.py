"""Makes a set on disk: signals are float32 `(n,)`, full scale ±1; times in seconds.

A set has the folders `clean`, `noisy` and `reverberant` with equal names and lengths, `manifest.jsonl` with a line
for each item, and `set.json` with everything that is needed to make the set again. Workers make a few items at a
time, and a journal records each item on disk. So memory does not grow with the set, and a killed run can be
resumed.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any
from pathlib import Path
from typing import Any

from soundsright.core.audio import Clip, digest_of_digests
from soundsright.core.errors import UsageError
from soundsright.data.counts import SharingCounter, sharing_facts
from soundsright.data.encoding import (
    EncodedItem,
    SetFormat,
    encoded,
    library_versions,
    parquet_bytes,
    sha256_of,
    webdataset_bytes,
)
from soundsright.data.interruption import children_ignore_interrupts, one_interruption
from soundsright.data.jobs import SetJob, SetReport
from soundsright.data.journal import Journal, written_atomically
from soundsright.data.manifest import item_line
from soundsright.data.origins import GUESSED_GROUPS
from soundsright.data.render import Rendered, clip_id, render

MAX_WORKERS = 256

_ITEMS_A_UNIT = 16
_UNITS_IN_FLIGHT = 3
_GRACE_S = 5.0
"""A worker has this many seconds to finish its current item after a request to stop."""


@dataclass(frozen=True)
class _Unit:
    """The items that a worker makes at once: a whole shard, or a few files."""

    number: int
    indices: tuple[int, ...]


@dataclass(frozen=True)
class _MadeUnit:
    """The lines of a unit's items by index, and the recordings that could not be used."""

    lines: dict[int, dict[str, Any]]
    skipped: dict[str, str]


def generate_set(
    job: SetJob,
    *,
    workers: int = 1,
    resume: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SetReport:
    """Make the set, or its missing and damaged items.

    The same job gives the same bytes for any number of workers, in one run or in several. `progress` is called with
    the number of finished items and of all items.

    Raises:
        UsageError: the folder has another set, cannot be written, or its disk is full; or no recording of a source
            can be used.
    """
    if not 1 <= workers <= MAX_WORKERS:
        raise UsageError(f"{workers} workers is out of range", f"Choose 1 to {MAX_WORKERS} workers.")
    with _disk_errors_as_usage(job.out):
        total = len(set(job.only)) or job.count
        journal = Journal.open(job.out, job.facts, resume=resume, on_item=lambda items: progress(items, total))
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
    indices = sorted(set(job.only)) or range(job.count)
    total = len(indices)
    if job.format.in_shards:
        # A shard is one file, so make it as a whole.
        units = [u for u in _units(job, indices) if not all(index in journal for index in u.indices)]
    else:
        units = list(_units(job, [index for index in indices if index not in journal]))
    made_now = 0
    progress(total - sum(len(u.indices) for u in units), total)
    with one_interruption(), _Workers(job, workers) as pool:
        for made in pool.run(units):
            journal.add(made.lines, made.skipped)
            made_now += len(made.lines)
            progress(len(journal), total)
    skipped = {**job.provenance.get("skipped", {}), **journal.skipped}
    digests, shorter, counter = {}, 0, SharingCounter()
    metadata = None if job.format.in_shards else job.out / "metadata.jsonl"
    for line in journal.write_manifest(job.out / "manifest.jsonl", metadata):
        digests[line["id"]] = line["digest"]
        counter.add(line)
        # Round as the renderer rounds a cut.
        shorter += line["samples"] < round(job.recipe.duration_s[0] * job.sample_rate_hz)
    digest = digest_of_digests(digests)
    summary = {
        **job.facts,
        "versions": library_versions(),
        "items": len(digests),
        "digest": digest,
        "sharing": sharing_facts(counter.sharing),
        GUESSED_GROUPS: job.provenance.get(GUESSED_GROUPS, {}),
        "skipped_count": len(skipped),
        "skipped": dict(sorted(skipped.items())),
    }
    with written_atomically(job.out / "set.json") as stream:
        stream.write(json.dumps(summary, indent=2, ensure_ascii=False).encode() + b"\n")
    journal.finish()
    return SetReport(job.out, digest, len(digests), made_now, skipped, shorter, counter.sharing)


def _units(job: SetJob, indices: Sequence[int]) -> Iterator[_Unit]:
    if not job.format.in_shards:
        for start in range(0, len(indices), _ITEMS_A_UNIT):
            yield _Unit(start // _ITEMS_A_UNIT, tuple(indices[start : start + _ITEMS_A_UNIT]))
        return
    shard: list[int] = []
    for index in indices:
        if shard and job.shard_of(index) != job.shard_of(shard[0]):
            yield _Unit(job.shard_of(shard[0]), tuple(shard))
            shard = []
        shard.append(index)
    yield _Unit(job.shard_of(shard[0]), tuple(shard))


def _make_unit(job: SetJob, unit: _Unit) -> _MadeUnit:
    """Render, encode and write the items of a unit."""
    skipped: dict[str, str] = {}
    if not job.format.in_shards:
        lines = {}
        for index in unit.indices:
            item = _item(job, index, skipped)
            for role, data in item.files.items():
                _write(job.out / item.line["files"][role], data)
            lines[index] = item.line
        return _MadeUnit(lines, skipped)
    items = [_item(job, index, skipped) for index in unit.indices]
    if job.format is SetFormat.WEBDATASET:
        name, data = f"set-{unit.number:05d}.tar", webdataset_bytes(items, job.format.suffix)
    else:
        name = f"data/set-{unit.number:05d}.parquet"
        data = parquet_bytes(items, job.format.suffix, job.sample_rate_hz)
    _write(job.out / name, data)
    shard = {"shard": name, "shard_sha256": sha256_of(data)}
    return _MadeUnit({i: {**item.line, **shard} for i, item in zip(unit.indices, items, strict=True)}, skipped)


def _item(job: SetJob, index: int, skipped: dict[str, str]) -> EncodedItem:
    if _stop_requested.is_set():
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
    except FileNotFoundError:  # Only the first file of a folder comes here.
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class _Workers:
    """Makes units in this process or in workers, a few at a time, and yields them as they finish."""

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

    def run(self, units: list[_Unit]) -> Iterator[_MadeUnit]:
        if self._pool is None:
            for unit in units:
                yield _make_unit(self.job, unit)
            return
        waiting = iter(units)
        running: set[Future[_MadeUnit]] = set()
        try:
            while True:
                for unit in waiting:
                    with children_ignore_interrupts():
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
                "A worker process was killed; perhaps memory ran out",
                "Run again with --resume and fewer --workers.",
            ) from error


# The state of a worker process. The pool sets the job once, because it is too large to send with every unit.
_job_of_this_worker: list[SetJob] = []
_stop_requested = threading.Event()


def _prepare_worker(job: SetJob, stop: Connection) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threading.Thread(target=_end_on_request, args=(stop,), daemon=True).start()
    _job_of_this_worker[:] = [job]


def _end_on_request(stop: Connection) -> None:
    # The parent closes the other end, also by dying. Without this thread, the workers of a killed parent would wait
    # for work forever. A living parent waits for the current item, but not for one that hangs.
    wait_for_any([stop])
    _stop_requested.set()
    parent = parent_process()
    if parent is not None:
        parent.join(_GRACE_S)
    os._exit(1)


def _make_unit_in_worker(unit: _Unit) -> _MadeUnit:
    return _make_unit(_job_of_this_worker[0], unit)


@contextmanager
def _disk_errors_as_usage(out: Path) -> Iterator[None]:
    """Turn errors of the disk into a `UsageError`. The finished items are kept."""
    try:
        yield
    except OSError as error:
        path = error.filename or out
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UsageError(
                f"The disk is full at {path}", "Free some space and run again with --resume."
            ) from error
        raise UsageError(
            f"{path} cannot be written ({error.strerror})", "Choose another --out, or run again with --resume."
        ) from error
