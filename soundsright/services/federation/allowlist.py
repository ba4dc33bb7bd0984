"""The owner's list of validators: one object in the owner's bucket, and its digest on the chain.

A validator reads it as of the block of an epoch, and believes only the list with the digest that the owner was
committed to in that block. Otherwise it has no list. It then samples nothing and keeps its weights. Blocks are
counted, sizes are in bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from soundsright.core.errors import BucketMissing, BucketTooLarge, SoundsRightError
from soundsright.core.federation import MAX_VALIDATORS, allowlist_json
from soundsright.core.federation_commitments import LEOMA, OWN, allowlist_commitment_in
from soundsright.core.ports import Bucket, LiveChain
from soundsright.core.profiles import Profile
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.services.federation.contents import Contents
from soundsright.services.federation.object_keys import ALLOWLIST_KEY, allowlist_key

MAX_ALLOWLIST_BYTES = 65_536

_HOTKEY = re.compile(r"[A-Za-z0-9]{1,64}")


@dataclass(frozen=True)
class Allowlist:
    """The validators in the order of their turns, the blocks of a task, and the digest that stands for both."""

    validators: tuple[str, ...]
    interval: int
    digest: str


class NoListReason(StrEnum):
    """The reason why there is no list."""

    NO_OWNER = "no_owner"
    NO_COMMITMENT = "no_commitment"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    OTHER_HASH = "other_hash"
    MALFORMED = "malformed"
    OTHER_INTERVAL = "other_interval"


@dataclass(frozen=True)
class NoAllowlist:
    """There is no list as of a block. `sentence` says why, for the operator."""

    reason: NoListReason
    sentence: str


def allowlist_prefix(profile: Profile) -> str:
    """The first word of the owner's commitment: the original's in the profiles that follow it."""
    return OWN if profile is Profile.SOUNDSRIGHT else LEOMA


def read_allowlist(
    chain: LiveChain, bucket: Bucket, block: int, *, profile: Profile, interval: int, contents: Contents
) -> Allowlist | NoAllowlist:
    """The allowlist as of a final block.

    A list that was read before comes from `contents`, so that it stays known when the owner publishes another one.

    Raises:
        ChainUnavailable: the chain does not answer, or no longer knows that block.
        InfrastructureFault: this machine's disk fails.
    """
    owner = chain.owner()
    if owner is None:
        return NoAllowlist(NoListReason.NO_OWNER, "The chain has no owner, so nobody can commit to a list.")
    text = next((each.digest for each in chain.snapshot(block).commitments if each.hotkey == owner), "")
    committed = allowlist_commitment_in(text)
    if committed is None or committed.prefix != allowlist_prefix(profile):
        return NoAllowlist(
            NoListReason.NO_COMMITMENT,
            f"The owner {owner} was committed to no list of validators in block {block}. The owner runs"
            " `soundsright federation validator publish`.",
        )
    found = _content(bucket, committed.sha256, contents)
    return found if isinstance(found, NoAllowlist) else parsed_allowlist(found, interval)


def parsed_allowlist(raw: bytes, interval: int) -> Allowlist | NoAllowlist:
    """The list in the bytes, if it is one, canonical, and for turns of `interval` blocks."""
    try:
        facts = strict_json(raw, 3)
        validators, blocks = facts["validators"], facts["interval"]
        if not all(isinstance(each, str) and _HOTKEY.fullmatch(each) for each in validators):
            raise ValueError("a validator is no hotkey")
        if not 1 <= len(validators) <= MAX_VALIDATORS or len(set(validators)) != len(validators):
            raise ValueError("too many or none, or one twice")
        if type(blocks) is not int or allowlist_json(validators, blocks).encode() != raw:
            raise ValueError("not canonical")
    except (NotStrictJson, KeyError, TypeError, ValueError):
        return NoAllowlist(NoListReason.MALFORMED, "The owner's list of validators has another form.")
    if blocks != interval:
        return NoAllowlist(
            NoListReason.OTHER_INTERVAL,
            f"The owner's list is for tasks of {blocks} blocks, and these rules have {interval}. The owner"
            " publishes a list for the same rules.",
        )
    return Allowlist(tuple(validators), blocks, hashlib.sha256(raw).hexdigest())


def _content(bucket: Bucket, sha256: str, contents: Contents) -> bytes | NoAllowlist:
    """The bytes of that digest: from the disk, the present list, or the copy that stays when another follows."""
    kept = contents.get(sha256)
    if kept is not None:
        return kept
    is_other = False
    for key in (ALLOWLIST_KEY, allowlist_key(sha256)):
        try:
            raw = bucket.get(key, MAX_ALLOWLIST_BYTES)
        except BucketMissing:
            continue
        except BucketTooLarge:
            is_other = True
            continue
        except SoundsRightError as error:
            return NoAllowlist(NoListReason.UNREADABLE, f"The owner's list of validators cannot be read: {error}")
        if hashlib.sha256(raw).hexdigest() == sha256:
            contents.put(sha256, raw)
            return raw
        is_other = True
    if is_other:
        return NoAllowlist(
            NoListReason.OTHER_HASH,
            f"The owner's list of validators is not the one that the owner committed to ({sha256[:16]}). The owner"
            " publishes it again.",
        )
    return NoAllowlist(NoListReason.MISSING, "The owner's bucket has no list of validators.")


def publish_allowlist(
    raw: bytes, bucket: Bucket, commit: Callable[[str], None], *, profile: Profile, interval: int
) -> str:
    """Publish the owner's list, and commit to it with `commit`, which gets the text for the chain.

    Returns the list's digest. The copy that stays comes first, so it is found also when another list follows.

    Raises:
        ValueError: these bytes are no list for `interval`.
        BucketUnavailable, BucketForbidden: the bucket cannot be written. Publishing again is safe.
    """
    listed = parsed_allowlist(raw, interval)
    if isinstance(listed, NoAllowlist):
        raise ValueError(listed.sentence)
    bucket.put(allowlist_key(listed.digest), raw)
    bucket.put(ALLOWLIST_KEY, raw)
    commit(f"{allowlist_prefix(profile)}:allowlist:v1:{listed.digest}")
    return listed.digest
