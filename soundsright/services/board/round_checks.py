"""The checks of a round, as its page shows them: the signed record, and the replays of others.

Everything is verified when the page is drawn. A badge says of one validator how deep it replayed the round and with
what result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.errors import BundleRefused, UsageError
from soundsright.services.records import (
    RECORD,
    OpenedRound,
    RoundBundle,
    ValidSignature,
    committed_block,
    has_record,
    open_bundle,
)
from soundsright.services.replay import Attestation, Depth, SampleFacts, read_attestations

_DEPTHS = {
    Depth.DECIDE: "decisions and weights",
    Depth.SCORE: "scores, decisions and weights",
    Depth.RUN: "answers, scores, decisions and weights",
}
_ORDER = tuple(_DEPTHS)
RESULTS = {False: "different", True: "same", None: "not checked"}
"""The word for a result, in the order in which results count. Nothing of a bundle without audio can be scored."""
_RANK = tuple(RESULTS)
_SHOWN_NOTES = 10


@dataclass(frozen=True)
class Replay:
    """One replay of a validator. `result` is a value of `RESULTS`, `file` the name of the attestation's file.

    `difference` is a sentence, empty if there is none, and `sample` a phrase.
    """

    depth: str
    result: str
    checked: str
    unchecked: int
    difference: str
    sample: str
    file: str


@dataclass(frozen=True)
class Badge:
    """The replays of one validator, the one that counts first: a difference, otherwise the deepest.

    `uid` is its uid when entries closed; None if it was not registered.
    """

    signer: str
    uid: int | None
    is_signer_of_round: bool
    replays: tuple[Replay, ...]

    @property
    def result(self) -> str:
        """The result that counts."""
        return self.replays[0].result


@dataclass(frozen=True)
class RoundChecks:
    """The known facts of a round's record. `signer` is None if nobody signed it.

    `block` is that of the commitment, as the record names it. `notes` say what was not taken, and why.
    """

    sha256: str
    signer: str | None
    uid: int | None
    is_verified: bool
    block: int | None
    badges: tuple[Badge, ...]
    notes: tuple[str, ...]


def round_checks(folder: Path, valid_signature: ValidSignature | None) -> RoundChecks | str | None:
    """Read what checks the round in a run's folder; a sentence if its record is wrong, and None if it has none.

    Without `valid_signature`, no signature is verified, and no replays are shown.
    """
    if not has_record(folder):
        return None
    try:
        with open_bundle(folder / RECORD, valid_signature=valid_signature) as bundle:
            opened, block, uids = bundle.opened, committed_block(bundle.store), _uids(bundle)
    except (BundleRefused, UsageError):
        return "The record of this round is damaged, or its signature is wrong. Do not rely on it."
    notes: list[str] = []
    badges: tuple[Badge, ...] = ()
    if valid_signature is not None:
        badges = _badges(folder, opened, uids, valid_signature, notes)
    more = len(notes) - _SHOWN_NOTES
    shown = (*notes[:_SHOWN_NOTES], f"and {more} more") if more > 0 else tuple(notes)
    uid = uids.get(opened.signer or "")
    return RoundChecks(opened.sha256, opened.signer, uid, valid_signature is not None, block, badges, shown)


def _uids(bundle: RoundBundle) -> Mapping[str, int]:
    """The uid of each hotkey that was registered when entries closed."""
    registered = bundle.plan.get("registrations")
    uids: dict[str, int] = {}
    for uid, values in registered.items() if isinstance(registered, dict) else ():
        if uid.isdecimal() and len(uid) <= 5 and isinstance(values, list) and values:
            uids[str(values[0])] = int(uid)
    return uids


def attestations_of(folder: Path, valid_signature: ValidSignature | None) -> dict[str, bytes]:
    """The attestations in a run's folder that are about its record, by the names of their files."""
    if valid_signature is None or not has_record(folder):
        return {}
    try:
        with open_bundle(folder / RECORD) as bundle:
            sha256 = bundle.opened.sha256
    except (BundleRefused, UsageError):
        return {}
    found = read_attestations(folder, valid_signature=valid_signature)
    return {each.name: each.raw for each in found.attestations if each.facts.bundle == sha256}


def _badges(
    folder: Path,
    opened: OpenedRound,
    uids: Mapping[str, int],
    valid_signature: ValidSignature,
    notes: list[str],
) -> tuple[Badge, ...]:
    found = read_attestations(folder, valid_signature=valid_signature)
    notes.extend(found.problems)
    by_signer: dict[str, list[Attestation]] = {}
    for one in found.attestations:
        if one.facts.bundle == opened.sha256:
            by_signer.setdefault(one.signer, []).append(one)
        else:
            notes.append(f"{one.signer} replayed another document: {one.facts.bundle[:16]}")
    badges = [
        Badge(signer, uids.get(signer), signer == opened.signer, _replays(own)) for signer, own in by_signer.items()
    ]
    # Registered validators first: anyone can make a key and sign.
    return tuple(sorted(badges, key=lambda b: (b.uid is None, b.result, b.uid or 0, b.signer)))


def _replays(attestations: Iterable[Attestation]) -> tuple[Replay, ...]:
    ordered = sorted(
        attestations,
        key=lambda a: (
            _RANK.index(a.facts.same),
            -_ORDER.index(a.facts.depth),
            a.facts.sample is not None,
            a.sha256,
        ),
    )
    return tuple(_replay(each) for each in ordered)


def _sample(sample: SampleFacts) -> str:
    """The sample in words. A hash is not the number of a block, and only a chain knows which block has it."""
    block = f"block {sample.block}" if sample.block is not None else "the block with the hash"
    return f"a sample of {sample.results} results, drawn by {block} {sample.block_hash}"


def _replay(attestation: Attestation) -> Replay:
    facts = attestation.facts
    sample = facts.sample
    return Replay(
        depth=_DEPTHS[facts.depth],
        result=RESULTS[facts.same],
        checked=", ".join(f"{number} {what}" for what, number in facts.checked.items()),
        unchecked=len(facts.unchecked),
        difference="" if facts.difference is None else facts.difference.sentence,
        sample="" if sample is None else _sample(sample),
        file=attestation.name,
    )
