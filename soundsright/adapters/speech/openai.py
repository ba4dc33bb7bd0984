"""Speech from OpenAI's service, or from one with the same API, through the `openai` package.

Audio is float32 `(n,)`, full scale ±1; prices are in US dollars. The environment gives the key (OPENAI_API_KEY) and
the address (OPENAI_BASE_URL). Requests keep to a rate. Requests to a busy service are repeated with pauses.
A wrong key or voice is an error at once.
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

import numpy as np

from soundsright.core.audio import Audio
from soundsright.core.errors import AudioFileError, InfrastructureFault, UsageError
from soundsright.data import read_file

OPENAI_VOICES = ("alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer")
SAMPLE_RATE_HZ = 24_000
MAX_RESPONSE_BYTES = 50_000_000

# List prices: per million characters, or per minute of audio.
_USD_PER_MILLION_CHARACTERS = {"tts-1": 15.0, "tts-1-hd": 30.0}
_USD_PER_MINUTE = {"gpt-4o-mini-tts": 0.015}
_CHARACTERS_PER_MINUTE = 900.0

# The manners of speaking that rounds draw from: the instruction for the newer models, and the speed for tts-1.
_MANNERS = (
    ("Speak naturally, at a normal pace.", 1.0),
    ("Speak slowly and calmly.", 0.85),
    ("Speak quickly, as if in a hurry.", 1.2),
    ("Speak cheerfully and with energy.", 1.1),
    ("Speak in a tired, low voice.", 0.9),
    ("Speak clearly, like a newsreader.", 1.05),
    ("Speak like somebody on the telephone to a friend.", 1.15),
    ("Speak seriously and with emphasis.", 0.95),
    ("Speak with a British accent.", 1.0),
    ("Speak with an Irish accent.", 1.05),
    ("Speak with an Indian accent.", 1.1),
    ("Speak with an Australian accent.", 0.95),
)

_MAX_TRIES = 6
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_TIMEOUT_S = 60.0


class _Pace:
    """Spaces the requests of all threads evenly: at most `per_second` begin in a second."""

    def __init__(self, per_second: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._step_s = 1.0 / per_second
        self._clock = clock
        self._sleep = sleep
        self._next_s = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Sleep until the next request may begin."""
        with self._lock:
            now_s = self._clock()
            start_s = max(now_s, self._next_s)
            self._next_s = start_s + self._step_s
        if start_s > now_s:
            self._sleep(start_s - now_s)


class _ServiceBusy(Exception):
    """The service could not answer now, but may answer later. The cause is the error of the `openai` package."""


@dataclass(frozen=True)
class OpenAISynthesiser:
    """The `Synthesiser` of one model of the service. Each process makes its own connection when it first speaks.

    Attributes:
        voices: the voices that take turns.
        requests_per_s: how many requests may begin in a second.
        response_format: the file format that the service sends, such as wav.
        key: the key of the account.
        base_url: the address of the service, or None for OpenAI's.
        first_pause_s: the pause after the first failed try. It doubles with each further one.
        parallel: how many requests may run at once.

    Raises:
        UsageError: there are no voices, or the rate is out of range.
    """

    model: str = "gpt-4o-mini-tts"
    voices: tuple[str, ...] = OPENAI_VOICES
    requests_per_s: float = 5.0
    response_format: str = "wav"
    key: str = field(default="", repr=False)
    base_url: str | None = None
    first_pause_s: float = _FIRST_PAUSE_S
    sample_rate_hz: int = SAMPLE_RATE_HZ
    parallel: int = 4
    name: str = "openai"
    _connection: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.voices:
            raise UsageError("No voice was chosen", f"Choose from {', '.join(OPENAI_VOICES)} with --voices.")
        if not 0.01 <= self.requests_per_s <= 1_000.0:
            raise UsageError(
                f"{self.requests_per_s:g} requests a second is out of range", "Choose between 0.01 and 1000."
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connection": {}}

    @classmethod
    def from_environment(
        cls,
        *,
        model: str,
        voices: tuple[str, ...] = (),
        requests_per_s: float = 5.0,
        response_format: str = "wav",
    ) -> OpenAISynthesiser:
        """A synthesiser with the key and the address from the environment.

        Raises:
            UsageError: OPENAI_API_KEY is not set, or a value is out of range.
        """
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not key:
            raise UsageError(
                "OPENAI_API_KEY is not set",
                "Set it, or choose --speech shipped, a folder of recordings, or flite.",
            )
        return cls(
            model=model,
            voices=voices or OPENAI_VOICES,
            requests_per_s=requests_per_s,
            response_format=response_format,
            key=key,
            base_url=os.environ.get("OPENAI_BASE_URL") or None,
        )

    def price_usd(self, texts: Sequence[str]) -> float:
        """The list price of the texts. An unknown model is priced like the most expensive one."""
        characters = sum(map(len, texts))
        if self.model in _USD_PER_MINUTE:
            return characters / _CHARACTERS_PER_MINUTE * _USD_PER_MINUTE[self.model]
        highest = max(_USD_PER_MILLION_CHARACTERS.values())
        return characters / 1e6 * _USD_PER_MILLION_CHARACTERS.get(self.model, highest)

    @property
    def sound(self) -> str:
        """Empty: the service speaks a text differently each time."""
        return ""

    def drawn_voice(self, rng: np.random.Generator) -> str:
        """One of the voices, with a drawn manner of speaking: `nova 3`."""
        return f"{self.voices[int(rng.integers(len(self.voices)))]} {int(rng.integers(len(_MANNERS)))}"

    def speak(self, text: str, voice: str) -> Audio:
        """The text, spoken in that voice, and in the manner whose number follows the voice, if there is one.

        Raises:
            UsageError: the service refuses the key, the model, the voice or the text.
            InfrastructureFault: the service stays busy or does not answer, or its answer is not audio.
        """
        client, pace = self._client_and_pace()
        pause_s = self.first_pause_s
        for attempt in range(1, _MAX_TRIES + 1):
            pace.wait()
            try:
                return self._decoded(self._response(client, text, voice))
            except _ServiceBusy as busy:
                cause = busy.__cause__
            if attempt == _MAX_TRIES:
                raise InfrastructureFault(
                    f"The speech service did not answer in {_MAX_TRIES} tries ({cause})",
                    "Try again later: finished utterances are kept.",
                ) from cause
            # The random part spreads the retries of many clients. It does not influence the speech.
            time.sleep(min(_LONGEST_PAUSE_S, _retry_after_s(cause) or pause_s * random.uniform(0.5, 1.5)))
            pause_s *= 2.0
        raise AssertionError("every try returns or raises")

    def _response(self, client: Any, text: str, voice: str) -> bytes:
        """The bytes of one response.

        Raises:
            UsageError: the service refuses the request.
            _ServiceBusy: it may accept the same request later.
        """
        import openai

        name, _, manner = voice.partition(" ")
        more: dict[str, Any] = {}
        if manner:
            instructions, speed = _MANNERS[int(manner)]
            more = {"speed": speed} if self.model.startswith("tts-1") else {"instructions": instructions}
        try:
            response = client.audio.speech.create(
                model=self.model, voice=name, input=text, response_format=self.response_format, **more
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise UsageError("The speech service refused the key", "Check OPENAI_API_KEY.") from error
        except openai.RateLimitError as error:
            if getattr(error, "code", None) == "insufficient_quota":
                raise UsageError("The speech account has no credit left", "Add credit and run again.") from error
            raise _ServiceBusy from error
        except (openai.APIConnectionError, openai.InternalServerError) as error:
            raise _ServiceBusy from error
        except openai.APIStatusError as error:
            raise UsageError(
                f"The speech service refused voice {voice!r} of model {self.model!r} ({error.message})",
                "Choose others with --voices and --tts-model.",
            ) from error
        return bytes(response.content)

    def _client_and_pace(self) -> tuple[Any, _Pace]:
        if "client" not in self._connection:
            try:
                import openai
            except ImportError as error:
                raise UsageError("OpenAI's speech needs the package openai", "Run `pip install openai`.") from error
            self._connection["pace"] = _Pace(self.requests_per_s, time.monotonic, time.sleep)
            self._connection["client"] = openai.OpenAI(
                api_key=self.key, base_url=self.base_url, max_retries=0, timeout=_TIMEOUT_S
            )
        return self._connection["client"], self._connection["pace"]

    def _decoded(self, data: bytes) -> Audio:
        if not data or len(data) > MAX_RESPONSE_BYTES:
            raise InfrastructureFault(
                f"The speech service answered with {len(data)} bytes; 1 to {MAX_RESPONSE_BYTES} are expected"
            )
        with tempfile.TemporaryDirectory(prefix="soundsright-speech-") as folder:
            path = Path(folder) / f"speech.{self.response_format}"
            path.write_bytes(data)
            try:
                return read_file(path)
            except AudioFileError as error:
                raise InfrastructureFault("The answer of the speech service is not audio") from error


def _retry_after_s(error: BaseException | None) -> float | None:
    """The pause that the service asks for in its header `Retry-After`, or None."""
    response = getattr(error, "response", None)
    value = response.headers.get("retry-after") if response is not None else None
    try:
        return float(value) if value else None
    except ValueError:
        return None
