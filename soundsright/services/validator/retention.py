"""Removes the files of old rounds from a validator's disk.

Results stay, in the database and as documents. Sets can be drawn again from the seed and the corpus. Enhanced
audio, models and envelopes are useful while a round may be examined, so those of the latest rounds are kept. Times
are in seconds.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from soundsright.core.ports import ModelHub, StateStore
from soundsright.services.rounds import PRIVATE_FOLDER, fetched_contents, steps

KEPT_ROUNDS = 3
_SPARED_S = 3_600.0
"""Younger envelopes are kept, because a process may be about to record them."""

_log = logging.getLogger(__name__)


class ArtifactStore(Protocol):
    """Files named by their SHA-256.

    Raises, in every method: StateUnavailable.
    """

    def put_bytes(self, content: bytes) -> str: ...
    def read(self, digest: str) -> bytes | None: ...
    def collect(self, keep: Collection[str], *, older_than_s: float) -> tuple[str, ...]: ...


def forget_old_rounds(
    state: StateStore,
    *,
    folder: Path,
    hub: ModelHub,
    artifacts: ArtifactStore,
    keep: int,
    now_s: float,
) -> None:
    """Remove sets, enhanced audio, models and envelopes of all rounds but the latest `keep`.

    `folder` has a folder per round, named by its id. Call it only while no round runs.

    Raises:
        InfrastructureFault: something cannot be removed.
        ValueError: `keep` is not positive.
    """
    if keep < 1:
        raise ValueError(f"keep={keep}: at least one round must be kept")
    rounds = state.rounds()
    latest = rounds[-keep:]
    for round_id in rounds[:-keep]:
        for audio in _audio_folders(folder / round_id):
            shutil.rmtree(audio, ignore_errors=True)
    models = hub.forget(set(fetched_contents(state, latest)))
    envelopes = artifacts.collect(set(_envelope_digests(state, latest)), older_than_s=now_s - _SPARED_S)
    if models or envelopes:
        facts = {"action": "forgotten", "models": models, "envelopes": len(envelopes)}
        _log.info("old rounds forgotten", extra=facts)


def _audio_folders(round_folder: Path) -> Iterator[Path]:
    """The folders with the audio of a round. The manifests of a private round stay: they are published later."""
    private = round_folder / PRIVATE_FOLDER
    yield round_folder / "enhanced"
    yield private / "enhanced"
    if private.is_dir():
        yield from private.glob("sets/*/*/")
        yield from round_folder.glob("sets/*/*/")
    else:
        yield round_folder / "sets"


def _envelope_digests(state: StateStore, rounds: Sequence[str]) -> Iterator[str]:
    for round_id in rounds:
        feedback = steps.read(state, round_id, steps.FEEDBACK)
        yield from feedback.envelopes.values() if feedback else ()
