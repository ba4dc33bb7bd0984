"""Everything that the weights of a federation are decided with: rules, ports, and what was read before.

Blocks are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from soundsright.core.competition_rules import CompetitionRules, FederationAgreement
from soundsright.core.federation_rules import FederationRules
from soundsright.core.ports import Account, Bucket, Clock, LiveChain, Records
from soundsright.services.federation.allowlist import Allowlist
from soundsright.services.federation.bucket_reader import AT_ONCE, BucketReader
from soundsright.services.federation.contents import Contents
from soundsright.services.federation.contradictions import Contradictions
from soundsright.services.federation.first_seen import FirstSeen
from soundsright.services.federation.known_lists import Allowlists, TaskBook
from soundsright.services.federation.known_proofs import KnownProofs
from soundsright.services.federation.mirror import Mirror
from soundsright.services.federation.private_corpora import PrivateCorpora
from soundsright.services.federation.set_checks import SetChecks
from soundsright.services.federation.task import TaskSettings
from soundsright.services.federation.task_facts import epoch_facts_of, metric_ranges
from soundsright.services.federation.verdict_reader import VerdictReader
from soundsright.services.federation.view_reader import ViewReader
from soundsright.services.federation.views import EpochFacts
from soundsright.services.federation.winners import RecordedWinners
from soundsright.services.records import ValidSignature

DOCUMENTS = "federation-documents"
"""The folder of peers' documents, in that of the service."""


@dataclass(frozen=True)
class WeightsContext(FederationAgreement):
    """The rules and the ports of a federation's weights.

    `own` is this validator's bucket, `source` the owner's, and `buckets` are those of all validators by hotkey.
    `floors` are the scores of a failed clip by metric.
    Without `account`, no view is signed: a dry run decides by the others' views. `draws` are the settings by which
    a sampler beside these weights draws the sets of others; without a sampler, none.
    """

    rules: FederationRules
    organiser: CompetitionRules
    chain: LiveChain
    account: Account | None
    own: Bucket
    source: Bucket
    buckets: Mapping[str, Bucket]
    records: Records
    clock: Clock
    folder: Path
    valid_signature: ValidSignature
    floors: Mapping[str, float] = field(default_factory=dict)
    at_once: int = AT_ONCE
    draws: tuple[TaskSettings, ...] = ()


class FederationMemory:
    """Everything that a validator has read and recorded, with the readers that add to it. Use one thread.

    Raises:
        StateUnavailable: the state does not answer.
        UsageError: a record is damaged, or the organiser lacks a competition of the rules.
    """

    def __init__(self, context: WeightsContext) -> None:
        valid_signature = context.valid_signature
        self.contents = Contents(context.folder / DOCUMENTS)
        self.lists = Allowlists(context.chain, context.source, context.rules, self.contents, context.clock)
        ranges = metric_ranges(context.organiser.competitions)
        self.tasks = TaskBook(context.chain, context.rules, context.rules_digest, self.lists, ranges)
        reader = BucketReader(context.buckets, context.clock, at_once=context.at_once)
        self.mirror = Mirror(context.own, reader, self.contents)
        self.verdicts = VerdictReader(
            reader, self.contents, FirstSeen(context.records), valid_signature=valid_signature
        )
        self.contradictions = Contradictions(self.verdicts, self.mirror)
        self.views = ViewReader(reader, self.mirror, self.contents, valid_signature=valid_signature)
        self.proofs = KnownProofs(
            context.own,
            self.contents,
            self.mirror,
            context.records,
            facts=self.tasks.facts,
            valid_signature=valid_signature,
        )
        self.winners = RecordedWinners(context.records)
        self.corpora = PrivateCorpora(context.chain, context.records, context.rules.interval_blocks)
        self.sets = SetChecks(context.records, context.rules_digest, context.draws)
        self.own = None if context.account is None else context.account.address
        self._rules, self._rules_digest = context.rules, context.rules_digest

    def epoch_facts(self, epoch: int, allowlist: Allowlist) -> EpochFacts:
        """The facts that must stand in each view of an epoch."""
        return epoch_facts_of(epoch, allowlist, self._rules, rules_digest=self._rules_digest)
