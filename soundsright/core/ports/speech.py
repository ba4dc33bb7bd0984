"""Clean speech."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
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


class RoundSpeech(Protocol):
    """New speech for the sets of a round. It can be sent to worker processes, compared and hashed."""

    @property
    def name(self) -> str: ...

    @property
    def facts(self) -> Mapping[str, str]:
        """The engine and everything else that decides the samples. Validators with other facts draw other sets."""
        ...

    @property
    def repeats_itself(self) -> bool:
        """Whether it speaks a text the same way each time. Otherwise every validator draws another set."""
        ...

    def highest_price_usd(self, count: int) -> float:
        """The price of `count` utterances if all are as long as they can be; 0 for a program of this machine."""
        ...

    def fills(self, sample_rate_hz: int) -> bool:
        """Whether the speech fills the band of a set at that rate. Otherwise the set has recorded speech."""
        ...

    def of_set(self, seed: int, count: int, cache: Path) -> SpeechSource:
        """The utterances of the set of a seed, one for each clip. They are kept in the folder `cache`."""
        ...

    def __hash__(self) -> int: ...
