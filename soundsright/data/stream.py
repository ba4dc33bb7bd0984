"""Clips made while a model trains: signals float32 `(batch, n)`, full scale ±1; times in seconds, rates in Hz.

Sample `k` of a stream is item `k` of the set that `generate` writes for the same seed and sources, before rounding
to 16 bits. Numbers continue from epoch to epoch, so no sample comes twice. A sample and its batch do not depend on
the loader worker or the rank that makes them.

    stream = ClipStream(sources, task=SetTask.DENOISING, sample_rate_hz=16_000, seed=1, epoch_clips=20_000)
    for batch in stream: ...                                    # NumPy, this process
    dataset = torch_dataset(stream)                             # torch, any number of workers
    for batch in DataLoader(dataset, batch_size=None, num_workers=8, persistent_workers=True): ...
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import ClipRecipe, Samples
from soundsright.core.errors import UsageError
from soundsright.data.recipe import PUBLISHED_RECIPE, AnySetTask, SetRecipe
from soundsright.data.render import Rendered, render
from soundsright.data.sources import Sources

# Separates the random numbers of a crop from those of its clip.
_CROP_KEY = 0xC409


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips cut to one length.

    `clean` and `degraded` are float32 `(batch, n)`. A clip shorter than the crop is padded with zeros; `lengths`
    `(batch,)` has the lengths without padding. `indices` `(batch,)` are the numbers of the samples.
    """

    clean: NDArray[np.float32]
    degraded: NDArray[np.float32]
    lengths: NDArray[np.int64]
    indices: NDArray[np.int64]
    recipes: tuple[ClipRecipe, ...]

    def __len__(self) -> int:
        return int(self.indices.shape[0])


@dataclass(frozen=True, eq=False)
class ClipStream:
    """An endless series of clips, cut into epochs of `epoch_clips` and batches of crops of `crop_s`.

    A crop begins at a random point of its clip. The rest of the clip is discarded, so the fastest recipe has
    a `duration_s` of `(crop_s, crop_s)`. With `ranks` processes, rank `rank` makes its own part of each batch;
    together they make the batch of one process with a `ranks` times larger `batch_size`. An epoch ends with its
    last full batch. `skipped` gathers unusable files, by path.

    Raises:
        UsageError: a number is out of range.
    """

    sources: Sources
    task: AnySetTask
    sample_rate_hz: int
    seed: int
    recipe: SetRecipe = PUBLISHED_RECIPE
    crop_s: float = 3.0
    batch_size: int = 16
    epoch_clips: int = 10_000
    rank: int = 0
    ranks: int = 1
    skipped: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"Seed {self.seed} is negative", "Choose 0 or a larger number.")
        if not 0.1 <= self.crop_s <= self.recipe.duration_s[1]:
            raise UsageError(
                f"A crop of {self.crop_s:g} s does not fit clips of {self.recipe.duration_s[1]:g} s",
                "Choose at least 0.1 s and at most the recipe's longest duration.",
            )
        if not 0 <= self.rank < self.ranks:
            raise UsageError(f"There is no rank {self.rank} of {self.ranks}", "Count ranks from 0.")
        if self.batch_size < 1 or len(self) < 1:
            raise UsageError(
                f"{self.epoch_clips} clips an epoch do not fill a batch of {self.batch_size} on {self.ranks} ranks",
                "Choose a smaller batch or a longer epoch.",
            )

    def __len__(self) -> int:
        """The number of batches in an epoch, the same for every rank."""
        return self.epoch_clips // (self.batch_size * self.ranks)

    @property
    def crop_samples(self) -> int:
        return round(self.crop_s * self.sample_rate_hz)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of epoch 0."""
        return self.batches()

    def batches(self, epoch: int = 0, *, start: int = 0, step: int = 1) -> Iterator[Batch]:
        """Batches `start`, `start + step`, … of an epoch: its remainder, or the part of one of several workers.

        Raises:
            UsageError: the task needs a source that is missing, or too many files cannot be used.
        """
        for number in range(start, len(self), step):
            yield self.batch(epoch, number)

    def batch(self, epoch: int, number: int) -> Batch:
        """Batch `number` of an epoch."""
        first = epoch * self.epoch_clips + (number * self.ranks + self.rank) * self.batch_size
        indices = np.arange(first, first + self.batch_size)
        clean = np.zeros((self.batch_size, self.crop_samples), np.float32)
        degraded = np.zeros_like(clean)
        lengths = np.zeros(self.batch_size, np.int64)
        recipes = []
        for row, index in enumerate(indices.tolist()):
            rendered = self.clip(index)
            span = self._crop(index, rendered.signals["clean"])
            lengths[row] = span.stop - span.start
            clean[row, : lengths[row]] = rendered.signals["clean"][span]
            degraded[row, : lengths[row]] = rendered.signals[rendered.degraded][span]
            recipes.append(rendered.recipe)
        return Batch(clean, degraded, lengths, indices, tuple(recipes))

    def clip(self, index: int) -> Rendered:
        """Sample `index` before it is cropped.

        Raises:
            UsageError: as `batches`.
        """
        return render(
            self.task,
            self.sample_rate_hz,
            self.seed,
            index,
            sources=self.sources,
            recipe=self.recipe,
            skipped=self.skipped,
        )

    def _crop(self, index: int, samples: Samples) -> slice:
        spare = samples.shape[0] - self.crop_samples
        if spare <= 0:
            return slice(0, samples.shape[0])
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, index, _CROP_KEY)))
        start = int(rng.integers(spare + 1))
        return slice(start, start + self.crop_samples)


def torch_dataset(stream: ClipStream) -> Any:
    """The stream as a `torch.utils.data.IterableDataset` of batches, for `DataLoader(dataset, batch_size=None)`.

    A batch is a dict of tensors: `clean` and `degraded` float32 `(batch, n)`, `lengths` and `index` int64
    `(batch,)`. Worker `w` of `n` makes batches `w`, `w + n`, …, and the loader reads the workers in turn, so the
    order is the same for any number of workers. `dataset.begin(epoch, batch)` sets the start of the next pass over
    the loader, also with persistent workers.

    Raises:
        UsageError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise UsageError(
            "A torch dataset needs torch, which is not installed", "Run `pip install torch`."
        ) from error
    return _dataset(stream, torch.zeros(2, dtype=torch.int64).share_memory_())


def _dataset(stream: ClipStream, position: Any) -> Any:
    # The class is defined here so that this module works without torch. `__reduce__` lets workers rebuild it.
    from torch import from_numpy
    from torch.utils.data import IterableDataset, get_worker_info

    class StreamDataset(IterableDataset):  # type: ignore[misc]
        """Batches of a `ClipStream`; `position` is shared with the workers."""

        def __len__(self) -> int:
            return len(stream)

        def __reduce__(self) -> tuple[Any, ...]:
            return _dataset, (stream, position)

        def begin(self, epoch: int, batch: int = 0) -> None:
            """Start the next pass with this batch of this epoch."""
            position[0], position[1] = epoch, batch

        def __iter__(self) -> Iterator[dict[str, Any]]:
            epoch, first = position.tolist()
            worker = get_worker_info()
            mine, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
            for batch in stream.batches(epoch, start=first + mine, step=workers):
                yield {
                    "clean": from_numpy(batch.clean),
                    "degraded": from_numpy(batch.degraded),
                    "lengths": from_numpy(batch.lengths),
                    "index": from_numpy(batch.indices),
                }

    return StreamDataset()
