"""The signed feedback of a round: written once, recorded by its hash, and read back for delivery."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from soundsright.core.ports import Account, StateStore
from soundsright.services.records import sign_feedback
from soundsright.services.rounds import steps
from soundsright.services.validator.retention import ArtifactStore

_log = logging.getLogger(__name__)


def record_feedback(
    state: StateStore,
    artifacts: ArtifactStore,
    round_id: str,
    documents: Mapping[str, Mapping[str, object]],
    account: Account,
) -> None:
    """Sign each miner's document and record the hashes of the envelopes by hotkey.

    This happens once per round. A miner may already have the first envelope, so it must not change.

    Raises:
        StateUnavailable: an envelope cannot be written.
    """
    if steps.read(state, round_id, steps.FEEDBACK) is None:
        digests = {
            hotkey: artifacts.put_bytes(sign_feedback(document, account).encode())
            for hotkey, document in documents.items()
        }
        steps.write(state, round_id, steps.FEEDBACK, steps.FeedbackStep(digests))


def recorded_feedback(state: StateStore, artifacts: ArtifactStore, round_id: str) -> dict[str, bytes]:
    """The envelopes by hotkey. An envelope that is missing from the disk or damaged is logged and left out.

    Raises:
        StateUnavailable: they cannot be read.
    """
    record = steps.read(state, round_id, steps.FEEDBACK)
    envelopes = {}
    for hotkey, digest in (record.envelopes if record else {}).items():
        envelope = artifacts.read(digest)
        if envelope is None:
            _log.error("feedback is lost", extra={"action": "feedback_lost", "round": round_id, "hotkey": hotkey})
        else:
            envelopes[hotkey] = envelope
    return envelopes
