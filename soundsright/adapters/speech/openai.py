"""Text-to-speech by the `openai` package: audio is float32 `(n,)`, full scale ±1; prices in US dollars.

Key and address come from the environment (`OPENAI_API_KEY`, `OPENAI_BASE_URL`). Requests are spaced to a rate, and
tried again with growing pauses where the service is busy or away; a wrong key or voice is an error at once.
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.audio import Audio
from soundsright.core.errors import AudioFileError, InfrastructureFault, UsageError
from soundsright.data import read_file

VOICES = ("alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer")
SAMPLE_RATE_HZ = 24_000
MAX_RESPONSE_BYTES = 50_000_000

# List prices: per million characters, or per minute of audio.
_USD_PER_MILLION_CHARACTERS = {"tts-1": 15.0, "tts-1-hd": 30.0}
_USD_PER_MINUTE = {"gpt-4o-mini-tts": 0.015}
_CHARACTERS_PER_MINUTE = 900.0

_MAX_TRIES = 6
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_TIMEOUT_S = 60.0


class _Pace:
    """Spaces requests of all threads so that no more than so many begin in a second."""

    def __init__(self, per_second: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._step_s = 1.0 / per_second
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            now = self._clock()
            start = max(now, self._next)
            self._next = start + self._step_s
        if start > now:
            self._sleep(start - now)


@dataclass(frozen=True)
class OpenAISynthesiser:
    """A model of the service with the voices to take turns. The client is made in each process when first used.

    Raises:
        UsageError: for a voice or a rate that cannot be.
    """

    model: str = "gpt-4o-mini-tts"
    voices: tuple[str, ...] = VOICES
    requests_per_s: float = 5.0
    response_format: str = "wav"
    key: str = field(default="", repr=False)
    base_url: str | None = None
    first_pause_s: float = _FIRST_PAUSE_S
    sample_rate_hz: int = SAMPLE_RATE_HZ
    parallel: int = 4
    name: str = "openai"
    _held: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.voices:
            raise UsageError("No voice was chosen", f"Choose from {', '.join(VOICES)} with --voices.")
        if not 0.01 <= self.requests_per_s <= 1_000.0:
            raise UsageError(f"{self.requests_per_s:g} requests a second", "Choose between 0.01 and 1000.")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_held": {}}

    @classmethod
    def from_environment(
        cls,
        *,
        model: str,
        voices: tuple[str, ...] = (),
        requests_per_s: float = 5.0,
        response_format: str = "wav",
    ) -> OpenAISynthesiser:
        """With the key and the address of the environment.

        Raises:
            UsageError: there is no key.
        """
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not key:
            raise UsageError(
                "OPENAI_API_KEY is not set", "Set it, or choose --speech shipped, a directory, or flite."
            )
        return cls(
            model=model,
            voices=voices or VOICES,
            requests_per_s=requests_per_s,
            response_format=response_format,
            key=key,
            base_url=os.environ.get("OPENAI_BASE_URL") or None,
        )

    def price_usd(self, texts: Sequence[str]) -> float:
        """What the list price asks for the texts; an unknown model is priced like the dearest."""
        characters = sum(map(len, texts))
        if self.model in _USD_PER_MINUTE:
            return characters / _CHARACTERS_PER_MINUTE * _USD_PER_MINUTE[self.model]
        dearest = max(_USD_PER_MILLION_CHARACTERS.values())
        return characters / 1e6 * _USD_PER_MILLION_CHARACTERS.get(self.model, dearest)

    def speak(self, text: str, voice: str) -> Audio:
        """The text in that voice.

        Raises:
            UsageError: the key, the model, the voice or the text is refused.
            InfrastructureFault: the service stays busy or away, or answers with what is no audio.
        """
        import openai

        client, pace = self._client_and_pace()
        pause_s = self.first_pause_s
        for attempt in range(1, _MAX_TRIES + 1):
            pace.wait()
            try:
                answer = client.audio.speech.create(
                    model=self.model, voice=voice, input=text, response_format=self.response_format
                )
                return self._decoded(answer.content)
            except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
                raise UsageError("The speech service refused the key", "Check OPENAI_API_KEY.") from error
            except openai.RateLimitError as error:
                if getattr(error, "code", None) == "insufficient_quota":
                    raise UsageError(
                        "The speech account has no credit left", "Add credit and run again."
                    ) from error
                cause: Exception = error
            except (openai.APIConnectionError, openai.InternalServerError) as error:
                cause = error
            except openai.APIStatusError as error:
                raise UsageError(
                    f"The speech service refused voice {voice!r} of model {self.model!r} ({error.message})",
                    "Choose others with --voices and --tts-model.",
                ) from error
            if attempt == _MAX_TRIES:
                raise InfrastructureFault(
                    f"The speech service did not answer in {_MAX_TRIES} tries ({cause})",
                    "Run again with --resume: what was spoken is kept.",
                ) from cause
            # Chance keeps many clients from coming back at one moment; it decides nothing in a set.
            time.sleep(min(_LONGEST_PAUSE_S, _asked_pause_s(cause) or pause_s * random.uniform(0.5, 1.5)))
            pause_s *= 2.0
        raise AssertionError("every try returns or raises")

    def _client_and_pace(self) -> tuple[Any, _Pace]:
        if "client" not in self._held:
            try:
                import openai
            except ImportError as error:
                raise UsageError("Speech by OpenAI needs its package", "Run `pip install openai`.") from error
            self._held["pace"] = _Pace(self.requests_per_s, time.monotonic, time.sleep)
            self._held["client"] = openai.OpenAI(
                api_key=self.key, base_url=self.base_url, max_retries=0, timeout=_TIMEOUT_S
            )
        return self._held["client"], self._held["pace"]

    def _decoded(self, data: bytes) -> Audio:
        if not data or len(data) > MAX_RESPONSE_BYTES:
            raise InfrastructureFault(f"The speech service answered with {len(data)} bytes")
        with tempfile.TemporaryDirectory(prefix="soundsright-speech-") as folder:
            path = Path(folder) / f"speech.{self.response_format}"
            path.write_bytes(data)
            try:
                return read_file(path)
            except AudioFileError as error:
                raise InfrastructureFault("The speech service answered with what is no audio") from error


def _asked_pause_s(error: Exception) -> float | None:
    """The pause that the service asked for, if it did."""
    response = getattr(error, "response", None)
    value = response.headers.get("retry-after") if response is not None else None
    try:
        return float(value) if value else None
    except ValueError:
        return None
