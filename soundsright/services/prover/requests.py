"""The body of a challenge or an inference: JSON with a recording in it. Sizes are in bytes, rates in Hz.

Signals are float32 arrays of shape `(n,)`, full scale ±1.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from soundsright.core.audio import Audio
from soundsright.core.errors import RequestRefused, printable
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.core.tiers import ServedModel
from soundsright.core.wav import HEADER_ALLOWANCE_BYTES, WavRefused, mono_pcm16

_FIELDS = {"schema", "request_id", "competition", "seed", "audio"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ENVELOPE_BYTES = 2_000
_MAX_SEED_CHARS = 128
_MAX_SEED = 2**64


@dataclass(frozen=True, eq=False)
class AudioRequest:
    """A recording that a caller wants enhanced."""

    request_id: str
    audio: Audio


def max_request_bytes(served: ServedModel) -> int:
    """The size of the largest body: the longest recording in base64, with its header and the other fields."""
    wav_bytes = 2 * _max_samples(served) + HEADER_ALLOWANCE_BYTES
    return 4 * -(-wav_bytes // 3) + _ENVELOPE_BYTES


def audio_request(body: bytes, schema: str, served: ServedModel) -> AudioRequest:
    """The recording in a body of that schema.

    Raises:
        RequestRefused: `malformed`; `rate`, if it has another rate than the model's; `too_large`.
    """
    try:
        values = strict_json(body, max_depth=2)
    except NotStrictJson as error:
        raise _malformed(f"the body: {error.fault}") from None
    if not isinstance(values, dict) or values.keys() != _FIELDS:
        raise _malformed(f"the body: its fields are not {', '.join(sorted(_FIELDS))}")
    if values["schema"] != schema:
        raise _malformed(f"schema: it is not {schema}")
    request_id = values["request_id"]
    if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        raise _malformed("request_id: use 1 to 128 letters, digits, - and _")
    if values["competition"] != served.competition:
        raise _malformed(f"competition: this model is of {served.competition}")
    if not _is_seed(values["seed"]):
        raise _malformed("seed: give a whole number of 64 bits, or a text of at most 128 characters")
    return AudioRequest(request_id, _audio(values["audio"], served))


def _is_seed(seed: Any) -> bool:
    if isinstance(seed, str):
        return len(seed) <= _MAX_SEED_CHARS
    return type(seed) is int and 0 <= seed < _MAX_SEED


def _audio(text: Any, served: ServedModel) -> Audio:
    if not isinstance(text, str):
        raise _malformed("audio: it is not a text")
    try:
        samples, rate_hz = mono_pcm16(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        problem = str(error) if isinstance(error, WavRefused) else "it is not base64"
        raise _malformed(f"audio: {printable(problem)[:200]}") from None
    if rate_hz != served.sample_rate_hz:
        raise RequestRefused(
            "rate", f"The audio has {rate_hz} Hz, the model {served.sample_rate_hz} Hz", status=422
        )
    if len(samples) > _max_samples(served):
        raise RequestRefused("too_large", f"A recording may have at most {served.max_audio_s:g} s", status=413)
    if not len(samples):
        raise _malformed("audio: it has no samples")
    return Audio(samples.astype(np.float32) / np.float32(32_768), rate_hz)


def _max_samples(served: ServedModel) -> int:
    return int(served.max_audio_s * served.sample_rate_hz)


def _malformed(problem: str) -> RequestRefused:
    return RequestRefused("malformed", problem, status=422)
