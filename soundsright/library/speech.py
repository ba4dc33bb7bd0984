"""Chooses the speech of a validator's rounds: recorded, or new in each round. Rates in Hz, prices in US dollars."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from soundsright.core.competition import Competition
from soundsright.core.errors import UsageError
from soundsright.core.ports import RoundSpeech

if TYPE_CHECKING:
    from soundsright.adapters.speech import FreshSpeech

SpeechName = Literal["auto", "recordings", "espeak-ng", "flite", "openai"]

# flite first: it ranks models more like recordings do (benchmarks/fresh_speech.py ranks).
_PROGRAMS = ("flite", "espeak-ng")
_REQUESTS_PER_S = 5.0


@dataclass(frozen=True)
class SpeechChoice:
    """The speech that a validator may use.

    `corpus` is the folder of its own recordings, or None. A service gets at most 5 requests per second from all
    `workers` together.
    """

    name: str = "auto"
    corpus: Path | None = None
    openai_key: str = ""
    openai_model: str = "gpt-4o-mini-tts"
    workers: int = 1

    @property
    def engine(self) -> str:
        """The name of the choice: `auto` is decided by what is configured and installed."""
        if self.name != "auto":
            return self.name
        if self.openai_key:
            return "openai"
        if self.corpus is not None:
            return "recordings"
        return next((program for program in _PROGRAMS if shutil.which(program)), "recordings")


def chosen_speech(choice: SpeechChoice) -> FreshSpeech | None:
    """What speaks the rounds; None for recordings.

    Raises:
        UsageError: the choice is unknown, its program is not installed, or its service has no key.
        InfrastructureFault: the program fails to speak.
    """
    from soundsright.adapters.speech import FreshSpeech, OpenAISynthesiser, varied_program

    engine = choice.engine
    if engine == "recordings":
        return None
    if engine != "openai":
        return FreshSpeech(varied_program(engine))
    if not choice.openai_key:
        raise UsageError(
            "SOUNDSRIGHT_SPEECH is openai, but OPENAI_API_KEY is not set", "Set the key, or choose other speech."
        )
    return FreshSpeech(
        OpenAISynthesiser(
            model=choice.openai_model,
            requests_per_s=max(0.01, _REQUESTS_PER_S / choice.workers),
            key=choice.openai_key,
            base_url=os.environ.get("OPENAI_BASE_URL") or None,
        )
    )


def installed_speech(facts: Mapping[str, str]) -> FreshSpeech | None:
    """The program of this machine that the facts of a set with new speech name; None if it is not installed.

    A service is never asked: it would cost money, and never sounds the same twice.
    """
    engine = facts.get("engine", "")
    if engine not in _PROGRAMS or shutil.which(engine) is None:
        return None
    return chosen_speech(SpeechChoice(engine))


def check_price(
    speech: RoundSpeech | None, competitions: Sequence[Competition], *, clips: int, max_usd: float
) -> None:
    """Check that the speech of one round of `clips` clips per competition cannot cost more than `max_usd`.

    Raises:
        UsageError: it can.
    """
    price_usd = _highest_price_usd(speech, competitions, clips)
    if speech is not None and price_usd > max_usd:
        raise UsageError(
            f"The speech of a round of {clips} clips per set can cost {price_usd:.2f} USD with {speech.name}, "
            f"more than SOUNDSRIGHT_SPEECH_MAX_USD={max_usd:g}",
            "Raise the limit, lower SOUNDSRIGHT_CLIPS, or choose other speech with SOUNDSRIGHT_SPEECH.",
        )


def _highest_price_usd(speech: RoundSpeech | None, competitions: Sequence[Competition], clips: int) -> float:
    if speech is None:
        return 0.0
    return speech.highest_price_usd(clips) * sum(speech.fills(c.sample_rate_hz) for c in competitions)


def speech_description(speech: RoundSpeech | None, competitions: Sequence[Competition], clips: int) -> str:
    """A text for the operator: what speaks the rounds, which sets it cannot fill, and its highest price."""
    if speech is None:
        return "The speech of rounds is recorded."
    facts = speech.facts
    sound = f", sound {facts['sound'][:12]}" if speech.repeats_itself else ""
    text = f"New speech in each round by {speech.name} ({facts['model']}{sound})."
    recorded = [c.id for c in competitions if not speech.fills(c.sample_rate_hz)]
    if recorded:
        text += f" It does not fill the band of {', '.join(recorded)}, whose speech is recorded."
    if price_usd := _highest_price_usd(speech, competitions, clips):
        text += f" It costs at most {price_usd:.2f} USD per round by the list price."
    if not speech.repeats_itself:
        text += " Other validators draw different sets, because the service speaks a text differently each time."
    return text
