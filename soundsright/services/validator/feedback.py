"""A round's signed feedback: written once, recorded by its hash, and read back for delivery."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from soundsright.core.ports import Account, StateStore
from soundsright.services.records import sign_feedback
from soundsright.services.validator.retention import ArtifactStore

_log = logging.getLogger(__name__)


def record_feedback(
    state: StateStore,
    artifacts: ArtifactStore,
    round_id: str,
    documents: Mapping[str, Mapping[str, object]],
    account: Account,
) -> None:
    """Sign each miner's document, and record the envelopes' hashes by hotkey.

    Once: what a miner may have received stays what this validator said, so what is recorded is not signed anew.

    Raises:
        StateUnavailable: an envelope cannot be written.
    """
    if state.step_done(round_id, "feedback") is None:
        digests = {
            hotkey: artifacts.put_bytes(sign_feedback(document, account).encode())
            for hotkey, document in documents.items()
        }
        state.finish_step(round_id, "feedback", digests)


def recorded_feedback(state: StateStore, artifacts: ArtifactStore, round_id: str) -> dict[str, bytes]:
    """The envelopes by hotkey. One that is not on the disk any more, or not as it was, is told and left out.

    Raises:
        StateUnavailable: they cannot be read.
    """
    found = {}
    for hotkey, digest in (state.step_done(round_id, "feedback") or {}).items():
        envelope = artifacts.read(digest)
        if envelope is None:
            _log.error("feedback is lost", extra={"action": "feedback_lost", "round": round_id, "hotkey": hotkey})
        else:
            found[hotkey] = envelope
    return found
