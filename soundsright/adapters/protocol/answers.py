"""A model's answer to one clip, from the WAV file that it returned. Both protocols, HTTP and files, use this.

Signals are float32 arrays of shape `(n,)`, full scale ±1; sizes are in bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from soundsright.core.errors import AudioRejected
from soundsright.core.ports import Answer, DegradedClip
from soundsright.core.results import Failure
from soundsright.core.wav import HEADER_ALLOWANCE_BYTES, WavRefused, decode_wav
from soundsright.metrics import checked_enhanced

_WIDEST_SAMPLE_BYTES = 8
_CLIP_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True)
class BatchAnswers:
    """The answers to a batch, in its order, and how many seconds the harness waited for the model."""

    answers: tuple[Answer, ...]
    waited_s: float


def answer_of(clip: DegradedClip, files: Mapping[str, bytes | None]) -> Answer:
    """The answer to a clip among the returned files, where None stands for a file above its size limit."""
    name = f"{clip.clip_id}.wav"
    try:
        if name not in files:
            raise AudioRejected(clip.clip_id, "missing", f"the model returned no {name}")
        data = files[name]
        if data is None:
            raise AudioRejected(
                clip.clip_id, "length", f"{name} is larger than {max_wav_bytes(clip)} bytes, the most for this clip"
            )
        wav = decode_wav(data)
        return Answer(clip.clip_id, checked_enhanced(clip.clip_id, wav.samples, wav.sample_rate_hz, clip.audio))
    except WavRefused as e:
        return Answer(clip.clip_id, failure=Failure("format", f"{name}: {e}"))
    except AudioRejected as e:
        return Answer(clip.clip_id, failure=Failure(e.code, str(e)))


def max_wav_bytes(clip: DegradedClip) -> int:
    """The size of a clip's WAV in the widest coding, with its header."""
    return len(clip.audio) * _WIDEST_SAMPLE_BYTES + HEADER_ALLOWANCE_BYTES


def wav_name(clip_id: str) -> str:
    """The name of a clip's WAV file.

    Raises:
        ValueError: if the id cannot be part of a file name.

    >>> wav_name("clip-1")
    'clip-1.wav'
    """
    if not _CLIP_ID.fullmatch(clip_id):
        raise ValueError(f"clip id {clip_id!r} cannot name a file: use 1 to 100 letters, digits, - and _")
    return f"{clip_id}.wav"
