"""A fake of speech that is spoken for a round."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from soundsright.core.audio import Audio


class Spoken:
    """The `RoundSpeech` of an engine at 16 kHz that notes each text that it speaks."""

    name = "spoken"

    def __init__(self, spoken: list[str], model: str = "1.0") -> None:
        self.spoken = spoken
        self.model = model

    @property
    def facts(self) -> Mapping[str, str]:
        return {"engine": "spoken", "model": self.model}

    @property
    def repeats_itself(self) -> bool:
        return True

    def highest_price_usd(self, count: int) -> float:
        return 0.0

    def fills(self, sample_rate_hz: int) -> bool:
        return sample_rate_hz <= 16_000

    def of_set(self, seed: int, count: int, cache: Path) -> Utterances:
        return Utterances(self.spoken, seed, count)


class Utterances:
    def __init__(self, spoken: list[str], seed: int, count: int) -> None:
        self.spoken, self.seed, self.count = spoken, seed, count

    def __len__(self) -> int:
        return self.count

    def utterance_id(self, index: int) -> str:
        return f"{self.seed}-{index}"

    def speaker(self, index: int) -> str:
        return "spoken"

    def text(self, index: int) -> str | None:
        return None

    def read(self, index: int, sample_rate_hz: int) -> Audio:
        self.spoken.append(self.utterance_id(index))
        samples = 0.1 * np.random.default_rng(index).standard_normal(4 * sample_rate_hz)
        return Audio(samples.astype(np.float32), sample_rate_hz)
