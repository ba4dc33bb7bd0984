"""Shared parts of the commands of `soundsright bundle`: who signed a document, and what the chain says of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundsright.cli.shared.addresses import checked_hotkey
from soundsright.core.errors import BundleRefused, ChainUnavailable, HistoryGone, UsageError

if TYPE_CHECKING:
    from soundsright.core.ports import LiveChain
    from soundsright.services.records import OpenedRound


def is_address(source: str) -> bool:
    """Whether the source of a bundle is an address on the web, and not a path.

    >>> is_address("https://example.org/round-7"), is_address("round-7.zip")
    (True, False)
    """
    return source.startswith(("http://", "https://"))


def check_signer(opened: OpenedRound, signer: str, *, unsigned_ok: bool) -> None:
    """Check who signed a document whose signature was verified.

    Raises:
        UsageError: `signer` is not an address.
        BundleRefused: nobody did, or somebody else.
    """
    checked_hotkey(signer, "--signer")
    if opened.signer is None and not (unsigned_ok and not signer):
        raise BundleRefused(
            "The round document is not signed", "Accept it with --unsigned-ok, if you know where it is from."
        )
    if signer and opened.signer != signer:
        raise BundleRefused(f"{opened.signer} signed the round document, and not {signer}")


def chain_line(
    opened: OpenedRound, network: str, netuid: int, env_file: Path | None, hint: int | None
) -> list[str]:
    """The chain's facts about the document, as lines to print; none without a network.

    Raises:
        UsageError: there is no such chain.
        BundleRefused: the signer did not commit to the document, or committed to another one.
        ChainUnavailable: the chain does not answer.
    """
    if not network:
        return []
    from soundsright.services.records import commitment_block

    if opened.signer is None:
        raise UsageError("Nobody signed the round document, so no chain has a commitment to it", "Omit --network.")
    with chain_at(network, netuid, env_file) as chain:
        block = commitment_block(chain, opened.signer, opened.document.round.id, opened.sha256, hint)
        return [f"Committed  by {opened.signer} in block {block}{_time_of(chain, block)}"]


def _time_of(chain: LiveChain, block: int) -> str:
    """The time of the block, as words that follow its number; nothing if the chain no longer knows."""
    from datetime import UTC, datetime

    try:
        made_at = datetime.fromtimestamp(chain.timestamp_s(block), UTC)
    except (ChainUnavailable, HistoryGone, OverflowError, OSError, ValueError):
        return ""
    return f", {made_at:%Y-%m-%d %H:%M} UTC"


@contextmanager
def chain_at(network: str, netuid: int, env_file: Path | None) -> Iterator[LiveChain]:
    """The chain at an endpoint, which is only read.

    Raises:
        UsageError: there is no such chain.
        ChainUnavailable: the chain does not answer.
    """
    from soundsright.cli.shared.opening import opened_chain
    from soundsright.cli.shared.settings_options import settings_from
    from soundsright.config import Settings

    flags: dict[str, Any] = {"subtensor_chain_endpoint": network, **({"netuid": netuid} if netuid else {})}
    with closing(opened_chain(settings_from(Settings, flags, env_file), None)) as chain:
        yield chain
