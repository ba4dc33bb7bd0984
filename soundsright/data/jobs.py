"""The job of a set on disk, and the report on a finished one: times in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.data.counts import Sharing
from soundsright.data.encoding import SetFormat, Subtype
from soundsright.data.origins import GUESSED_GROUPS
from soundsright.data.recipe import PUBLISHED_RECIPE, AnySetTask, SetRecipe
from soundsright.data.sources import Sources

FORMAT_VERSION = 1
MAX_ITEMS = 1_000_000

_NOT_SOURCES = ("skipped", GUESSED_GROUPS)
_ITEMS_A_SHARD = 1_000


@dataclass(frozen=True)
class SetJob:
    """One set to make: its items, sources and files.

    `only` limits the job to these items. `folders` renames the folders `clean`, `noisy` and `reverberant`.
    `provenance` describes the sources in `set.json`, with the `skipped` recordings and the `guessed_groups`.

    Raises:
        UsageError: a number is out of range, or `only` names an item outside the set.
    """

    out: Path
    task: AnySetTask
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
            raise UsageError(f"A set cannot have {self.count} items", f"Ask for 1 to {MAX_ITEMS} with --n.")
        if self.seed < 0:
            raise UsageError(f"Seed {self.seed} is negative", "Choose 0 or a larger number.")
        if self.shards is not None and not 1 <= self.shards <= self.count:
            raise UsageError(
                f"{self.count} items cannot fill {self.shards} shards", f"Choose 1 to {self.count} shards."
            )
        outside = [i for i in self.only if not 0 <= i < self.count]
        if outside:
            raise UsageError(f"Item {outside[0]} is not in a set of {self.count}", f"Choose 0 to {self.count - 1}.")
        if self.subtype is Subtype.FLOAT and self.format is not SetFormat.WAV:
            raise UsageError(f"--format {self.format} has no float samples", "Use --format wav for float.")

    @property
    def shard_count(self) -> int:
        """The number of folders or archives that the items are spread over."""
        if self.shards is not None:
            return self.shards
        return -(-self.count // _ITEMS_A_SHARD) if self.format.in_shards else 1

    def shard_of(self, index: int) -> int:
        """The item's shard. Shards are contiguous, and their sizes differ by one at most."""
        return index * self.shard_count // self.count

    @property
    def facts(self) -> dict[str, Any]:
        """The values that decide every byte of the set, ready for JSON."""
        return {
            "format_version": FORMAT_VERSION,
            "task": str(self.task),
            "sample_rate_hz": self.sample_rate_hz,
            "count": self.count,
            "seed": self.seed,
            "split": self.sources.split,
            "recipe": self.recipe.facts(has_fresh=bool(self.sources.fresh)),
            "format": str(self.format),
            "subtype": str(self.subtype),
            "shards": self.shard_count,
            "only": list(self.only),
            "folders": dict(self.folders),
            "sources": {k: v for k, v in self.provenance.items() if k not in _NOT_SOURCES},
        }


@dataclass(frozen=True)
class SetReport:
    """A finished set.

    Attributes:
        out: its folder.
        digest: one SHA-256 over the digests of all items.
        items: the number of items, and `made_now` of them in this run.
        skipped: the reason for each recording that could not be used, by path.
        shorter: the number of items shorter than the recipe's shortest duration, because their recordings are.
        sharing: how many items share their noise, recording of speech or room, by its noun.
    """

    out: Path
    digest: str
    items: int
    made_now: int
    skipped: dict[str, str]
    shorter: int = 0
    sharing: Mapping[str, Sharing] = field(default_factory=dict)
