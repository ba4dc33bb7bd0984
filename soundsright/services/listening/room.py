"""The sessions of raters: their trials, the stimuli under random words, and their votes.

A stimulus has a random word as its address, made for one rater and one trial. So raters cannot tell from an address
which entry they hear, or that they hear it again.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.services.listening.plan import REFERENCE, SCALES, ListeningTest, Trial, trials_for, votes_of
from soundsright.services.listening.results import append_votes
from soundsright.services.listening.stimuli import stimulus_wav
from soundsright.services.records import RunCompetition

MAX_RATERS = 2000
_CACHED_STIMULI = 256


class _EnterRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rater: str = Field(default="", max_length=64)


class _AnswerRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rater: str = Field(max_length=64)
    trial: int = Field(ge=0, le=10_000)
    scores: list[FiniteFloat] = Field(max_length=32)


@dataclass
class _Session:
    """One rater. `shown` has the trials as the browser gets them, `stimuli` the (clip, condition) of each word."""

    trials: tuple[Trial, ...]
    shown: list[dict[str, Any]] = field(default_factory=list)
    stimuli: dict[str, tuple[str, str]] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)


class ListeningRoom:
    """Gives raters their trials and stimuli and stores their votes. Thread-safe."""

    def __init__(self, test: ListeningTest, competition: RunCompetition, folder: Path) -> None:
        self._test = test
        self._folder = folder
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}
        self._wav = lru_cache(_CACHED_STIMULI)(lambda clip, condition: stimulus_wav(competition, clip, condition))

    @property
    def test(self) -> ListeningTest:
        return self._test

    def enter(self, body: bytes) -> dict[str, Any]:
        """A rater's id, the trials with a word per stimulus, and the number of answered trials.

        `body` is JSON with the id of a rater who returns; without an id, a new session starts.

        Raises:
            UsageError: the rater is not known, or there are `MAX_RATERS` already.
        """
        try:
            rater = _EnterRequest.model_validate_json(body).rater
        except ValidationError as error:
            raise UsageError("The request is not valid", "Load the page again.") from error
        with self._lock:
            if rater and rater not in self._sessions:
                raise UsageError("The test was restarted", "Press Start to begin.")
            if not rater:
                rater = self._new_rater()
            session = self._sessions[rater]
            answered = len(session.answered)
        low, high = SCALES[self._test.method]
        return {
            "rater": rater,
            "method": self._test.method,
            "low": low,
            "high": high,
            "trials": session.shown,
            "answered": answered,
        }

    def sound(self, rater: str, word: str) -> bytes | None:
        """The stimulus with this word as WAV, or None if the rater has no such word."""
        with self._lock:
            session = self._sessions.get(rater)
            stimulus = session.stimuli.get(word) if session else None
        return None if stimulus is None else self._wav(*stimulus)

    def answer(self, body: bytes) -> int:
        """Store the answer to a trial; the number of trials left. A second answer to a trial is ignored.

        Raises:
            UsageError: the answer is not valid, or the rater or trial is not known.
            InfrastructureFault: the votes cannot be written.
        """
        try:
            answer = _AnswerRequest.model_validate_json(body)
        except ValidationError as error:
            raise UsageError("The answer is not valid", "Load the page again.") from error
        with self._lock:
            session = self._sessions.get(answer.rater)
            if session is None or answer.trial >= len(session.trials):
                raise UsageError("The test was restarted", "Load the page again.")
            if answer.trial not in session.answered:
                trial = session.trials[answer.trial]
                append_votes(self._folder, votes_of(self._test, answer.rater, trial, answer.scores))
                session.answered.add(answer.trial)
            return len(session.trials) - len(session.answered)

    def check(self) -> None:
        """Check that every stimulus can be played.

        Raises:
            UsageError: a signal is missing or broken.
        """
        for clip in self._test.clips:
            for condition in self._test.conditions:
                try:
                    self._wav(clip, condition)
                except InfrastructureFault as fault:
                    raise UsageError(str(fault), "Choose other clips or entries.") from fault

    def _new_rater(self) -> str:
        if len(self._sessions) >= MAX_RATERS:
            raise UsageError(f"The test has {MAX_RATERS} raters already", "Ask the organiser to restart it.")
        rater = secrets.token_hex(8)
        session = _Session(trials_for(self._test, secrets.randbits(48)))
        for trial in session.trials:
            words = [self._word(session, trial.clip, condition) for condition in trial.stimuli]
            has_open_reference = self._test.method == "mushra"
            reference = self._word(session, trial.clip, REFERENCE) if has_open_reference else None
            session.shown.append({"stimuli": words, "reference": reference})
        self._sessions[rater] = session
        return rater

    def _word(self, session: _Session, clip: str, condition: str) -> str:
        word = secrets.token_urlsafe(9)
        session.stimuli[word] = (clip, condition)
        return word
