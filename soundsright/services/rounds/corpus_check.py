"""Whether a round may pay: its recordings must be private, and committed on the chain before entries closed."""

from __future__ import annotations

from soundsright.core.corpus_commitment import CorpusCommitment, corpus_commitment_in
from soundsright.core.ports import Snapshot
from soundsright.services.rounds import steps
from soundsright.services.rounds.opening import commitment_to, is_public, material_digest
from soundsright.services.rounds.plan import RoundPlan

PUBLIC_CORPUS = "public_corpus"
NOT_COMMITTED = "root_not_committed"
OTHER_PARAMETERS = "parameters_not_committed"


def checked_corpus(plan: RoundPlan, closed: Snapshot, validator: str) -> steps.CorpusStep:
    """The round's corpus, the block in which `validator` committed it, and why nobody is paid, if nobody is.

    `closed` is the chain as of the block in which entries closed.

    Raises:
        UsageError: there is no corpus, or it cannot be read.
    """
    material = plan.measures.material
    digest = material_digest(material)
    public = is_public(material)
    if public and not plan.pay_on_public_corpus:
        return steps.CorpusStep(digest, public, None, PUBLIC_CORPUS)
    if public or not material.is_private:
        return steps.CorpusStep(digest, public, None, "")
    own = next((c for c in closed.commitments if c.hotkey == validator), None)
    committed = None if own is None else corpus_commitment_in(own.digest)
    return steps.CorpusStep(
        digest,
        public,
        None if own is None or committed is None else own.block,
        _fault(committed, commitment_to(material, plan.measures.clips)),
    )


def _fault(committed: CorpusCommitment | None, needed: CorpusCommitment) -> str:
    """The reason why a commitment is not enough; empty if it is."""
    if committed is None or committed.root != needed.root:
        return NOT_COMMITTED
    return "" if committed == needed else OTHER_PARAMETERS
