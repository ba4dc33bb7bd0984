"""The claim of a task: the first object of a task in the own bucket, which only one machine can create.

    claims/TASK.json    {"claim":"RANDOM","schema":"soundsright.claim/1","task":7,"validator":"5Vera"}

The machine that created it writes the audio and the verdict of the task. A second machine with the same hotkey,
which has a state of its own, gives up the task and overwrites nothing. The claims also name the tasks among which
a validator finds its last verdict, if its state does not know it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import suppress

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import BucketExists, BucketMissing, BucketTooLarge, InfrastructureFault
from soundsright.core.ports import Bucket
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.services.federation.object_keys import CLAIMS, claim_key, verdict_key
from soundsright.services.federation.verdict import MAX_VERDICT_BYTES, VERDICT

CLAIM_SCHEMA = "soundsright.claim/1"
MAX_CLAIMS = 100_000
"""So many claims are listed. One validator of four makes 6,600 in a year."""
MAX_LOOKED = 1_000
"""So many tasks without a verdict are passed over when the last verdict is looked for."""
MAX_REMOVED = 20
"""So many old claims are removed after a task."""

_log = logging.getLogger(__name__)


def claim_task(bucket: Bucket, task: int, validator: str, claim: str) -> bool:
    """Claim the task by a random text of this machine. Returns False if another machine has claimed it.

    Claiming it again with the same text is safe.

    Raises:
        BucketForbidden, BucketUnavailable, BucketUnsuitable: the bucket fails.
    """
    facts = {"schema": CLAIM_SCHEMA, "task": task, "validator": validator, "claim": claim}
    raw = f"{canonical_json(facts)}\n".encode()
    try:
        bucket.put(claim_key(task), raw, create=True)
    except BucketExists:
        try:
            return bucket.get(claim_key(task), len(raw)) == raw
        except BucketTooLarge:
            return False
    return True


def last_verdict(bucket: Bucket, validator: str, tasks: range) -> str | None:
    """The digest of the validator's verdict on the last of these tasks on which the own bucket has one.

    Raises:
        BucketForbidden, BucketUnavailable: the bucket does not answer.
    """
    claimed = sorted((task for task in _claimed(bucket) if task in tasks), reverse=True)
    for task in claimed[:MAX_LOOKED]:
        try:
            raw = bucket.get(verdict_key(task, validator), MAX_VERDICT_BYTES)
        except (BucketMissing, BucketTooLarge):
            continue
        digest = _digest(raw, task, validator)
        if digest is not None:
            return digest
        _log.warning("the own bucket has a damaged verdict", extra={"action": "damaged_verdict", "task": task})
    return None


def remove_old_claims(bucket: Bucket) -> None:
    """Remove all but the newest `MAX_LOOKED` claims from the own bucket, some at a time. Their tasks are long over.

    What cannot be removed does no harm, and is tried again after the next task.
    """
    with suppress(InfrastructureFault, BucketMissing):
        for task in sorted(_claimed(bucket))[:-MAX_LOOKED][:MAX_REMOVED]:
            bucket.delete(claim_key(task))


def _claimed(bucket: Bucket) -> Iterator[int]:
    try:
        listed = bucket.list(CLAIMS, MAX_CLAIMS)
    except BucketTooLarge:
        _log.warning("claims/ has too many objects to list", extra={"action": "claims_too_large"})
        return
    for item in listed:
        task = item.key.removeprefix(CLAIMS).removesuffix(".json")
        if task.isdecimal():
            yield int(task)


def _digest(raw: bytes, task: int, validator: str) -> str | None:
    """The digest of the verdict in an envelope; None if it is not one of the validator on the task."""
    try:
        envelope = strict_json(raw)
        document = envelope["document"]
        facts = strict_json(document.encode())
        if (envelope["schema"], facts["task"], facts["validator"]) != (VERDICT.schema, task, validator):
            return None
    except (NotStrictJson, AttributeError, KeyError, TypeError, ValueError):
        return None
    return hashlib.sha256(document.encode()).hexdigest()
