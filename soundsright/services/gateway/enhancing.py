"""One recording through the best prover that answers. Times are in seconds, sizes in bytes.

Nothing of a listener reaches a prover but samples, and nothing of a prover reaches a listener but samples: headers
of files are written again. A prover that fails is asked last for a while.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Audio
from soundsright.core.competition import Competition
from soundsright.core.errors import PeerUnavailable, RequestRefused, printable
from soundsright.core.ports import ProverAnswer, Provers, Question
from soundsright.core.tiers import new_request_id
from soundsright.core.wav import HEADER_ALLOWANCE_BYTES, WavRefused, encode_wav, mono_pcm16
from soundsright.services.gateway.settings import GatewayLimits
from soundsright.services.verifier import ServingProver, ServingProvers

RETRY_AFTER_S = 5
_REST_S = 30.0
_AT_ONCE = 4
_MOST_FAILURES = 4_096
_LEAST_S = 0.5
_SEED_BITS = 31


@dataclass(frozen=True)
class Enhanced:
    """An answer: the WAV, who gave it, and how long it took from the recording on."""

    wav: bytes
    prover: ServingProver
    latency_ms: float


class Gateway:
    """Puts recordings to provers. Any thread may use it.

    It asks provers of `competitions`, the first of which is meant where a listener names none. `new_seed` draws the
    seed of a question, of 31 bits as a verifier's.
    """

    def __init__(
        self,
        serving: ServingProvers,
        provers: Provers,
        competitions: Sequence[Competition],
        limits: GatewayLimits,
        *,
        new_seed: Callable[[], int] = lambda: secrets.randbits(_SEED_BITS),
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        if not competitions:
            raise ValueError("a gateway serves at least one competition")
        self.competitions = tuple(competitions)
        self.limits = limits
        self._serving = serving
        self._provers = provers
        self._new_seed = new_seed
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._asked: Counter[str] = Counter()
        self._failed_s: dict[str, float] = {}

    def competition(self, name: str) -> Competition:
        """The competition of that name, or the first one.

        Raises:
            RequestRefused: `no_competition`.
        """
        for competition in self.competitions:
            if name in ("", competition.id):
                return competition
        names = ", ".join(each.id for each in self.competitions)
        raise RequestRefused("no_competition", f"There is no {printable(name)[:80]} here, only {names}", status=404)

    def max_body_bytes(self, *, is_demo: bool) -> int:
        """The size of the largest WAV that a listener can send."""
        highest_hz = max(each.sample_rate_hz for each in self.competitions)
        return int(2 * highest_hz * self.limits.audio_s(is_demo)) + HEADER_ALLOWANCE_BYTES

    def enhance(self, wav: bytes, competition: Competition, *, is_demo: bool = False) -> Enhanced:
        """The enhanced recording.

        Raises:
            RequestRefused: `malformed`, `rate` or `too_large`; `no_prover` if none answers.
            StateUnavailable: the counters do not answer, so nobody was asked.
        """
        began_s = self._monotonic_s()
        audio = recording(wav, competition, self.limits.audio_s(is_demo))
        clean = encode_wav(audio)
        tried: set[str] = set()
        while len(tried) < self.limits.tries:
            left_s = self.limits.total_s - (self._monotonic_s() - began_s)
            prover = self._next_prover(competition, tried) if left_s > _LEAST_S else None
            if prover is None:
                break
            tried.add(prover.hotkey)
            samples = self._samples_of(prover, clean, audio, min(left_s, self.limits.timeout_s))
            if samples is not None:
                answer = encode_wav(Audio(samples.astype(np.float32) / np.float32(32_768), audio.sample_rate_hz))
                return Enhanced(answer, prover, 1_000 * (self._monotonic_s() - began_s))
        raise no_prover(competition)

    def best_provers(self, competition: Competition) -> list[ServingProver]:
        """The provers of a competition that can be asked now, best first."""
        return self._in_order(self._serving.best_provers(competition.id))

    def _next_prover(self, competition: Competition, tried: Collection[str]) -> ServingProver | None:
        """The best prover that was not tried, with the request counted. None if there is none.

        Raises:
            StateUnavailable: the counters do not answer.
        """
        for prover in self.best_provers(competition):
            if prover.hotkey not in tried and self.take_request(prover):
                return prover
        return None

    def take_request(self, prover: ServingProver) -> bool:
        """Count a listener's request to a prover, before it is sent. False if its tier allows no more.

        Raises:
            StateUnavailable: the counters do not answer.
        """
        return self._serving.take_request(prover.hotkey)

    def _in_order(self, provers: Sequence[ServingProver]) -> list[ServingProver]:
        """The provers, best first. Those that failed lately or have much to do for listeners come later."""
        now_s = self._monotonic_s()
        with self._lock:
            resting = {hotkey for hotkey, failed_s in self._failed_s.items() if now_s - failed_s < _REST_S}
            asked = dict(self._asked)
        return sorted(provers, key=lambda each: (each.hotkey in resting, asked.get(each.hotkey, 0) // _AT_ONCE))

    def note_failure(self, hotkey: str) -> None:
        """Ask this prover last for a while."""
        with self._lock:
            self._failed_s.pop(hotkey, None)
            self._failed_s[hotkey] = self._monotonic_s()
            if len(self._failed_s) > _MOST_FAILURES:
                self._failed_s.pop(next(iter(self._failed_s)))

    def _samples_of(
        self, prover: ServingProver, wav: bytes, audio: Audio, timeout_s: float
    ) -> NDArray[np.int16] | None:
        """The samples of a prover's answer; None if it gave no good one."""
        question = Question(new_request_id(), prover.competition, self._new_seed(), wav)
        with self._lock:
            self._asked[prover.hotkey] += 1
        try:
            answer = self._provers.inference(
                prover.prover,
                question,
                timeout_s=timeout_s,
                max_audio_bytes=2 * len(audio.samples) + HEADER_ALLOWANCE_BYTES,
            )
        except PeerUnavailable:
            answer = None
        finally:
            with self._lock:
                self._asked -= Counter({prover.hotkey: 1})
        samples = None if answer is None else _checked(answer, audio)
        if samples is None:
            self.note_failure(prover.hotkey)
        return samples


def recording(wav: bytes, competition: Competition, max_s: float) -> Audio:
    """The recording in a listener's WAV.

    Raises:
        RequestRefused: `malformed`, `rate` or `too_large`.
    """
    rate_hz = competition.sample_rate_hz
    try:
        samples, given_hz = mono_pcm16(wav)
    except WavRefused as error:
        problem = f"Send a mono 16-bit WAV at {rate_hz} Hz; this one cannot be read: {printable(str(error))[:200]}"
        raise RequestRefused("malformed", problem, status=422) from None
    if given_hz != rate_hz:
        raise RequestRefused("rate", f"The recording has {given_hz} Hz; send one at {rate_hz} Hz", status=422)
    if not len(samples):
        raise RequestRefused("malformed", "The recording has no samples", status=422)
    if len(samples) > max_s * rate_hz:
        raise RequestRefused("too_large", f"A recording may have at most {max_s:g} s", status=413)
    return Audio(samples.astype(np.float32) / np.float32(32_768), rate_hz)


def no_prover(competition: Competition) -> RequestRefused:
    """The refusal where no prover answers."""
    return RequestRefused(
        "no_prover",
        f"No prover of {competition.id} answered; try again in a moment",
        status=503,
        retry_after_s=RETRY_AFTER_S,
    )


def _checked(answer: ProverAnswer, audio: Audio) -> NDArray[np.int16] | None:
    """The samples of a signed answer of the right form; None for any other."""
    if answer.status != 200 or not answer.signed.is_valid:
        return None
    try:
        samples, rate_hz = mono_pcm16(answer.audio)
    except WavRefused:
        return None
    return samples if rate_hz == audio.sample_rate_hz and len(samples) == len(audio.samples) else None
