"""Enhanced audio that is read when it is needed: that of all entries together is too large for the memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

from soundsright.services.rounds.clipset import read_wav

if TYPE_CHECKING:
    from soundsright.core.audio import Audio, Samples


@dataclass(frozen=True)
class EnhancedClips(Sequence["Samples | None"]):
    """The enhanced audio of some clips in a folder, read when it is accessed; None for a clip without scores.

    `scored` has the clips with scores, and `read` reads the file of one.
    """

    clip_ids: Sequence[str]
    folder: Path
    scored: Collection[str]
    read: Callable[[Path], Audio] = read_wav

    def __len__(self) -> int:
        return len(self.clip_ids)

    @overload
    def __getitem__(self, index: int) -> Samples | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[Samples | None]: ...
    def __getitem__(self, index: int | slice) -> Samples | list[Samples | None] | None:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        clip_id = self.clip_ids[index]
        return self.read(self.folder / f"{clip_id}.wav").samples if clip_id in self.scored else None
