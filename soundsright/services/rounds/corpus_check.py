"""Whether a round may pay: its recordings must be private, and committed on the chain before entries closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from soundsright.core.competition import Competition
from soundsright.core.corpus_commitment import CorpusCommitment, corpus_commitment_in
from soundsright.core.material import Material
from soundsright.core.ports import Snapshot
from soundsright.core.unpaid import NOT_COMMITTED, OTHER_PARAMETERS, PUBLIC_CORPUS
from soundsright.services.rounds import steps
from soundsright.services.rounds.opening import commitment_to, is_public, material_digest, roots_of
from soundsright.services.rounds.plan import RoundPlan


def checked_corpus(plan: RoundPlan, closed: Snapshot, validator: str) -> steps.CorpusStep:
    """The round's corpus, the block in which `validator` committed to it, and the competitions that pay nobody.

    `closed` is the chain as of the block in which entries closed.

    Raises:
        UsageError: there is no corpus, or it cannot be read.
    """
    material = plan.measures.material
    digest = material_digest(material)
    public = public_competitions(material, plan.rules.competitions)
    if public and plan.pay_on_public_corpus:
        return steps.CorpusStep(digest, public)
    if public:
        return steps.CorpusStep(digest, public, unpaid=public, reason=PUBLIC_CORPUS)
    if not material.is_private:
        return steps.CorpusStep(digest)
    own = next((c for c in closed.commitments if c.hotkey == validator), None)
    committed = None if own is None else corpus_commitment_in(own.digest)
    block = None if own is None or committed is None else own.block
    needed = commitment_to(material, plan.measures.clips)
    if committed is not None and committed.root in roots_of(material):
        # The corpus grew since, and this round still has the recordings that were committed.
        digest, needed = committed.root, replace(needed, root=committed.root)
    reason = _reason(committed, needed)
    unpaid = tuple(competition.id for competition in plan.rules.competitions) if reason else ()
    return steps.CorpusStep(digest, (), block, unpaid, reason)


def public_competitions(material: Material, competitions: Sequence[Competition]) -> tuple[str, ...]:
    """The ids of the competitions whose speech anybody may have heard.

    Raises:
        UsageError: there is no corpus, or it cannot be read.
    """
    recorded = tuple(c.id for c in competitions if material.speech_for(c.sample_rate_hz) is None)
    return recorded if recorded and is_public(material) else ()


def _reason(committed: CorpusCommitment | None, needed: CorpusCommitment) -> str:
    """The reason why a commitment is not enough; empty if it is."""
    if committed is None or committed.root != needed.root:
        return NOT_COMMITTED
    return "" if committed == needed else OTHER_PARAMETERS
