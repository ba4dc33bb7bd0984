"""The list of validators and what they have published, as a command reads them. Blocks are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.cli.shared.federation_parts import AgreedRules
    from soundsright.config import FederationSettings
    from soundsright.core.ports import LiveChain
    from soundsright.services.federation import Allowlist, NoAllowlist


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
