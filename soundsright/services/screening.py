"""Who may enter: each commitment on the chain becomes a submission or a refusal that names its rule.

Blocks are counted. A refusal's code is stable, its sentence is for the miner, its evidence is what was compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from soundsright.core.competition import Competition
from soundsright.core.content import files_below
from soundsright.core.dockerfile import Instruction, read_dockerfile
from soundsright.core.dockerfile_checks import check_dockerfile
from soundsright.core.errors import EntryRefused, ProtocolViolation
from soundsright.core.ports import Neuron
from soundsright.core.results import Refusal
from soundsright.core.submission import Commitment, FetchedModel, Reveal, Submission, commitment_digest

_LICENCE_NAMES = frozenset({"license", "licence", "copying"})


@dataclass(frozen=True)
class EntryRules:
    """What an organiser may ask beyond a valid commitment. All off by default.

    `banned_hotkeys` maps a hotkey to the block at which its ban ends. `banned_content` holds content hashes.
    `cooldown_blocks` is the least distance between a hotkey's commitments; `previous_commitment_blocks` says when
    the one before the present one was made.
    """

    banned_hotkeys: Mapping[str, int] = field(default_factory=dict)
    banned_content: frozenset[str] = frozenset()
    cooldown_blocks: int = 0
    previous_commitment_blocks: Mapping[str, int] = field(default_factory=dict)
    needs_licence: bool = False


@dataclass(frozen=True)
class Screened:
    """The submissions in the order of their blocks, and the refusals."""

    submissions: tuple[Submission, ...]
    refusals: tuple[Refusal, ...]


def screened(
    commitments: Sequence[Commitment],
    reveals: Mapping[str, Reveal],
    neurons: Sequence[Neuron],
    competitions: Sequence[Competition],
    *,
    entries_close_block: int,
    rules: EntryRules = EntryRules(),
) -> Screened:
    """Apply the entry rules to every commitment; nothing is fetched for this."""
    by_hotkey = {neuron.hotkey: neuron for neuron in neurons}
    by_id = {competition.id: competition for competition in competitions}
    submissions: list[Submission] = []
    refusals: list[Refusal] = []
    for commitment in sorted(commitments, key=lambda c: (c.block, c.hotkey)):
        neuron = by_hotkey.get(commitment.hotkey)
        reveal = reveals.get(commitment.hotkey)
        try:
            submissions.append(_admitted(commitment, reveal, neuron, by_id, entries_close_block, rules))
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
    reveal: Reveal | None,
    neuron: Neuron | None,
    competitions: Mapping[str, Competition],
    entries_close_block: int,
    rules: EntryRules,
) -> Submission:
    if neuron is None:
        raise EntryRefused("not_registered", "The hotkey is not registered")
    if commitment.block < neuron.registered_at:
        raise EntryRefused(
            "stale_commitment",
            "The commitment is older than the hotkey's registration: commit again",
            {"registered_at": str(neuron.registered_at)},
        )
    if commitment.block > entries_close_block:
        raise EntryRefused(
            "too_late",
            f"Committed in block {commitment.block}, after entries closed with block {entries_close_block}",
            {"entries_close_block": str(entries_close_block)},
        )
    banned_until = rules.banned_hotkeys.get(commitment.hotkey)
    if banned_until is not None and entries_close_block < banned_until:
        raise EntryRefused(
            "banned", f"The hotkey is banned until block {banned_until}", {"until": str(banned_until)}
        )
    previous = rules.previous_commitment_blocks.get(commitment.hotkey)
    if previous is not None and commitment.block - previous < rules.cooldown_blocks:
        raise EntryRefused(
            "cooldown",
            f"{commitment.block - previous} blocks after the last entry; {rules.cooldown_blocks} are needed",
            {"previous_block": str(previous)},
        )
    if reveal is None:
        raise EntryRefused("not_revealed", "The miner did not reveal what the commitment stands for")
    competition = competitions.get(reveal.competition_id)
    if competition is None:
        raise EntryRefused("unknown_competition", f"{reveal.competition_id[:60]!r} is no competition of this round")
    digest = commitment_digest(reveal.model, commitment.hotkey, competition.id)
    if digest != commitment.digest:
        raise EntryRefused(
            "digest_mismatch",
            "The reveal does not hash to the commitment",
            {"committed": commitment.digest[:64], "revealed": digest},
        )
    return Submission(neuron.uid, commitment.hotkey, competition, reveal.model, commitment.block)


def check_fetched(model: FetchedModel, rules: EntryRules) -> None:
    """The rules that need the files.

    Raises:
        EntryRefused: `banned_content`, `no_dockerfile`, `no_licence`.
    """
    if model.content_hash in rules.banned_content:
        raise EntryRefused("banned_content", "This content is banned", {"content_hash": model.content_hash})
    if not (model.path / "Dockerfile").is_file():
        raise EntryRefused("no_dockerfile", "The repository has no Dockerfile at its root")
    if rules.needs_licence and not any(
        path.parent == model.path and path.stem.lower() in _LICENCE_NAMES for path in files_below(model.path)
    ):
        raise EntryRefused("no_licence", "The repository has no licence file at its root")


def checked_dockerfile(model: FetchedModel) -> tuple[Instruction, ...]:
    """The instructions of a model's Dockerfile, none of which asks for what an entry may not have.

    Raises:
        EntryRefused: `dockerfile`, with every refusal by its line.
    """
    try:
        instructions = read_dockerfile(model.path)
    except ProtocolViolation as fault:
        raise EntryRefused("dockerfile", str(fault)) from fault
    check_dockerfile((model.path / "Dockerfile").read_text(encoding="utf-8"), instructions)
    return instructions
