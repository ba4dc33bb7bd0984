"""The last failures of a prover by ear: the question, the verifier's own answer, and the prover's.

A clip is private until its interval's seed is opened, and longer if one of its recordings is. What is not known to
be open is not shown. A prover chose the bytes of its answer, so they are decoded and written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from soundsright.core.audio import Audio
from soundsright.core.competition import SAMPLE_RATES_HZ
from soundsright.core.wav import WavRefused, mono_pcm16
from soundsright.services.drawing import flac_bytes
from soundsright.services.records import is_plain_file
from soundsright.services.verifier import TiersHistory, kept_failures

MAX_WAV_BYTES = 32 << 20
QUESTION, OWN, ANSWER = "question", "own", "answer"


@dataclass(frozen=True)
class HeardFailure:
    """A failed attempt with its signals by name. `is_readable` is False if the prover sent no audio to play."""

    interval: int
    number: int
    signals: Mapping[str, Path]
    is_readable: bool

    @cached_property
    def name(self) -> str:
        """The start of its files' names."""
        return f"{self.interval}-{self.number}"


def heard_failures(history: TiersHistory, folder: Path | None, hotkey: str) -> tuple[HeardFailure, ...]:
    """The failures of a prover that anybody may hear, oldest first."""
    found = []
    for kept in kept_failures(folder, hotkey) if folder is not None else ():
        if not _is_open(history, kept.interval, hotkey, kept.number):
            continue
        paths = {QUESTION: kept.question, OWN: kept.own}
        if kept.answer is not None:
            paths[ANSWER] = kept.answer
        signals = {name: path for name, path in paths.items() if _samples(path) is not None}
        if QUESTION in signals and OWN in signals:
            found.append(HeardFailure(kept.interval, kept.number, signals, ANSWER in signals))
    return tuple(found)


def signal_flac(path: Path) -> bytes | None:
    """A kept WAV as FLAC; None if it is not mono with 16 bits at a rate of a competition."""
    read = _samples(path)
    return None if read is None else flac_bytes(read)


def _is_open(history: TiersHistory, interval: int, hotkey: str, number: int) -> bool:
    """Whether the interval's seed is opened, and the clip has no recording that is private for longer."""
    seed, past = history.seeds.get(interval), history.past(interval)
    failure = history.failure(interval, hotkey, number)
    if seed is None or not seed.opens or past is None or failure is None:
        return False
    bank = past.banks.get(hotkey)
    return bank is not None and failure.get("clip_id") in bank.open_clips


def _samples(path: Path) -> Audio | None:
    try:
        if not is_plain_file(path) or path.stat().st_size > MAX_WAV_BYTES:
            return None
        samples, rate_hz = mono_pcm16(path.read_bytes())
    except (WavRefused, OSError):
        return None
    if rate_hz not in SAMPLE_RATES_HZ or not len(samples):
        return None
    return Audio(samples.astype(np.float32) / np.float32(32768.0), rate_hz)
