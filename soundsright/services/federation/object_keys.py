"""The keys of the objects in a validator's bucket. A task is a number, an epoch the number of its block."""

from __future__ import annotations

ALLOWLIST_KEY = "allowlist/v1.json"
"""The present allowlist, in the owner's bucket."""
CLAIMS = "claims/"
"""The beginning of the keys of claims."""
SAMPLER_KEY = "sampler.json"
"""The beat of the sampler that writes to the bucket."""


def allowlist_key(sha256: str) -> str:
    """The allowlist of that digest in the owner's bucket, which stays when another one follows."""
    return f"allowlist/{sha256}.json"


def verdict_key(task: int, validator: str) -> str:
    """The verdict of a validator. It is created last, so its presence says that the task is complete.

    >>> verdict_key(12, "5Vera")
    '12/evaluation_results/5Vera.json'
    """
    return f"{task}/evaluation_results/{validator}.json"


def metadata_key(task: int) -> str:
    """The subject of the task, for people and pages."""
    return f"{task}/metadata.json"


def claim_key(task: int) -> str:
    """The claim of a task, which one machine creates before anything else of it."""
    return f"{CLAIMS}{task}.json"


def evidence_key(task: int, validator: str) -> str:
    """A proof that a validator signed two verdicts on one task."""
    return f"evidence/{task}-{validator}.json"


def view_key(epoch_block: int, validator: str) -> str:
    """The view of a validator as of the block of an epoch."""
    return f"views/{epoch_block}/{validator}.json"


def mirror_key(sha256: str) -> str:
    """The copy of a verdict, a view or a proof, by the digest of its document."""
    return f"mirror/{sha256}.json"
