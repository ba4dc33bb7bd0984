"""The list of validators and what they have published, as a command reads them. Blocks are counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.cli.shared.federation_parts import AgreedRules
    from soundsright.config import FederationSettings
    from soundsright.core.ports import LiveChain
    from soundsright.services.federation import (
        Allowlist,
        EpochReading,
        FederationMemory,
        NoAllowlist,
        WeightsContext,
    )


def found_list(
    settings: FederationSettings, agreed: AgreedRules, chain: LiveChain, block: int
) -> Allowlist | NoAllowlist:
    """The owner's list that holds in a final block, or why there is none.

    Raises:
        UsageError: a setting of the owner's bucket is missing or malformed.
        ChainUnavailable: the chain does not answer.
    """
    from soundsright.adapters.machine import SystemClock
    from soundsright.cli.shared.federation_parts import source_bucket
    from soundsright.services.federation import DOCUMENTS, Allowlists, Contents

    contents = Contents(settings.folder / DOCUMENTS)
    return Allowlists(chain, source_bucket(settings), agreed.rules, contents, SystemClock()).as_of(block)


def known_list(settings: FederationSettings, agreed: AgreedRules, chain: LiveChain, block: int) -> Allowlist:
    """The owner's list that holds in a final block.

    Raises:
        UsageError: there is none, it cannot be read, or a setting of the owner's bucket is missing.
        ChainUnavailable: the chain does not answer.
    """
    from soundsright.services.federation import NoAllowlist

    found = found_list(settings, agreed, chain, block)
    if isinstance(found, NoAllowlist):
        raise UsageError(found.sentence.rstrip("."), "Check R2_SOURCE_BUCKET, or ask the owner.")
    return found


@dataclass(frozen=True)
class Reader:
    """A federation as somebody reads it who need not be one of its validators."""

    context: WeightsContext
    memory: FederationMemory

    def read(self) -> EpochReading:
        """Everything that counts in the present epoch.

        Raises:
            InfrastructureFault: there is no list of validators, or the chain, this disk or its state fails.
        """
        from soundsright.ranking import epoch_block
        from soundsright.services.federation import reading_of

        finalized = self.context.chain.finalized().number
        return reading_of(self.memory, epoch_block(finalized, self.context.rules.epoch_blocks), finalized)


@contextmanager
def opened_reader(settings: FederationSettings, agreed: AgreedRules) -> Iterator[Reader]:
    """The chain and the buckets of all validators. Verdicts that were read stay in STATE_FOLDER.

    Raises:
        UsageError: PEER_VALIDATORS is empty, or a setting of a bucket is missing or malformed.
        ChainUnavailable: the chain does not answer.
    """
    from soundsright.adapters.buckets import FolderBucket, new_bucket_folder
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.peers import valid_signature
    from soundsright.adapters.state import SqlRecords, SqlState
    from soundsright.cli.shared.federation_parts import peer_buckets, source_bucket
    from soundsright.cli.shared.opening import opened_chain
    from soundsright.services.federation import FederationMemory, WeightsContext

    if not settings.peers:
        raise UsageError("PEER_VALIDATORS is empty", "Give every validator with its bucket, as a JSON list.")
    buckets, source = peer_buckets(settings), source_bucket(settings)
    folder = settings.folder / "federation-reading"
    folder.mkdir(parents=True, exist_ok=True)
    with (
        closing(opened_chain(settings, None)) as chain,
        closing(SqlState(folder / "state.db", scope="reading")) as state,
    ):
        context = WeightsContext(
            agreed.rules,
            agreed.organiser,
            chain,
            None,
            FolderBucket(new_bucket_folder(folder / "bucket")),
            source,
            buckets,
            SqlRecords.beside(state),
            SystemClock(),
            folder,
            valid_signature,
            at_once=settings.aggregation_read_concurrency,
        )
        yield Reader(context, FederationMemory(context))
