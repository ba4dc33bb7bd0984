"""Clean speech."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    # A miner imports the ports and has no NumPy.
    from soundsright.core.audio import Audio


class SpeechSource(Protocol):
    """Clean utterances, addressed by number. The same number gives the same samples on any machine."""

    def __len__(self) -> int: ...
    def utterance_id(self, index: int) -> str: ...
    def speaker(self, index: int) -> str: ...
    def text(self, index: int) -> str | None: ...
    def read(self, index: int, sample_rate_hz: int) -> Audio: ...
