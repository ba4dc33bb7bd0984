"""The recordings and the speech that a round draws its clips from, by name. `services.rounds.opened` opens them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from soundsright.core.ports import RoundSpeech

NOISE_OF_ROUNDS = MIXED_NOISE, RECORDED_NOISE = ("mixed", "recordings")
"""The noise of a round's sets: the recordings of the corpus with all kinds of noise, or the recordings alone."""


@dataclass(frozen=True)
class Material:
    """The material of one round. It can be pickled, so that every worker opens the same.

    `corpus` is the folder of the recordings; None means the shipped ones. A private corpus also has a `key_file`.
    `round_number` then decides which of its recordings are used. `speech` speaks new sentences for this round; None
    means recorded speech. Recordings of noise and of rooms are always the corpus's. `noise` is one of
    `NOISE_OF_ROUNDS`.
    """

    corpus: Path | None = None
    key_file: Path | None = None
    round_number: int | None = None
    speech: RoundSpeech | None = None
    noise: str = MIXED_NOISE

    @property
    def is_private(self) -> bool:
        """Whether the recordings are encrypted, and stay secret until they are retired."""
        return self.key_file is not None

    def speech_for(self, sample_rate_hz: int) -> RoundSpeech | None:
        """What speaks the sets at that rate; None if they have recorded speech."""
        return self.speech if self.speech is not None and self.speech.fills(sample_rate_hz) else None


PUBLIC_MATERIAL = Material()
"""The shipped recordings, which everybody has."""
