"""The sessions of raters: their trials, the stimuli under random words, and their votes.

A stimulus has a random word as its address and a file of its own, both made for one rater and one trial. So neither
addresses nor files tell which entry a rater hears, or that two raters hear the same. An answer counts only if its
recordings were sent and there was time to hear them. Times are in seconds.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from soundsright.core.audio import Audio
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.services.listening.invitations import is_invitation, rater_of, read_invitations
from soundsright.services.listening.plan import REFERENCE, SCALES, ListeningTest, Trial, trials_for, votes_of
from soundsright.services.listening.results import append_votes, has_finished
from soundsright.services.listening.stimuli import Disguise, disguised_wav, stimulus
from soundsright.services.records import RunCompetition

MAX_RATERS = 2000
IDLE_S = 3_600.0
"""In an open test, a seat without an answer for this long goes to the next rater."""
_CACHED_STIMULI = 128
_SWITCHED_S = 2.0
"""In MUSHRA, raters switch between versions. The page asks them to hear each for this long."""
_TOLERANCE = 0.95
_MAX_LEAD_S = 0.02
_MAX_TAIL_S = 0.1


class _EnterRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rater: str = Field(default="", max_length=64)
    invitation: str = Field(default="", max_length=64)


class _AnswerRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rater: str = Field(max_length=64)
    trial: int = Field(ge=0, le=10_000)
    scores: list[FiniteFloat] = Field(max_length=32)


@dataclass(frozen=True)
class _Shown:
    """A stimulus as one rater gets it."""

    clip: str
    condition: str
    disguise: Disguise


@dataclass
class _Session:
    """One rater. `words` has the words of each trial, `sent_s` when the recording of a word was first sent."""

    client: str
    trials: tuple[Trial, ...]
    active_s: float
    shown: list[dict[str, Any]] = field(default_factory=list)
    words: list[tuple[str, ...]] = field(default_factory=list)
    stimuli: dict[str, _Shown] = field(default_factory=dict)
    sent_s: dict[str, float] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)


class ListeningRoom:
    """Gives raters their trials and stimuli and stores their votes. Thread-safe.

    Parameters:
        seats_per_client: in an open test, the raters that may enter from one address; None if raters need an
            invitation.
        monotonic_s: the clock.
    """

    def __init__(
        self,
        test: ListeningTest,
        competition: RunCompetition,
        folder: Path,
        *,
        seats_per_client: int | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._test = test
        self._folder = folder
        self._seats_per_client = seats_per_client
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}
        self._stimulus = lru_cache(_CACHED_STIMULI)(lambda clip, condition: stimulus(competition, clip, condition))
        self._lengths: dict[str, tuple[int, int]] = {}

    @property
    def test(self) -> ListeningTest:
        return self._test

    @property
    def is_open(self) -> bool:
        """Whether raters may enter without an invitation."""
        return self._seats_per_client is not None

    def enter(self, body: bytes, client: str = "") -> dict[str, Any]:
        """A rater's id, the trials with a word per stimulus, and the number of answered trials.

        `body` is JSON with the id of a rater who returns, or with an invitation; without either, a new session
        starts if the test is open. `client` is the network of the request.

        Raises:
            UsageError: the rater or the invitation is not known or was used, or there is no seat left.
        """
        try:
            request = _EnterRequest.model_validate_json(body)
        except ValidationError as error:
            raise UsageError("The request is not valid", "Load the page again.") from error
        with self._lock:
            rater = request.rater or self._admitted(request.invitation, client)
            if rater not in self._sessions:
                raise UsageError("The test was restarted", "Press Start to begin.")
            session = self._sessions[rater]
            session.active_s = self._monotonic_s()
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
            shown = session.stimuli.get(word) if session else None
        if session is None or shown is None:
            return None
        wav = disguised_wav(self._stimulus(shown.clip, shown.condition), shown.disguise)
        with self._lock:
            session.sent_s.setdefault(word, self._monotonic_s())
        return wav

    def answer(self, body: bytes) -> int:
        """Store the answer to a trial; the number of trials left. A second answer to a trial is ignored.

        Raises:
            UsageError: the answer is not valid or too early, or the rater or trial is not known.
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
                votes = votes_of(self._test, answer.rater, trial, answer.scores)
                self._check_heard(session, answer.trial)
                append_votes(self._folder, votes)
                session.answered.add(answer.trial)
                session.active_s = self._monotonic_s()
            return len(session.trials) - len(session.answered)

    def check(self) -> None:
        """Check that every stimulus can be played.

        Raises:
            UsageError: a signal is missing or broken.
        """
        for clip in self._test.clips:
            try:
                self._length(clip)
            except InfrastructureFault as fault:
                raise UsageError(str(fault), "Choose other clips or entries.") from fault

    def _check_heard(self, session: _Session, number: int) -> None:
        """Check that the recordings of a trial were sent, and that there was time to hear them since.

        The time since the rater's last answer counts too. So nobody can load all recordings, wait, and answer all.
        """
        words = session.words[number]
        if any(word not in session.sent_s for word in words):
            raise UsageError("The recordings of this question were not loaded", "Load the page again.")
        since_s = max(*(session.sent_s[word] for word in words), session.active_s if session.answered else 0.0)
        length, rate_hz = self._length(session.trials[number].clip)
        each_s = length / rate_hz
        if self._test.method == "mushra":
            each_s = min(each_s, _SWITCHED_S)
        if self._monotonic_s() - since_s < _TOLERANCE * each_s * len(words):
            raise UsageError("That was faster than the recordings play", "Listen to each of them, then go on.")

    def _length(self, clip: str) -> tuple[int, int]:
        """The samples of the longest version of a clip, and the sample rate."""
        if clip not in self._lengths:
            versions: list[Audio] = [self._stimulus(clip, condition) for condition in self._test.conditions]
            self._lengths[clip] = max(len(audio) for audio in versions), versions[0].sample_rate_hz
        return self._lengths[clip]

    def _admitted(self, invitation: str, client: str) -> str:
        """The rater who enters with this invitation, or a new one of an open test. Starts the session if needed."""
        if invitation:
            if not is_invitation(invitation, read_invitations(self._folder)):
                raise UsageError("This invitation is not known", "Open the whole link that you were sent.")
            rater = rater_of(invitation)
            if rater not in self._sessions and has_finished(self._test, self._folder, rater):
                raise UsageError("This invitation was used already", "Thank you for your answers.")
        elif self._seats_per_client is None:
            raise UsageError("You need an invitation to this test", "Open the link that you were sent.")
        else:
            self._check_seats(client, self._seats_per_client)
            rater = secrets.token_hex(8)
        if rater not in self._sessions:
            if len(self._sessions) >= MAX_RATERS:
                raise UsageError(f"The test has {MAX_RATERS} raters already", "Ask the organiser to restart it.")
            self._sessions[rater] = self._new_session("" if invitation else client)
        return rater

    def _check_seats(self, client: str, seats: int) -> None:
        """Check that a client may take one more seat of an open test. Seats that were left go back first."""
        oldest_s = self._monotonic_s() - IDLE_S
        left = [
            rater
            for rater, session in self._sessions.items()
            if session.client and session.active_s < oldest_s and len(session.answered) < len(session.trials)
        ]
        for rater in left:
            del self._sessions[rater]
        taken = Counter(session.client for session in self._sessions.values())
        if taken[client] >= seats:
            raise UsageError(
                f"Your address has {taken[client]} raters already", "Ask the organiser for an invitation."
            )

    def _new_session(self, client: str) -> _Session:
        trials = trials_for(self._test, secrets.randbits(48))
        session = _Session(client, trials, self._monotonic_s())
        for trial in trials:
            length, rate_hz = self._length(trial.clip)
            rng = np.random.default_rng(secrets.randbits(64))
            lead_s = float(rng.uniform(0, _MAX_LEAD_S))
            whole = length + round((lead_s + float(rng.uniform(0, _MAX_TAIL_S))) * rate_hz) + 1
            words = [self._word(session, trial.clip, condition, lead_s, whole) for condition in trial.stimuli]
            has_open_reference = self._test.method == "mushra"
            reference = self._word(session, trial.clip, REFERENCE, lead_s, whole) if has_open_reference else None
            session.shown.append({"stimuli": words, "reference": reference})
            session.words.append((*words, *([reference] if reference else [])))
        return session

    def _word(self, session: _Session, clip: str, condition: str, lead_s: float, length: int) -> str:
        word = secrets.token_urlsafe(9)
        disguise = Disguise(lead_s, length, (secrets.randbits(63), secrets.randbits(63)))
        session.stimuli[word] = _Shown(clip, condition, disguise)
        return word
