"""The rules of entry: each commitment on the chain becomes a submission, or a refusal that names the broken rule.

Blocks are counted. A refusal has a stable code, a sentence for the miner, and the compared values as evidence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundsright.core.competition import Competition
from soundsright.core.content import files_below
from soundsright.core.dockerfile import Instruction, read_dockerfile
from soundsright.core.dockerfile_checks import check_dockerfile
from soundsright.core.entry_rules import NO_RULES, EntryRules
from soundsright.core.errors import EntryRefused, ProtocolViolation
from soundsright.core.ports import Neuron
from soundsright.core.results import Refusal
from soundsright.core.submission import Commitment, FetchedModel, Reveal, Submission
from soundsright.core.system_commitments import is_entry_commitment

_LICENCE = re.compile(r"(un)?licen[cs]e([.-].*)?|copying([.-].*)?", re.IGNORECASE)
_MAX_BLOCKS_SHOWN = 20


@dataclass(frozen=True)
class Screened:
    """The result of screening: submissions in the order of their blocks, and refusals."""

    submissions: tuple[Submission, ...]
    refusals: tuple[Refusal, ...]


def screened(
    commitments: Sequence[Commitment],
    reveals: Mapping[str, Reveal | EntryRefused],
    neurons: Sequence[Neuron],
    competitions: Sequence[Competition],
    *,
    entries_close_block: int,
    rules: EntryRules = NO_RULES,
) -> Screened:
    """Apply the rules that need no files to every commitment that can be an entry."""
    by_hotkey = {neuron.hotkey: neuron for neuron in neurons}
    by_id = {competition.id: competition for competition in competitions}
    submissions: list[Submission] = []
    refusals: list[Refusal] = []
    entries = (c for c in commitments if is_entry_commitment(c.digest))
    for commitment in sorted(entries, key=lambda c: (c.block, c.hotkey)):
        neuron = by_hotkey.get(commitment.hotkey)
        revealed = reveals.get(commitment.hotkey)
        reveal = revealed if isinstance(revealed, Reveal) else None
        try:
            submissions.append(_admitted(commitment, revealed, neuron, by_id, entries_close_block, rules))
        except EntryRefused as refused:
            refusals.append(
                Refusal(
                    hotkey=commitment.hotkey,
                    uid=neuron.uid if neuron else None,
                    label=reveal.model.repository if reveal else commitment.hotkey,
                    competition_id=reveal.competition_id if reveal and reveal.competition_id in by_id else None,
                    code=refused.code,
                    sentence=refused.sentence,
                    evidence={"commitment_block": str(commitment.block), **refused.evidence},
                )
            )
    return Screened(tuple(submissions), tuple(refusals))


def _admitted(
    commitment: Commitment,
    reveal: Reveal | EntryRefused | None,
    neuron: Neuron | None,
    competitions: Mapping[str, Competition],
    entries_close_block: int,
    rules: EntryRules,
) -> Submission:
    if neuron is None:
        raise EntryRefused(
            "not_registered",
            f"The hotkey was not registered in block {entries_close_block}, in which entries closed",
            {"entries_close_block": str(entries_close_block)},
        )
    if commitment.block < neuron.registered_at:
        raise EntryRefused(
            "stale_commitment",
            "The commitment is older than the hotkey's registration: commit again",
            {"registered_at": str(neuron.registered_at)},
        )
    if commitment.block > entries_close_block:
        raise EntryRefused(
            "too_late",
            f"Committed in block {commitment.block}, after entries closed in block {entries_close_block}",
            {"entries_close_block": str(entries_close_block)},
        )
    _check_rules(commitment, entries_close_block, rules)
    if reveal is None:
        raise EntryRefused("not_revealed", "The miner did not reveal its commitment")
    if isinstance(reveal, EntryRefused):
        raise reveal
    competition = competitions.get(reveal.competition_id)
    if competition is None:
        raise EntryRefused(
            "unknown_competition",
            f"{reveal.competition_id[:60]!r} is not a competition of this round",
            {"revealed": reveal.competition_id[:60], "competitions": ", ".join(competitions)},
        )
    _check_digest(commitment, reveal, rules)
    return Submission(
        neuron.uid,
        commitment.hotkey,
        competition,
        reveal.model,
        _first_block(commitment, neuron),
        reveal.content_hash,
        reveal.archive_key,
    )


def _check_digest(commitment: Commitment, reveal: Reveal, rules: EntryRules) -> None:
    digest = reveal.digest(commitment.hotkey)
    if digest != commitment.digest:
        raise EntryRefused(
            "digest_mismatch",
            "The reveal does not hash to the commitment",
            {"committed": commitment.digest[:64], "revealed": digest},
        )
    if not (reveal.is_salted or rules.unsalted):
        raise EntryRefused("unsalted", "The commitment has no salt, so anyone could open it before entries closed")


def _first_block(commitment: Commitment, neuron: Neuron) -> int:
    """The block of the hotkey's first commitment of this content since its registration.

    A miner keeps the salt of a content, so the same content gives the same digest when it is committed again.
    """
    first = commitment.first_block
    return commitment.block if first is None or first < neuron.registered_at else min(first, commitment.block)


def _check_rules(commitment: Commitment, entries_close_block: int, rules: EntryRules) -> None:
    """Check the organiser's bans, and how often a hotkey may commit."""
    banned_until = rules.banned_hotkeys.get(commitment.hotkey)
    if banned_until is not None and entries_close_block < banned_until:
        raise EntryRefused(
            "banned",
            f"The hotkey is banned until block {banned_until}",
            {"until_block": str(banned_until), "entries_close_block": str(entries_close_block)},
        )
    earlier = [block for block in commitment.earlier_blocks if block < commitment.block]
    previous = max(earlier, default=None)
    if previous is not None and commitment.block - previous < rules.cooldown_blocks:
        raise EntryRefused(
            "cooldown",
            f"Committed {commitment.block - previous} blocks after the previous commitment;"
            f" at least {rules.cooldown_blocks} are needed",
            {"previous_block": str(previous), "cooldown_blocks": str(rules.cooldown_blocks)},
        )
    opened = entries_close_block - rules.commitment_window_blocks
    counted = [block for block in (*sorted(earlier), commitment.block) if block > opened]
    if rules.max_commitments and len(counted) > rules.max_commitments:
        raise EntryRefused(
            "too_many_commitments",
            f"{len(counted)} commitments in the {rules.commitment_window_blocks} blocks up to the close of entries;"
            f" at most {rules.max_commitments} are allowed",
            {"limit": str(rules.max_commitments), "blocks": ", ".join(map(str, counted[-_MAX_BLOCKS_SHOWN:]))},
        )


def check_fetched(model: FetchedModel, rules: EntryRules) -> None:
    """Apply the rules that need the files.

    Raises:
        EntryRefused: `content_mismatch`, `banned_content`, `no_dockerfile`, `no_licence`.
    """
    committed = model.submission.content_hash
    if committed and model.content_hash != committed:
        raise EntryRefused(
            "content_mismatch",
            "The files in the repository are not the content that was committed",
            {"committed": committed, "content_hash": model.content_hash},
        )
    if model.content_hash in rules.banned_content:
        raise EntryRefused("banned_content", "This content is banned", {"content_hash": model.content_hash})
    banned = next((digest for digest in model.checkpoint_hashes if digest in rules.banned_content), None)
    if banned is not None:
        raise EntryRefused("banned_content", "A weights file in it is banned", {"checkpoint_hash": banned})
    if not (model.path / "Dockerfile").is_file():
        raise EntryRefused("no_dockerfile", "The repository has no Dockerfile at its root", _root_files(model))
    if rules.needs_licence and not any(
        path.parent == model.path and _LICENCE.fullmatch(path.name) and path.stat().st_size > 0
        for path in files_below(model.path)
    ):
        raise EntryRefused("no_licence", "The repository has no licence file at its root", _root_files(model))


def _root_files(model: FetchedModel) -> dict[str, str]:
    """The files at the root, as evidence."""
    names = sorted(path.name for path in model.path.iterdir())
    return {"files": ", ".join(names)[:400]}


def checked_dockerfile(model: FetchedModel) -> tuple[Instruction, ...]:
    """The instructions of a model's Dockerfile, after a check that all of them are allowed.

    Raises:
        EntryRefused: `dockerfile`. The sentence names every refused line.
    """
    try:
        instructions = read_dockerfile(model.path)
    except ProtocolViolation as fault:
        raise EntryRefused("dockerfile", str(fault), {"dockerfile": str(fault)}) from fault
    check_dockerfile((model.path / "Dockerfile").read_text(encoding="utf-8"), instructions)
    return instructions
