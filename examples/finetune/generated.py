"""Batches from a set on disk that `soundsright generate` made: signals float32 `(batch, n)`, times in seconds.

Use it to train on a fixed set, or on one from another machine. The batches have the form of `ClipStream`'s. Crops
depend on the seed and the number of the sample, and each pass over the set has another order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from soundsright.core.audio import ClipRecipe
from soundsright.core.errors import UsageError
from soundsright.data.audio_files import read_file
from soundsright.data.recipe import AnySetTask, SetTask
from soundsright.data.stream import Batch


@dataclass(frozen=True, eq=False)
class GeneratedSet:
    """A set on disk as one epoch of `total` batches, which passes over the set as often as needed.

    Raises:
        UsageError: there is no set in the folder, or it is for another task or rate.
    """

    folder: Path
    task: AnySetTask
    sample_rate_hz: int
    seed: int
    crop_s: float
    batch_size: int
    total: int

    def __post_init__(self) -> None:
        facts, where = self._facts, self.folder / "set.json"
        if facts["sample_rate_hz"] != self.sample_rate_hz:
            raise UsageError(
                f"{where}: the set is at {facts['sample_rate_hz']} Hz, the competition at {self.sample_rate_hz} Hz",
                f"Generate one with --sample-rate {self.sample_rate_hz}.",
            )
        if facts["task"] not in (self.task, SetTask.BOTH):
            raise UsageError(f"{where}: the set is for {facts['task']}", f"Generate one with --task {self.task}.")
        if facts.get("format") not in ("wav", "flac"):
            raise UsageError(
                f"{where}: the set is stored as {facts.get('format')}", "Generate one with --format wav."
            )

    @cached_property
    def _facts(self) -> dict[str, Any]:
        return dict(_json(self.folder / "set.json"))

    @cached_property
    def _pairs(self) -> list[tuple[str, str]]:
        """The clean and the degraded file of each item, relative to the folder."""
        role = "noisy" if self.task is SetTask.DENOISING else "reverberant"
        manifest = self.folder / "manifest.jsonl"
        try:
            lines = [json.loads(line)["files"] for line in manifest.read_text(encoding="utf-8").splitlines()]
            return [(files["clean"], files[role]) for files in lines]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{manifest} cannot be read ({error})", "Complete the set with --resume.") from error

    def __len__(self) -> int:
        return self.total

    def batches(self, epoch: int = 0, *, start: int = 0, step: int = 1) -> Iterator[Batch]:
        """Batches `start`, `start + step`, … of the run."""
        for number in range(start, self.total, step):
            yield self._batch(number)

    def _batch(self, number: int) -> Batch:
        length = round(self.crop_s * self.sample_rate_hz)
        clean, degraded = (np.zeros((self.batch_size, length), np.float32) for _ in range(2))
        lengths = np.zeros(self.batch_size, np.int64)
        indices = np.arange(number * self.batch_size, (number + 1) * self.batch_size)
        for row, index in enumerate(indices.tolist()):
            passes, position = divmod(index, len(self._pairs))
            order = np.random.default_rng(np.random.SeedSequence((self.seed, passes))).permutation(len(self._pairs))
            pair = self._pairs[int(order[position])]
            first, second = (read_file(self.folder / name).samples for name in pair)
            spare = max(0, len(first) - length)
            begin = int(np.random.default_rng(np.random.SeedSequence((self.seed, index, 1))).integers(spare + 1))
            lengths[row] = min(len(first), length)
            clean[row, : lengths[row]] = first[begin : begin + length]
            degraded[row, : lengths[row]] = second[begin : begin + length]
        return Batch(clean, degraded, lengths, indices, (ClipRecipe("", "", 0.0),) * self.batch_size)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        value["sample_rate_hz"], value["task"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} does not describe a set ({error})", "Give a folder that `soundsright generate` made."
        ) from error
    return dict(value)
