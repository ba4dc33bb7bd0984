"""Synthesised speech: audio is float32 `(n,)`, full scale ±1; rates in Hz, times in seconds, prices in US dollars.

A `Synthesiser` speaks a text. `SynthesisedSpeech` is the `SpeechSource` of sentences drawn by a seed. A cache keeps
each utterance, so nothing is requested, or paid for, twice.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from soundsright.adapters.speech.cache import SpeechCache
from soundsright.core.audio import Audio
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.data import SILENT_DB, Split, active_level, resampled, sentence, split_of

_SHORTEST_S = 0.3
_LONGEST_S = 60.0
_OTHER_VOICE = "Try again. If it fails again, choose another voice with --voices."


class Synthesiser(Protocol):
    """An engine that speaks texts. Its name, its model, the voice and the text identify an utterance."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def voices(self) -> tuple[str, ...]: ...
    @property
    def sample_rate_hz(self) -> int: ...
    @property
    def parallel(self) -> int:
        """How many texts it can speak at once."""
        ...

    def speak(self, text: str, voice: str) -> Audio:
        """The text, spoken in that voice.

        Raises:
            InfrastructureFault: the engine does not answer.
            UsageError: the engine refuses the key, the voice or the text.
        """
        ...

    def price_usd(self, texts: Sequence[str]) -> float:
        """The approximate price of speaking the texts; 0 for an engine on this machine."""
        ...


class VariedSynthesiser(Synthesiser, Protocol):
    """An engine for the speech of rounds: it draws a voice and how it speaks."""

    @property
    def sound(self) -> str:
        """A digest of the engine's sound, or an empty text if it speaks a text differently each time."""
        ...

    def drawn_voice(self, rng: np.random.Generator) -> str:
        """A voice for `speak`. The speaker's name is its first word."""
        ...

    def __hash__(self) -> int: ...


def speech_cache_folder() -> Path:
    """The folder that keeps utterances: SOUNDSRIGHT_SPEECH_CACHE, or one in the user's cache folder."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("SOUNDSRIGHT_SPEECH_CACHE")
    return Path(chosen) if chosen else user_cache_path("soundsright") / "speech"


def voices_of_split(engine: str, voices: Sequence[str], split: Split | None) -> tuple[str, ...]:
    """The voices of an engine that belong to the split. All of them if `split` is None.

    Raises:
        UsageError: no voice belongs to the split.
    """
    chosen = tuple(v for v in voices if split is None or split_of(v) is split)
    if not chosen:
        raise UsageError(
            f"None of the {len(voices)} voices of {engine} belongs to the split {split}",
            "Use recordings for this split, or leave out --split and choose different --voices for each set.",
        )
    return chosen


class SynthesisedSpeech:
    """The `SpeechSource` port over an engine: `count` sentences drawn by `seed`. The engine's voices take turns.

    It can be sent to worker processes if the engine can. Workers speak only utterances that are not in the cache.
    """

    def __init__(self, engine: Synthesiser, *, seed: int, count: int, cache: Path) -> None:
        self.engine = engine
        self.seed = seed
        self.count = count
        self.cache = SpeechCache(cache)

    def __len__(self) -> int:
        return self.count

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that decide the utterances, for the description of a set."""
        return {
            "name": self.engine.name,
            "model": self.engine.model,
            "voices": list(self.engine.voices),
            "sample_rate_hz": self.engine.sample_rate_hz,
        }

    def speaker(self, index: int) -> str:
        return self.engine.voices[index % len(self.engine.voices)]

    def text(self, index: int) -> str | None:
        return sentence(self.seed, index)

    def voice(self, index: int) -> str:
        """The voice of an utterance, as the engine's `speak` takes it."""
        return self.speaker(index)

    def utterance_id(self, index: int) -> str:
        return f"{self.engine.name}/{self.speaker(index)}/{self.key(index)[:16]}"

    def read(self, index: int, sample_rate_hz: int) -> Audio:
        """The utterance at that rate, from the cache or spoken now.

        Raises:
            InfrastructureFault: the engine does not answer, its audio cannot be an utterance, or the cache cannot
                be written.
            UsageError: the engine refuses the key, the voice or the text.
        """
        audio = self.cache.get(self.key(index))
        if audio is None:
            audio = self._spoken(index)
        return Audio(resampled(audio.samples, audio.sample_rate_hz, sample_rate_hz), sample_rate_hz)

    def missing(self, indices: Iterable[int]) -> list[int]:
        """The indices of utterances that are not in the cache."""
        return [index for index in indices if self.key(index) not in self.cache]

    def fill(self, indices: Sequence[int], progress: Callable[[int, int], None]) -> None:
        """Speak the utterances into the cache, in parallel. `progress` gets the finished and the total number.

        Raises:
            InfrastructureFault, UsageError: as for `read`. Finished utterances stay in the cache.
        """
        with ThreadPoolExecutor(max(1, self.engine.parallel)) as pool:
            jobs = [pool.submit(self._spoken, index) for index in indices]
            try:
                for done, job in enumerate(as_completed(jobs), 1):
                    job.result()
                    progress(done, len(jobs))
            finally:
                for job in jobs:
                    job.cancel()

    def key(self, index: int) -> str:
        """SHA-256 of what is requested of the engine: the key of the utterance in the cache."""
        identity = [self.engine.name, self.engine.model, self.voice(index), self.text(index)]
        return hashlib.sha256(json.dumps(identity, ensure_ascii=False).encode()).hexdigest()

    def _spoken(self, index: int) -> Audio:
        audio = checked_speech(self.engine.speak(self.text(index) or "", self.voice(index)), self.engine.name)
        # The cache has 16 bits, and the first run must give the same samples as later ones.
        return self.cache.put(self.key(index), audio)


def checked_speech(audio: Audio, engine: str) -> Audio:
    """The audio, unchanged, if it can be an utterance.

    Raises:
        InfrastructureFault: it is silent, not finite, or shorter than 0.3 s or longer than 60 s.
    """
    if not np.isfinite(audio.samples).all():
        raise InfrastructureFault(f"{engine} returned samples that are not finite", _OTHER_VOICE)
    if not _SHORTEST_S <= audio.duration_s <= _LONGEST_S:
        raise InfrastructureFault(
            f"{engine} returned {audio.duration_s:.2f} s of audio for one sentence", _OTHER_VOICE
        )
    if active_level(audio.samples, audio.sample_rate_hz).level_db <= SILENT_DB:
        raise InfrastructureFault(f"{engine} returned silence", _OTHER_VOICE)
    return audio
