"""The signed verdict: what a validator says about the miners in one task, as one object of its bucket.

The document is canonical JSON in the envelope of all signed documents, so one content has one text and one digest.
A verdict comes from a peer, which may be hostile: `open_verdict` bounds everything in it, and `check_verdict` holds
it against what is known of its task. Sizes are in bytes, blocks are counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from soundsright.core.errors import RequestRefused
from soundsright.core.federation import JudgedRow, StatedMaterial, Verdict, has_passed
from soundsright.core.ports import Account
from soundsright.core.sources import Source, source_of
from soundsright.services.federation.documents import (
    SignedDocument,
    check_keys,
    floats_of,
    list_of,
    object_of,
    read_or_refuse,
)
from soundsright.services.records import DocumentKind, ValidSignature, open_document, sign_document

VERDICT = DocumentKind("verdict of a task", "soundsright.verdict/1")
MAX_VERDICT_BYTES = 2 << 20
"""The most bytes of a verdict. One over 256 miners has about 130 000."""

_VERDICT_KEYS = frozenset(
    {"schema", "task", "validator", "block", "block_hash", "allowlist", "rules", "sets", "unprocessed", "rows"}
    | {"previous", "material"}
)
_MATERIAL_KEYS = frozenset({"digest", "public", "committed_block", "speech"})
_ROW_KEYS = frozenset(
    {"competition", "hotkey", "uid", "model", "block", "passed", "failures", "means", "answers"} | {"salt"}
)
_BLOCK_HASH = re.compile(r"(?:0x)?[0-9a-f]{64}")


@dataclass(frozen=True)
class SignedVerdict(SignedDocument):
    """A verdict whose signature was verified."""

    verdict: Verdict


@dataclass(frozen=True)
class TaskFacts:
    """The facts of a task, which must stand in each verdict of it.

    `validators` and `allowlist` are the list that holds for the task, and its digest. `block_hash` is the hash of
    the task's first block. `rules` is the digest of all rules that decide. `sampler` gives the validator whose turn
    a block is; None if the block is not of this task. `sets` are the digests of the sets, if this machine has drawn
    them; otherwise they are not compared. A verdict that is certainly absent once `late_block` is final is not
    listed later. `ranges` are the least and the greatest score of each metric that decides.
    """

    task: int
    validators: tuple[str, ...]
    allowlist: str
    rules: str
    block_hash: str
    competitions: frozenset[str]
    clips: int
    sampler: Callable[[int], str | None]
    sets: Mapping[str, str] | None = None
    late_block: int = 2**63
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def sign_verdict(verdict: Verdict, account: Account) -> bytes:
    """The verdict in its envelope, as it is published."""
    return sign_document(VERDICT, verdict_facts(verdict), account).encode()


def open_verdict(raw: bytes, *, valid_signature: ValidSignature) -> SignedVerdict:
    """Verify an envelope, and read the verdict in it. Nothing is known yet of its task.

    Raises:
        RequestRefused: `too_large`, `malformed`, `bad_signature`, or `wrong_signer`.
    """
    opened = open_document(VERDICT, raw, valid_signature=valid_signature, max_bytes=MAX_VERDICT_BYTES)
    verdict = read_or_refuse(VERDICT, _verdict_of, opened.facts)
    if verdict.validator != opened.signer:
        raise RequestRefused("wrong_signer", f"A verdict of {verdict.validator} is signed by {opened.signer}")
    return SignedVerdict(opened.envelope, raw, verdict)


def check_verdict(verdict: Verdict, known: TaskFacts, *, validator: str, finalized: int) -> None:
    """Check that this is the verdict of `validator` on the task, made in its turn and not after `finalized`.

    Raises:
        RequestRefused: `wrong_task`, `wrong_signer`, `from_future`, `wrong_turn`, `wrong_allowlist`, `wrong_rules`,
            `wrong_seed`, `wrong_set`, `wrong_rows` or `wrong_score`.
    """
    if verdict.validator != validator or validator not in known.validators:
        raise RequestRefused("wrong_signer", f"This is a verdict of {verdict.validator}, not of {validator}")
    if verdict.task != known.task:
        raise RequestRefused("wrong_task", f"This is a verdict on task {verdict.task}, not on {known.task}")
    if verdict.block > finalized:
        raise RequestRefused(
            "from_future", f"The verdict is of block {verdict.block}, and {finalized} is the last final one"
        )
    if known.sampler(verdict.block) != validator:
        raise RequestRefused("wrong_turn", f"Block {verdict.block} is not in a turn of {validator} at this task")
    if verdict.allowlist != known.allowlist:
        raise RequestRefused("wrong_allowlist", "The verdict was made for another allowlist")
    if verdict.rules != known.rules:
        raise RequestRefused("wrong_rules", "The verdict was made by other rules")
    if hash_digits(verdict.block_hash) != hash_digits(known.block_hash):
        raise RequestRefused("wrong_seed", "The verdict names another hash of the task's first block")
    _check_sets(verdict, known)
    for means in (*verdict.unprocessed.values(), *(row.means for row in verdict.rows)):
        _check_ranges(means, known.ranges)


def hash_digits(block_hash: str) -> str:
    """The digits of a block's hash, without the mark that some chains write before them."""
    return block_hash.removeprefix("0x")


def _check_sets(verdict: Verdict, known: TaskFacts) -> None:
    if verdict.sets.keys() != known.competitions:
        raise RequestRefused("wrong_set", "The verdict is on other competitions than the rules name")
    if known.sets is not None and dict(verdict.sets) != dict(known.sets):
        raise RequestRefused("wrong_set", "The verdict was made on other clips than the task's seed gives")
    for row in verdict.rows:
        if row.failures > known.clips:
            raise RequestRefused("wrong_rows", f"A row of {row.competition} has an impossible number of failures")
        if row.block > verdict.block:
            raise RequestRefused("wrong_rows", f"A row of {row.competition} has an entry from after the verdict")


def _check_ranges(means: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]) -> None:
    for metric, (low, high) in ranges.items():
        if metric in means and not low <= means[metric] <= high:
            raise RequestRefused(
                "wrong_score", f"A mean of {metric} is {means[metric]}, and its scores are from {low} to {high}"
            )


def verdict_facts(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON values: the document."""
    return {
        "schema": VERDICT.schema,
        "task": verdict.task,
        "validator": verdict.validator,
        "block": verdict.block,
        "block_hash": verdict.block_hash,
        "allowlist": verdict.allowlist,
        "rules": verdict.rules,
        "sets": dict(verdict.sets),
        "unprocessed": {name: dict(means) for name, means in verdict.unprocessed.items()},
        "rows": [row_facts(row) for row in verdict.rows],
        "previous": verdict.previous,
        "material": None if verdict.material is None else _material_facts(verdict.material),
    }


def row_facts(row: JudgedRow) -> dict[str, Any]:
    """A row as JSON values."""
    return {
        "competition": row.competition,
        "hotkey": row.hotkey,
        "uid": row.uid,
        "model": row.model.facts(),
        "block": row.block,
        "passed": row.passed,
        "failures": row.failures,
        "means": dict(row.means),
        "answers": row.answers,
        "salt": row.salt,
    }


def _material_facts(material: StatedMaterial) -> dict[str, Any]:
    return {
        "digest": material.digest,
        "public": list(material.public),
        "committed_block": material.committed_block,
        "speech": dict(material.speech),
    }


def _material_of(facts: Mapping[str, Any]) -> StatedMaterial:
    check_keys(facts, _MATERIAL_KEYS)
    public, speech = tuple(list_of(facts["public"])), object_of(facts["speech"])
    return StatedMaterial(facts["digest"], public, facts["committed_block"], speech)


def _verdict_of(facts: Mapping[str, Any]) -> Verdict:
    check_keys(facts, _VERDICT_KEYS)
    unprocessed = {name: floats_of(means) for name, means in object_of(facts["unprocessed"]).items()}
    rows = tuple(_row_of(object_of(row)) for row in list_of(facts["rows"]))
    if any(row.means.keys() != unprocessed[row.competition].keys() for row in rows):
        raise ValueError("a row has means of other metrics than the unprocessed input")
    if any(row.passed != has_passed(row.means, unprocessed[row.competition], row.failures) for row in rows):
        raise ValueError("a row says that it passed or failed, and its means and failures say the opposite")
    if _BLOCK_HASH.fullmatch(facts["block_hash"]) is None:
        raise ValueError("block_hash is no hash")
    if not isinstance(facts["previous"], str):
        raise TypeError("previous is no text")
    return Verdict(
        task=facts["task"],
        validator=facts["validator"],
        block=facts["block"],
        block_hash=facts["block_hash"],
        allowlist=facts["allowlist"],
        rules=facts["rules"],
        sets=object_of(facts["sets"]),
        unprocessed=unprocessed,
        rows=rows,
        previous=facts["previous"],
        material=None if facts["material"] is None else _material_of(object_of(facts["material"])),
    )


def _row_of(facts: Mapping[str, Any]) -> JudgedRow:
    check_keys(facts, _ROW_KEYS)
    return JudgedRow(
        competition=facts["competition"],
        hotkey=facts["hotkey"],
        uid=facts["uid"],
        model=_source_of(facts["model"]),
        block=facts["block"],
        passed=facts["passed"],
        failures=facts["failures"],
        means=floats_of(facts["means"]),
        answers=facts["answers"],
        salt=facts["salt"],
    )


def _source_of(facts: object) -> Source:
    """The source of a model. The same one is in the verdicts of many tasks, and is made once."""
    if type(facts) is list and len(facts) == 3:
        return _hub_source(*facts)
    return source_of(facts)


@lru_cache(maxsize=8_192)
def _hub_source(namespace: object, name: object, revision: object) -> Source:
    return source_of([namespace, name, revision])
