"""New speech for each round: audio is float32 `(n,)`, full scale ±1; rates in Hz.

The seed of a set decides every text and every voice. Nobody knows the seed while entries are open, so no entry can
contain these utterances. Clip `i` of a set has utterance `i`, so no two workers speak the same text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from soundsright.adapters.speech.synthesis import SynthesisedSpeech, VariedSynthesiser
from soundsright.core.audio import Audio
from soundsright.core.errors import AudioFileError, InfrastructureFault, UsageError
from soundsright.data import LONGEST_PASSAGE_CHARS, passage

_LOWEST_RATE_SHARE = 0.9
"""An engine fills the band of a set if its rate is at least this share of the set's, as for `generate`."""


@dataclass(frozen=True)
class FreshSpeech:
    """The `RoundSpeech` of an engine. It can be sent to worker processes if the engine can."""

    engine: VariedSynthesiser

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def repeats_itself(self) -> bool:
        """Whether the engine always speaks a text the same way, so that validators draw equal sets."""
        return bool(self.engine.sound)

    @property
    def facts(self) -> Mapping[str, str]:
        """The facts that decide the samples. If `sound` is not empty, equal facts mean equal sets."""
        voices = hashlib.sha256("\n".join(self.engine.voices).encode()).hexdigest()
        return {"engine": self.name, "model": self.engine.model, "voices": voices[:16], "sound": self.engine.sound}

    def fills(self, sample_rate_hz: int) -> bool:
        """Whether the speech fills the band of a set at that rate."""
        return self.engine.sample_rate_hz >= _LOWEST_RATE_SHARE * sample_rate_hz

    def of_set(self, seed: int, count: int, cache: Path) -> FreshUtterances:
        """The utterances of one set. They are kept in the folder `cache`."""
        return FreshUtterances(self.engine, seed=seed, count=count, cache=cache)

    def highest_price_usd(self, count: int) -> float:
        """The price of `count` utterances if all are as long as they can be; 0 for a program of this machine."""
        return self.engine.price_usd(["x" * LONGEST_PASSAGE_CHARS]) * count


class FreshUtterances(SynthesisedSpeech):
    """The `SpeechSource` of one set of a round.

    An utterance that has been read is named by the SHA-256 of its samples, so a set lists what its clips contain.
    """

    engine: VariedSynthesiser

    def voice(self, index: int) -> str:
        return _drawn(self.engine, self.seed, index)[0]

    def text(self, index: int) -> str:
        return _drawn(self.engine, self.seed, index)[1]

    def speaker(self, index: int) -> str:
        return f"{self.engine.name}/{self.voice(index).split()[0]}"

    def utterance_id(self, index: int) -> str:
        """The speaker and the content of an utterance, or its request if it has not been spoken."""
        digest = self.cache.digest(self.key(index))
        return f"{self.speaker(index)}/{digest[:16] if digest else f'unspoken-{self.key(index)[:16]}'}"

    def key(self, index: int) -> str:
        engine = self.engine
        identity = [engine.name, engine.model, engine.sound, self.voice(index), self.text(index)]
        return hashlib.sha256(json.dumps(identity, ensure_ascii=False).encode()).hexdigest()

    def read(self, index: int, sample_rate_hz: int) -> Audio:
        """The utterance at that rate, from the cache or spoken now.

        Raises:
            InfrastructureFault: the engine fails, refuses the request, or is not installed; the round can continue
                when that is repaired.
        """
        try:
            return super().read(index, sample_rate_hz)
        except (UsageError, AudioFileError) as error:
            raise InfrastructureFault(f"{self.engine.name} cannot speak: {error.problem}", error.remedy) from error


@lru_cache(maxsize=16)
def _drawn(engine: VariedSynthesiser, seed: int, index: int) -> tuple[str, str]:
    """The voice and the text of an utterance."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, index, 0x701C)))
    return engine.drawn_voice(rng), passage(seed, index)
