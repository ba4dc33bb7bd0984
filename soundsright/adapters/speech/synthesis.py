"""Synthesised speech: audio is float32 `(n,)`, full scale ±1; rates in Hz, times in seconds, prices in US dollars.

A `Synthesiser` speaks a text. `SynthesisedSpeech` is the `SpeechSource` of sentences drawn by a seed. A cache keeps
each utterance by its text, voice and model, so nothing is requested, or paid for, twice.
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

from soundsright.core.audio import Audio, pcm16
from soundsright.core.errors import AudioFileError, InfrastructureFault, UsageError
from soundsright.data import SILENT_DB, Split, active_level, read_file, resampled, sentence, split_of

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
        self.cache = cache

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

    def utterance_id(self, index: int) -> str:
        return f"{self.engine.name}/{self.speaker(index)}/{self._key(index)[:16]}"

    def read(self, index: int, sample_rate_hz: int) -> Audio:
        """The utterance at that rate, from the cache or spoken now.

        Raises:
            InfrastructureFault: the engine does not answer, or its audio cannot be an utterance.
            UsageError: the engine refuses the key, the voice or the text.
        """
        path = self._path(index)
        if path.is_file():
            try:
                audio = read_file(path)
            except AudioFileError:
                path.unlink()  # The file is incomplete, because the machine stopped while writing it.
                audio = self._spoken(index, path)
        else:
            audio = self._spoken(index, path)
        return Audio(resampled(audio.samples, audio.sample_rate_hz, sample_rate_hz), sample_rate_hz)

    def missing(self, indices: Iterable[int]) -> list[int]:
        """The indices of utterances that are not in the cache."""
        return [index for index in indices if not self._path(index).is_file()]

    def fill(self, indices: Sequence[int], progress: Callable[[int, int], None]) -> None:
        """Speak the utterances into the cache, in parallel. `progress` gets the finished and the total number.

        Raises:
            InfrastructureFault, UsageError: as for `read`. Finished utterances stay in the cache.
        """
        with ThreadPoolExecutor(max(1, self.engine.parallel)) as pool:
            jobs = [pool.submit(self._spoken, index, self._path(index)) for index in indices]
            try:
                for done, job in enumerate(as_completed(jobs), 1):
                    job.result()
                    progress(done, len(jobs))
            finally:
                for job in jobs:
                    job.cancel()

    def _key(self, index: int) -> str:
        identity = [self.engine.name, self.engine.model, self.speaker(index), self.text(index)]
        return hashlib.sha256(json.dumps(identity, ensure_ascii=False).encode()).hexdigest()

    def _path(self, index: int) -> Path:
        key = self._key(index)
        return self.cache / key[:2] / f"{key}.flac"

    def _spoken(self, index: int, path: Path) -> Audio:
        import soundfile

        audio = checked_speech(self.engine.speak(self.text(index) or "", self.speaker(index)), self.engine.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.{index}.part")
        try:
            soundfile.write(part, pcm16(audio.samples), audio.sample_rate_hz, format="FLAC", subtype="PCM_16")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        # Read it back: the cache has 16 bits, and the first run must give the same samples as later ones.
        return read_file(path)


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
