"""Short clips, a sandbox with small models, and provers in memory, for tests and drivers of the verifier.

Signals are float32 `(n,)`, full scale ±1. Clips are smooth noise as speech, with white noise added. The models
smooth the input with a window of so many samples. So a wider window is another model, and its errors differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from soundsright.core.audio import Audio, Samples, digest_of_digests, on_pcm16_grid, pcm16
from soundsright.core.errors import InfrastructureFault, PeerUnavailable
from soundsright.core.ports import (
    Answer,
    AnswerSignature,
    DegradedClip,
    Prover,
    ProverAnswer,
    Question,
    SandboxLimits,
)
from soundsright.core.results import Timing
from soundsright.core.signed_http import answer_text
from soundsright.core.submission import FetchedModel
from soundsright.core.wav import encode_wav, mono_pcm16
from soundsright.services.rounds import DrawnClips, SetRequest, write_wav

CLIP_SAMPLES = 2_000
ANSWER_S = 0.5
_NOISE = 0.02

Model = Callable[[Samples], Samples]


def smoothing(width: int) -> Model:
    """A model that smooths with a window of so many samples."""
    window = np.hanning(width + 2)[1:-1]
    window /= window.sum()

    def model(samples: Samples) -> Samples:
        return on_pcm16_grid(np.convolve(samples, window, mode="same"))

    return model


def draw_short_clips(request: SetRequest, indices: Sequence[int]) -> DrawnClips:
    """Replaces `draw_to_disk`: clips of 2000 samples that follow from the seed and their number."""
    digests = {}
    for index in indices:
        clip_id = f"clip-{index:04d}"
        rng = np.random.default_rng((request.seed, index))
        clean = on_pcm16_grid(2.0 * smoothing(24)(rng.standard_normal(CLIP_SAMPLES).astype(np.float32) * 0.2))
        noisy = on_pcm16_grid(clean + _NOISE * rng.standard_normal(CLIP_SAMPLES).astype(np.float32))
        for kind, signal in (("clean", clean), ("degraded", noisy)):
            write_wav(request.folder / kind / f"{clip_id}.wav", Audio(signal, request.competition.sample_rate_hz))
        digests[clip_id] = digest_of_digests({clip_id: f"{request.seed}:{index}"})
    return DrawnClips(digests, {i: {} for i in digests}, dict.fromkeys(digests, 1.0), 0.0)


class SmallModels:
    """The `Sandbox` port for small models, by the hash of their content. `runs` counts the clips that each ran.

    A model with an `unsteady` level adds noise of that level to its answers, other noise at each start.
    """

    name = "small"
    isolated = False

    def __init__(self, models: Mapping[str, Model], unsteady: Mapping[str, float] | None = None) -> None:
        self.models = models
        self.unsteady = dict(unsteady or {})
        self.runs: dict[str, int] = {}
        self.starts = 0
        self.fault: Exception | None = None

    def prepare(self, model: FetchedModel) -> None:
        """Do nothing: no image is built."""

    @contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[_RunningSmallModel]:
        if self.fault is not None:
            raise self.fault
        self.starts += 1
        yield _RunningSmallModel(self, model.content_hash, self.starts)

    def stop(self) -> None:
        """Do nothing: there are no processes."""


class _RunningSmallModel:
    timing = Timing()

    def __init__(self, sandbox: SmallModels, content_hash: str, start: int) -> None:
        self._sandbox, self._content_hash, self._start = sandbox, content_hash, start

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        sandbox, own = self._sandbox, self._content_hash
        sandbox.runs[own] = sandbox.runs.get(own, 0) + len(batch)
        return tuple(self._answer(clip) for clip in batch)

    def _answer(self, clip: DegradedClip) -> Answer:
        samples = self._sandbox.models[self._content_hash](clip.audio.samples)
        level = self._sandbox.unsteady.get(self._content_hash, 0.0)
        if level:
            rng = np.random.default_rng((self._start, len(clip.audio)))
            samples = on_pcm16_grid(samples + level * rng.standard_normal(len(samples)))
        return Answer(clip.clip_id, Audio(samples, clip.audio.sample_rate_hz), elapsed_s=0.01)


class Manner(StrEnum):
    """The way in which a prover answers."""

    HONEST = "honest"
    OTHER_THREADS = "other_threads"
    """The last bits of its samples differ, as sums in another order make them."""
    INPUT = "input"
    BETTER = "better"
    """It runs a better model than the one it committed to."""
    LOUDER = "louder"
    CACHED = "cached"
    """It answers every question as the first one."""
    PROXY = "proxy"
    """It asks the model of another prover."""
    DRIP = "drip"
    CRASH = "crash"
    BUSY = "busy"
    """It answers 429."""
    REDIRECT = "redirect"
    UNSIGNED = "unsigned"
    SHORT = "short"
    NO_WAV = "no_wav"
    TOO_LARGE = "too_large"
    UNREACHABLE = "unreachable"


@dataclass
class SmallProver:
    """A prover of a small model. `other` is the model that it runs if it does not run its own."""

    model: Model
    manner: Manner = Manner.HONEST
    other: Model = field(default_factory=lambda: smoothing(5))
    time_s: float = ANSWER_S
    first: bytes = b""


class SmallProvers:
    """The `Provers` port in memory, over provers by hotkey. `asked` lists the requests as (hotkey, kind).

    A signature is the SHA-256 of hotkey and text: `valid` checks one. `fault` is raised in place of asking.
    """

    SENDER = "verifier"

    def __init__(self, provers: Mapping[str, SmallProver]) -> None:
        self.provers = provers
        self.asked: list[tuple[str, str]] = []
        self.questions: list[Question] = []
        self.fault: InfrastructureFault | None = None

    def challenge(
        self, prover: Prover, question: Question, *, timeout_s: float, max_audio_bytes: int
    ) -> ProverAnswer:
        return self._answer(prover, question, "challenge", timeout_s, max_audio_bytes)

    def inference(
        self, prover: Prover, question: Question, *, timeout_s: float, max_audio_bytes: int
    ) -> ProverAnswer:
        return self._answer(prover, question, "inference", timeout_s, max_audio_bytes)

    def _answer(
        self, place: Prover, question: Question, kind: str, timeout_s: float, max_audio_bytes: int
    ) -> ProverAnswer:
        if self.fault is not None:
            raise self.fault
        self.asked.append((place.hotkey, kind))
        self.questions.append(question)
        prover = self.provers[place.hotkey]
        match prover.manner:
            case Manner.DRIP:
                raise PeerUnavailable(f"no answer within {timeout_s:g} s", code="timeout")
            case Manner.CRASH:
                raise PeerUnavailable("it ended the connection", code="disconnected")
            case Manner.UNREACHABLE:
                raise PeerUnavailable("no route to host", code="unreachable")
            case Manner.TOO_LARGE:
                raise PeerUnavailable(f"it sent more than {max_audio_bytes} bytes", code="too_large")
            case Manner.BUSY:
                return self._signed(place.hotkey, 429, b"", prover)
            case Manner.REDIRECT:
                return self._signed(place.hotkey, 307, b"", prover)
        return self._signed(place.hotkey, 200, _audio(prover, question.audio), prover)

    def _signed(self, hotkey: str, status: int, body: bytes, prover: SmallProver) -> ProverAnswer:
        text = answer_text(1, self.SENDER, status, body)
        is_valid = prover.manner is not Manner.UNSIGNED
        signature = "0x" + hashlib.sha256(hotkey.encode() + text).hexdigest() if is_valid else ""
        signed = AnswerSignature(1, self.SENDER, status, hashlib.sha256(body).hexdigest(), signature, is_valid)
        return ProverAnswer(status, body, prover.time_s, signed, "model", 0.0, prover.time_s)


def _audio(prover: SmallProver, asked: bytes) -> bytes:
    """The WAV with which a prover answers."""
    pcm, rate = mono_pcm16(asked)
    samples = pcm.astype(np.float32) / np.float32(32768.0)
    own = prover.model(samples)
    match prover.manner:
        case Manner.OTHER_THREADS:
            nudged = pcm16(own).astype(np.int32) + (np.arange(len(own)) % 97 == 0)
            own = np.clip(nudged, -32768, 32767).astype(np.float32) / np.float32(32768.0)
        case Manner.INPUT:
            own = samples
        case Manner.BETTER | Manner.PROXY:
            own = prover.other(samples)
        case Manner.LOUDER:
            own = on_pcm16_grid(own * np.float32(1.26))
        case Manner.SHORT:
            own = own[:-1]
        case Manner.NO_WAV:
            return b"RIFF\x00\x00\x00\x00WAVEfmt "
    body = encode_wav(Audio(own, rate))
    if prover.manner is Manner.CACHED:
        prover.first = prover.first or body
        return prover.first
    return body


def model_folder(folder: Path) -> Path:
    """A folder with the files of a model, for `FakeHub`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text("FROM base\n")
    return folder
