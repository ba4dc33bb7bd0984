"""The transfers of TAO to an address on a Bittensor network, read from the events of each block.

An event counts whatever made it: a plain transfer, a batch, a proxy. Blocks are counted, amounts are in RAO.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from soundsright.adapters.chains.bittensor_connection import BittensorConnection
from soundsright.core.errors import ChainUnavailable, HistoryGone
from soundsright.core.ports import Transfer

_BLOCKS_PER_READ = 16
_DISCARDED = ("discarded", "pruned")


def transfers_in(
    connection: BittensorConnection, to: str, after_block: int, until_block: int | None
) -> tuple[Transfer, ...]:
    """The transfers to the address in the final blocks after the first and up to the second, in order.

    Raises:
        ChainUnavailable: a block is not final yet or cannot be read.
        HistoryGone: the node no longer has the state of a block.
    """
    final = connection.read(lambda client: client.finalized_block())
    last = final if until_block is None else until_block
    if max(after_block, last) > final:
        raise ChainUnavailable(f"Block {max(after_block, last)} is not final yet", "Wait until it is.")
    found: list[Transfer] = []
    first = max(after_block + 1, 1)  # The first block of a network has no events.
    for start in range(first, last + 1, _BLOCKS_PER_READ):
        numbers = range(start, min(start + _BLOCKS_PER_READ, last + 1))

        async def read(client: Any, numbers: Sequence[int] = numbers) -> list[tuple[Transfer, ...]]:
            return list(await asyncio.gather(*(_transfers_of_block(client, to, number) for number in numbers)))

        for transfers in connection.read(read):
            found += transfers
    return tuple(found)


async def _transfers_of_block(client: Any, to: str, number: int) -> tuple[Transfer, ...]:
    try:
        digest = await client._substrate.block_hash(number)
        # Without a hash the SDK would read another block.
        events = await client._substrate.events(digest) if digest else []
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _unreadable(number, type(error).__name__) from error
    except Exception as error:
        if any(word in str(error).lower() for word in _DISCARDED):
            raise HistoryGone(
                f"The node no longer has the state of block {number}", "Use an archive node for old blocks."
            ) from error
        raise
    if not events:
        # Each block has an event at least for its own time.
        raise _unreadable(number, "it has no events")
    try:
        payments = [(place, _payment(event["event"])) for place, event in enumerate(events)]
        return tuple(
            Transfer(f"{number}-{place}", sender, amount, number)
            for place, payment in payments
            if payment is not None
            for sender, receiver, amount in (payment,)
            if receiver == to != sender and amount
        )
    except (ValueError, TypeError, LookupError) as error:
        raise _unreadable(number, type(error).__name__) from error


def _payment(event: Any) -> tuple[str, str, int] | None:
    """Sender, receiver and amount of a transfer; None for any other event."""
    if (event["module_id"], event["event_id"]) != ("Balances", "Transfer"):
        return None
    attributes = event["attributes"]
    return str(attributes["from"]), str(attributes["to"]), int(attributes["amount"])


def _unreadable(number: int, reason: str) -> ChainUnavailable:
    return ChainUnavailable(f"The events of block {number} cannot be read ({reason})", "Use another node.")
