"""Saves a federation's table for pages, with the audio of its latest tasks beside it.

Audio that cannot be read is left out: the pages then have no sound for it. Sizes are in bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from soundsright.core.errors import SoundsRightError
from soundsright.core.ports import Bucket
from soundsright.services.federation.task_files import generated_stem, original_stem
from soundsright.services.records import AUDIO_FOLDER, FederationTable, TableTask, write_federation_table

MAX_CLIPS = 1_000
MAX_AUDIO_BYTES = 32 << 20
"""The most bytes of one signal."""
_SUFFIX = ".flac"

_log = logging.getLogger(__name__)


def save_table(folder: Path, table: FederationTable, buckets: Mapping[str, Bucket], *, audio_tasks: int) -> None:
    """Write the table, and the audio of its `audio_tasks` latest tasks. `buckets` are by validator.

    Raises:
        OSError: the folder cannot be written.
    """
    first = len(table.tasks) - audio_tasks
    tasks = tuple(
        _with_audio(folder, task, buckets.get(task.validator)) if number >= first else task
        for number, task in enumerate(table.tasks)
    )
    write_federation_table(folder, table.model_copy(update={"tasks": tasks}))


def _with_audio(folder: Path, task: TableTask, bucket: Bucket | None) -> TableTask:
    """The task with the names of its clips, after their audio was written."""
    if bucket is None:
        return task
    prefix = original_stem(task.task, "")
    try:
        found = bucket.list(prefix, MAX_CLIPS)
    except SoundsRightError as error:
        _log.warning("task %d has no audio here: %s", task.task, error, extra={"action": "audio_left_out"})
        return task
    clips = sorted(
        item.key.removeprefix(prefix).removesuffix(_SUFFIX) for item in found if item.key.endswith(_SUFFIX)
    )
    shown = tuple(clip for clip in clips if clip.isdecimal())
    for clip in shown:
        stems = [original_stem(task.task, clip)]
        stems += [generated_stem(task.task, hotkey, clip) for hotkey in {row.hotkey for row in task.rows}]
        for stem in stems:
            _copy(bucket, f"{stem}{_SUFFIX}", folder / AUDIO_FOLDER / f"{stem}{_SUFFIX}")
    return task.model_copy(update={"clips": shown})


def _copy(bucket: Bucket, key: str, path: Path) -> None:
    """Copy an object, unless it cannot be read: a miner without an answer has none."""
    try:
        raw = bucket.get(key, MAX_AUDIO_BYTES)
    except SoundsRightError as error:
        _log.info("%s is left out: %s", key, error, extra={"action": "audio_left_out"})
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
