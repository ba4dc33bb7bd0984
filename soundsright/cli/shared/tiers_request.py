"""One recording of a listener: what is sent, what comes back, and the sentence about who answered.

Times are in seconds unless a name says otherwise. Nothing that comes back is trusted.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from soundsright.core.errors import AudioFileError, PeerUnavailable, UsageError, printable
from soundsright.core.ss58 import is_address
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.core.tiers_rules import TIER_NAMES
from soundsright.core.wav import HEADER_ALLOWANCE_BYTES, WavRefused, encode_wav, mono_pcm16

if TYPE_CHECKING:
    from soundsright.core.audio import Audio
    from soundsright.core.ports import Reply

MAX_REQUEST_S = 3_600.0
"""The longest recording that is sent."""
_FACTS_BYTES, _FACTS_TIMEOUT_S = 1_000_000, 15.0
_MAX_DEPTH = 4
_RATES_HZ = (1_000, 384_000)
_MAX_SENTENCE_CHARS = 300


@dataclass(frozen=True)
class GivenAnswer:
    """A WAV, the prover that gave it, and the time from sending the recording on.

    `tier` is empty if it is unknown. `is_verified` says whether the prover's last answer to a verifier passed; None
    if no verifier watched this request.
    """

    wav: bytes
    hotkey: str
    tier: str
    latency_ms: float
    is_verified: bool | None

    @property
    def sentence(self) -> str:
        """The sentence that names the prover, its latency, and whether a verifier checks it."""
        checked = {
            True: "verified: its last answer to the verifier passed",
            False: "not verified: its last answer to the verifier did not pass, or none was checked yet",
            None: "not verified: ask a verifier's gateway with --gateway for that",
        }[self.is_verified]
        tier = f" ({self.tier})" if self.tier else ""
        return f"{self.hotkey}{tier} answered in {self.latency_ms:.0f} ms; {checked}."


def check_files(recording: Path, out: Path) -> None:
    """Check before anybody is asked that the answer can be written, and not over the recording.

    Raises:
        UsageError: it cannot.
    """
    if out.exists() and recording.exists() and out.samefile(recording):
        raise UsageError(f"--out {out} is the recording itself", "Give another file.")
    folder = out.absolute().parent
    if out.is_dir() or (out.exists() and not out.is_file()) or not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--out {out} cannot be written", "Give a file in a folder that you may write to.")


def sent_recording(path: Path, rate_hz: int) -> Audio:
    """The recording at the rate of a competition, rounded to 16 bits.

    Raises:
        UsageError: it is no recording, or it is too long.
    """
    from soundsright.core.audio import Audio, on_pcm16_grid
    from soundsright.data import facts_of, read_file, resampled

    duration_s = facts_of(path).duration_s
    if duration_s is not None and duration_s > MAX_REQUEST_S:
        raise AudioFileError(path, f"is {duration_s:.0f} s long; the limit is {MAX_REQUEST_S:.0f} s", "Split it.")
    recording = read_file(path)
    if len(recording.samples) > MAX_REQUEST_S * recording.sample_rate_hz:
        raise AudioFileError(path, f"is longer than {MAX_REQUEST_S:.0f} s", "Split it.")
    samples = on_pcm16_grid(resampled(recording.samples, recording.sample_rate_hz, rate_hz))
    if not len(samples):
        raise AudioFileError(path, f"has no samples at {rate_hz} Hz")
    return Audio(samples, rate_hz)


def write_answer(out: Path, wav: bytes) -> None:
    """Write the answer in one step, so that nothing half-written stays."""
    from soundsright.data import written_atomically

    with written_atomically(out) as stream:
        stream.write(wav)


class GatewayClient:
    """A verifier's gateway at an address, with a listener's key."""

    def __init__(self, url: str, key: str | None, *, timeout_s: float = 60.0) -> None:
        parts = urlsplit(url)
        self._url = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path.rstrip("/")
        self._headers = {} if key is None else {"X-Api-Key": key}
        self._timeout_s = timeout_s

    def rate_hz(self, competition: str) -> int:
        """The rate of a competition, by its name; of the gateway's first one if the name is empty.

        Raises:
            UsageError: the gateway has no such competition.
            PeerUnavailable: it does not answer, or is no gateway.
        """
        reply = self._reply("GET", f"/v1/provers{_query(competition)}", b"", "", _FACTS_TIMEOUT_S, _FACTS_BYTES)
        rate_hz = _fields(reply.body).get("sample_rate_hz")
        if type(rate_hz) is not int or not _RATES_HZ[0] <= rate_hz <= _RATES_HZ[1]:
            raise self._no_gateway()
        return rate_hz

    def enhanced(self, audio: Audio, competition: str) -> GivenAnswer:
        """The answer of a prover that the gateway chose.

        Raises:
            UsageError: the gateway refuses the recording or the key.
            PeerUnavailable: no prover answers, or the answer is none.
        """
        limit = 2 * len(audio.samples) + HEADER_ALLOWANCE_BYTES
        path, wav = f"/v1/enhance{_query(competition)}", encode_wav(audio)
        reply = self._reply("POST", path, wav, "audio/wav", self._timeout_s, limit)
        try:
            samples, rate_hz = mono_pcm16(reply.body)
        except WavRefused:
            raise self._no_gateway() from None
        if rate_hz != audio.sample_rate_hz or len(samples) != len(audio.samples):
            raise PeerUnavailable(f"{self._url} sent an answer of another rate or length", code="bad_answer")
        headers = reply.headers
        hotkey, tier = headers.get("x-prover", ""), headers.get("x-tier", "")
        latency_ms = _milliseconds(headers.get("x-latency-ms", ""))
        if not is_address(hotkey) or latency_ms is None:
            raise self._no_gateway()
        verified = headers.get("x-verified") == "true"
        return GivenAnswer(reply.body, hotkey, tier if tier in TIER_NAMES else "", latency_ms, verified)

    def _reply(self, method: str, path: str, body: bytes, kind: str, timeout_s: float, max_bytes: int) -> Reply:
        from soundsright.adapters.peers import request

        headers = self._headers | ({"Content-Type": kind} if kind else {})
        reply = request(
            self._url,
            method,
            self._prefix + path,
            body=body,
            headers=headers,
            timeout_s=timeout_s,
            max_bytes=max(max_bytes, _FACTS_BYTES),
        )
        if reply.status == 200:
            return reply
        sentence = _fields(reply.body).get("sentence")
        reason = printable(sentence)[:_MAX_SENTENCE_CHARS].rstrip(".") if isinstance(sentence, str) else ""
        if reply.status == 401:
            own = "does not know the key in TIERS_API_KEY" if self._headers else "needs a key"
            raise UsageError(f"The gateway {self._url} {own}", "Set TIERS_API_KEY to a key of its operator.")
        if not reason:
            raise PeerUnavailable(f"{self._url}{path} answered with status {reply.status}", code="not_gateway")
        if reply.status in (400, 404, 413, 422):
            raise UsageError(
                f"The gateway {self._url} refuses the request: {reason}", "Change it, then send it again."
            )
        raise PeerUnavailable(f"The gateway {self._url} says: {reason}", "Try again in a moment.", code="refused")

    def _no_gateway(self) -> PeerUnavailable:
        remedy = "Give the address that `soundsright tiers verify` prints, without /try."
        return PeerUnavailable(f"{self._url} does not answer as a gateway does", remedy, code="not_gateway")


def _query(competition: str) -> str:
    return f"?competition={quote(competition, safe='')}" if competition else ""


def _fields(body: bytes) -> dict[str, object]:
    """The fields of a JSON object; none if the body is something else."""
    try:
        values = strict_json(body, max_depth=_MAX_DEPTH)
    except NotStrictJson:
        return {}
    return values if isinstance(values, dict) else {}


def _milliseconds(text: str) -> float | None:
    try:
        value = float(text[:32])
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
