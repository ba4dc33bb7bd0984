"""The listening test in the browser: what a rater may know, and nothing more.

A stimulus is addressed by a random word that is made for one rater and one trial, so that neither an address nor a
repeated one tells what is played. All stimuli of a clip are brought to one level while the clean signal is active.
"""

from __future__ import annotations

import io
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from soundsright.core.audio import Audio, Samples, pcm16
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.services.drawing import ASSETS, HEADERS, Frame, asset
from soundsright.services.listening.plan import (
    ANCHOR,
    LOW_ANCHOR,
    REFERENCE,
    SCALES,
    ListeningTest,
    Trial,
    trials_for,
    votes_of,
)
from soundsright.services.listening.results import append_votes
from soundsright.services.records import RunCompetition
from soundsright.services.rounds import read_wav

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

LEVEL_DB = -26.0
LOW_PASS_HZ = 3500.0
MAX_BODY_BYTES = 16 << 10
MAX_RATERS = 2000
_KEPT_STIMULI = 256


class _Entrance(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rater: str = Field(default="", max_length=64)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rater: str = Field(max_length=64)
    trial: int = Field(ge=0, le=10_000)
    scores: list[FiniteFloat] = Field(max_length=32)


@dataclass
class _Session:
    trials: tuple[Trial, ...]
    shown: list[dict[str, Any]] = field(default_factory=list)
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)


class ListeningRoom:
    """Hands out trials, plays stimuli, takes answers. Safe to be asked from several threads."""

    def __init__(self, test: ListeningTest, competition: RunCompetition, folder: Path) -> None:
        self._test = test
        self._competition = competition
        self._folder = folder
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}
        self._stimulus = lru_cache(_KEPT_STIMULI)(self._rendered)

    @property
    def test(self) -> ListeningTest:
        return self._test

    def enter(self, body: bytes) -> dict[str, Any]:
        """A rater's name, the trials with a word for each stimulus, and how many are answered already.

        `body` names a rater who comes back; without a name there comes a new one.

        Raises:
            UsageError: too many raters have come, or the one who comes back is not known.
        """
        try:
            rater = _Entrance.model_validate_json(body).rater
        except ValidationError as error:
            raise UsageError("This names no rater", "Load the page again.") from error
        with self._lock:
            if rater and rater not in self._sessions:
                raise UsageError("This test is a new one", "Press Start to begin.")
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
        """The stimulus that a word stands for, as WAV."""
        with self._lock:
            session = self._sessions.get(rater)
            found = session.tokens.get(word) if session else None
        return None if found is None else self._stimulus(*found)

    def answer(self, body: bytes) -> int:
        """Take an answer; the number of trials that are left.

        Raises:
            UsageError: it is no answer to a trial of this rater, or the trial was answered before.
            InfrastructureFault: it could not be written.
        """
        try:
            answer = _Answer.model_validate_json(body)
        except ValidationError as error:
            raise UsageError("This is no answer", "Load the page again.") from error
        with self._lock:
            session = self._sessions.get(answer.rater)
            if session is None or answer.trial >= len(session.trials):
                raise UsageError("This test is not known any more", "Load the page again.")
            if answer.trial not in session.answered:
                trial = session.trials[answer.trial]
                append_votes(self._folder, votes_of(self._test, answer.rater, trial, answer.scores))
                session.answered.add(answer.trial)
            return len(session.trials) - len(session.answered)

    def check(self) -> None:
        """See that everything that will be played is there.

        Raises:
            UsageError: a signal is missing or broken.
        """
        for clip in self._test.clips:
            for condition in self._test.conditions:
                try:
                    self._stimulus(clip, condition)
                except InfrastructureFault as fault:
                    raise UsageError(str(fault), "Choose other clips or entries.") from fault

    def _new_rater(self) -> str:
        if len(self._sessions) >= MAX_RATERS:
            raise UsageError("The test is full", "Ask its organiser to start it anew.")
        rater = secrets.token_hex(8)
        session = _Session(trials_for(self._test, secrets.randbits(48)))
        for trial in session.trials:
            words = [self._word(session, trial.clip, condition) for condition in trial.stimuli]
            open_reference = self._test.method == "mushra"
            reference = self._word(session, trial.clip, REFERENCE) if open_reference else None
            session.shown.append({"stimuli": words, "reference": reference})
        self._sessions[rater] = session
        return rater

    def _word(self, session: _Session, clip: str, condition: str) -> str:
        word = secrets.token_urlsafe(9)
        session.tokens[word] = (clip, condition)
        return word

    def _rendered(self, clip: str, condition: str) -> bytes:
        clean = self._audio(REFERENCE, clip)
        audio = clean if condition == LOW_ANCHOR else self._audio(condition, clip)
        if condition == LOW_ANCHOR:
            audio = low_passed(audio)
        return wav_bytes(at_level(audio, clean))

    def _audio(self, signal: str, clip: str) -> Audio:
        path = self._competition.signal(signal, clip)
        if path is None:
            raise InfrastructureFault(f"{signal} has no audio of clip {clip}")
        return read_wav(path)


def at_level(audio: Audio, clean: Audio) -> Audio:
    """The signal at -26 dB over the parts where the clean one is active, and no sample over full scale.

    Active: 20 ms parts within 30 dB of the loudest. The same parts are used for every version of a clip.
    """
    size = round(0.02 * clean.sample_rate_hz)
    count = min(len(clean), len(audio)) // size
    power = np.square(clean.samples[: count * size].astype(np.float64)).reshape(count, size).mean(axis=1)
    own = np.square(audio.samples[: count * size].astype(np.float64)).reshape(count, size).mean(axis=1)
    active = power > power.max(initial=0.0) * 1e-3
    level = float(own[active].mean()) if active.any() else 0.0
    gain = 10 ** (LEVEL_DB / 20) / np.sqrt(level) if level > 0 else 1.0
    peak = float(np.abs(audio.samples).max(initial=0.0))
    gain = min(gain, 0.99 / peak) if peak > 0 else gain
    samples: Samples = (audio.samples * np.float32(gain)).astype(np.float32)
    return Audio(samples, audio.sample_rate_hz)


def low_passed(audio: Audio) -> Audio:
    """The anchor of BS.1534: nothing above 3.5 kHz."""
    from scipy.signal import butter, sosfiltfilt

    sections = butter(10, LOW_PASS_HZ, fs=audio.sample_rate_hz, output="sos")
    samples: Samples = sosfiltfilt(sections, audio.samples.astype(np.float64)).astype(np.float32)
    return Audio(samples, audio.sample_rate_hz)


def wav_bytes(audio: Audio) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, pcm16(audio.samples), audio.sample_rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def listening_app(room: ListeningRoom) -> FastAPI:
    """The test as an ASGI application.

    Raises:
        UsageError: FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import Response
    except ImportError as error:
        raise UsageError("The server needs FastAPI", "pip install soundsright") from error

    app = FastAPI(title="SoundsRight listening test", docs_url=None, redoc_url=None, openapi_url=None)
    page = Frame().page("listen.html.j2", "", title="Listening test", test=room.test)
    assets = {name: asset(name) for name in ASSETS}
    fresh = {**HEADERS, "Cache-Control": "no-store"}

    def said(status: int, **values: object) -> Response:
        return Response(json.dumps(values), status, fresh, "application/json")

    def foreign(request: Request) -> bool:
        """Whether another site's page sends this: a browser says so itself."""
        kind = request.headers.get("content-type", "").partition(";")[0]
        return request.headers.get("sec-fetch-site", "same-origin") != "same-origin" or kind != "application/json"

    async def asked(request: Request, what: Callable[[bytes], dict[str, Any]]) -> Response:
        if foreign(request):
            return said(403, problem="Only this page may ask.")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                return said(413, problem="That is no answer.")
        try:
            return said(200, **await run_in_threadpool(what, body))
        except UsageError as error:
            return said(400, problem=str(error))
        except InfrastructureFault as fault:
            return said(503, problem=str(fault))

    def home(request: Request) -> Response:
        return Response(page.body, 200, fresh, page.media_type)

    def static(request: Request) -> Response:
        found = assets.get(request.path_params["name"])
        if found is None:
            return said(404, problem="There is no such file.")
        return Response(found.body, 200, {**HEADERS, "Cache-Control": "max-age=3600"}, found.media_type)

    async def enter(request: Request) -> Response:
        return await asked(request, room.enter)

    def sound(request: Request) -> Response:
        try:
            found = room.sound(request.path_params["rater"], request.path_params["word"])
        except InfrastructureFault as fault:
            return said(500, problem=str(fault))
        return (
            said(404, problem="There is no such sound.")
            if found is None
            else Response(found, 200, fresh, "audio/wav")
        )

    async def answer(request: Request) -> Response:
        return await asked(request, lambda body: {"left": room.answer(body)})

    app.add_route("/", home, methods=["GET"])
    app.add_route("/assets/{name}", static, methods=["GET"])
    app.add_route("/api/enter", enter, methods=["POST"])
    app.add_route("/api/answer", answer, methods=["POST"])
    app.add_route("/api/sound/{rater}/{word}.wav", sound, methods=["GET"])
    return app


def chosen_clips(competition: RunCompetition, entries: tuple[str, ...], count: int) -> tuple[str, ...]:
    """The clips that have all the audio, those first whose scores lie furthest apart over these entries.

    Raises:
        UsageError: there is none.
    """
    needed = (REFERENCE, ANCHOR, *entries)
    usable = [c for c in competition.clip_ids if all(competition.signal(name, c) is not None for name in needed)]
    if not usable:
        raise UsageError("No clip has audio of every chosen entry", "Choose other entries.")
    metric = next(iter(competition.paid_metrics), None)
    by_key = {entry.key: entry for entry in competition.entries}

    def spread(clip: str) -> float:
        values = [by_key[key].scores.get(clip, {}).get(metric or "") for key in entries]
        known = [value for value in values if value is not None]
        return max(known) - min(known) if known else 0.0

    return tuple(sorted(sorted(usable, key=lambda clip: (-spread(clip), clip))[:count]))
