"""What a validator's disk holds of the rounds that are over, and how it gets rid of it.

Results stay, in the database and as documents. Sets can be drawn again from the seed, and answers, models and
envelopes are of use as long as a round may be looked into: those of the last rounds are kept. Times are in seconds.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from soundsright.core.ports import ModelHub, StateStore
from soundsright.services.rounds import entry_id_of

KEPT_ROUNDS = 3
_SPARED_S = 3_600.0  # What was written just now may be about to be recorded.

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
    """Remove sets, answers, models and envelopes of all but the latest `keep` rounds.

    `folder` holds a folder per round, named by its id. Not while a round runs.

    Raises:
        InfrastructureFault: something cannot be removed.
        ValueError: `keep` is not positive.
    """
    if keep < 1:
        raise ValueError(f"{keep} rounds cannot be kept; keep at least one")
    rounds = state.rounds()
    kept = rounds[-keep:]
    for round_id in rounds[:-keep]:
        for name in ("sets", "enhanced"):
            shutil.rmtree(folder / round_id / name, ignore_errors=True)
    models = hub.forget(set(_contents(state, kept)))
    envelopes = artifacts.collect(set(_envelopes(state, kept)), older_than_s=now_s - _SPARED_S)
    if models or envelopes:
        facts = {"action": "forgotten", "models": models, "envelopes": len(envelopes)}
        _log.info("old rounds forgotten", extra=facts)


def _contents(state: StateStore, rounds: Sequence[str]) -> Iterator[str]:
    """The content hashes of the rounds' models."""
    for round_id in rounds:
        for submission in (state.step_done(round_id, "entries") or {}).get("submissions", ()):
            fetched = state.step_done(round_id, f"fetch:{entry_id_of(submission)}") or {}
            if "content_hash" in fetched and "refusal" not in fetched:
                yield fetched["content_hash"]


def _envelopes(state: StateStore, rounds: Sequence[str]) -> Iterator[str]:
    for round_id in rounds:
        yield from (state.step_done(round_id, "feedback") or {}).values()
