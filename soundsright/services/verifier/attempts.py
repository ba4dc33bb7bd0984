"""Attempts after they are recorded: their counters, the evidence of failures, and the audio of the last failures.

An attempt is recorded first and counted under its own key, so a verifier that is killed in between counts it once.
Levels are in dB, times in seconds.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soundsright.core.audio import Audio
from soundsright.core.errors import InfrastructureFault
from soundsright.core.tiers import FAILURES_STREAM, Attempt, AttemptKind, CountName, stats_scope
from soundsright.core.wav import encode_wav
from soundsright.ranking import similarity_threshold_db
from soundsright.services.rounds import PRIVATE_FOLDER, make_folder, make_private
from soundsright.services.verifier.asking import Asked
from soundsright.services.verifier.context import VerifierContext

_log = logging.getLogger(__name__)

_SAFE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_STEM = re.compile(r"(\d{8})-(\d{4})\.question\.wav")
_COUNTS = {
    AttemptKind.CHALLENGE: (CountName.CHALLENGE_ATTEMPTS, CountName.CHALLENGE_SUCCESSES),
    AttemptKind.INFERENCE: (CountName.INFERENCE_ATTEMPTS, CountName.INFERENCE_SUCCESSES),
}


def count_attempts(context: VerifierContext, attempts: Iterable[Attempt]) -> None:
    """Count attempts. A repeat counts nothing twice.

    Raises:
        StateUnavailable: the counters do not answer. Call it again.
    """
    for attempt in attempts:
        context.counters.add(stats_scope(attempt.hotkey), deltas_of(attempt), once=attempt.once)


def deltas_of(attempt: Attempt) -> dict[str, int]:
    """The counters that an attempt raises, each by one."""
    attempts, successes = _COUNTS[attempt.kind]
    passed = (successes, CountName.TOTAL_INTERVAL_SUCCESSES, CountName.TOTAL_SUCCESSES)
    names = (attempts, CountName.REQUESTS, *(passed if attempt.result.passed else ()))
    return {name.value: 1 for name in names}


def record_failures(context: VerifierContext, failures: Iterable[Mapping[str, Any]]) -> None:
    """Record the facts of failed attempts. A repeat changes nothing.

    Raises:
        StateUnavailable: the records do not answer. Call it again.
    """
    for facts in failures:
        key = f"{facts['interval']}:{facts['hotkey']}:{facts['number']}"
        context.records.append(FAILURES_STREAM, key, facts)


def failure_facts(context: VerifierContext, attempt: Attempt, failed: Asked) -> dict[str, Any]:
    """The evidence of a failed attempt: both digests, the measurements, and the prover's signature.

    With the body of the answer, anybody can check by the signature that the prover sent it.
    """
    bank, measured, signed = failed.ask.bank, failed.verification, failed.signed
    return {
        **attempt.facts(),
        "tier": failed.ask.tier,
        "clip_id": bank.clip_ids[failed.ask.number],
        "competition": bank.entrant.submission.competition.id,
        "content_hash": bank.entrant.entry.content_hash,
        "threshold_db": similarity_threshold_db(context.rules, failed.ask.tier, bank.repeat_db),
        "gain_db": _finite(measured.gain_db),
        "cosine": _finite(measured.cosine),
        "code": failed.code,
        "status": None if failed.answer is None else failed.answer.status,
        "signed": None
        if signed is None
        else {
            "nonce": str(signed.nonce),
            "sender": signed.sender,
            "status": signed.status,
            "body_sha256": signed.body_sha256,
            "signature": signed.signature,
            "is_valid": signed.is_valid,
        },
    }


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def keep_failed_audio(context: VerifierContext, interval: int, failed: Asked) -> None:
    """Keep the answer of a failure beside the own answer and the question, and remove the oldest ones.

    What cannot be kept does no harm: the record has the digests.
    """
    if not _SAFE.fullmatch(failed.ask.hotkey):
        return  # A name of a private chain that is no name of a folder.
    folder = context.failures_folder / failed.ask.hotkey
    stem = f"{interval:08d}-{failed.ask.number:04d}"
    try:
        make_private(context.failures_folder.parent)
        make_folder(folder)
        samples = failed.own.samples.astype(np.float32) / np.float32(32768.0)
        _write(folder / f"{stem}.own.wav", encode_wav(Audio(samples, failed.own.sample_rate_hz)))
        _write(folder / f"{stem}.question.wav", failed.ask.bank.question(failed.ask.number))
        if failed.answer is not None and failed.answer.audio:
            _write(folder / f"{stem}.answer.wav", failed.answer.audio)
        stems = sorted({path.name[: len(stem)] for path in folder.iterdir()})
        for old in stems[: -context.kept_failures]:
            for path in folder.glob(f"{old}.*"):
                path.unlink(missing_ok=True)
    except (OSError, InfrastructureFault) as error:
        _log.warning("a failed answer is not kept: %s", error, extra={"action": "failure_not_kept"})


@dataclass(frozen=True)
class KeptFailure:
    """The files of a failed attempt: the question, the verifier's own answer, and the prover's if it sent audio."""

    interval: int
    number: int
    question: Path
    own: Path
    answer: Path | None


def failures_in(folder: Path) -> Path:
    """The folder of the kept failures in a verifier's folder."""
    return folder / PRIVATE_FOLDER / "failures"


def kept_failures(failures_folder: Path, hotkey: str) -> tuple[KeptFailure, ...]:
    """The kept failures of a prover, the oldest first. A stranger may have written the hotkey.

    The files have recordings that may not be heard by others yet, and bytes that the prover chose.
    """
    folder = failures_folder / hotkey
    if not _SAFE.fullmatch(hotkey) or not folder.is_dir():
        return ()
    found = []
    for path in sorted(folder.iterdir()):
        named = _STEM.fullmatch(path.name)
        if named is None:
            continue
        stem = path.name.removesuffix(".question.wav")
        own, answer = folder / f"{stem}.own.wav", folder / f"{stem}.answer.wav"
        if own.is_file():
            found.append(KeptFailure(int(named[1]), int(named[2]), path, own, answer if answer.is_file() else None))
    return tuple(found)


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(data)
        partial.chmod(0o600)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
