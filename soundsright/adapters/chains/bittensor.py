"""A Bittensor subnet, through the SDK's own client.

Blocks are counted; times are in seconds.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from soundsright.adapters.chains.bittensor_connection import BittensorConnection
from soundsright.adapters.chains.bittensor_transfers import transfers_in
from soundsright.adapters.chains.bittensor_values import (
    MAX_U16,
    NOBODY,
    commitments_of,
    field_of,
    neuron_of,
    padded_weights,
)
from soundsright.core.errors import ChainUnavailable, EntryRefused, UsageError
from soundsright.core.ports import BlockRef, Neuron, Snapshot, SubnetRules, Transfer, TxResult
from soundsright.core.submission import Commitment

if TYPE_CHECKING:
    from soundsright.adapters.peers import Hotkey

MAX_BLOCK_AGE_S = 60.0


class BittensorChain:
    """The ports `LiveChain` and `Treasury` over the subnet `netuid` of the node at `endpoint`.

    The hotkey `account` signs writes.

    `read_timeout_s` limits a read, `write_timeout_s` a write with its wait for a block. A write is never repeated.
    If nobody can know whether it succeeded, its result is `unknown`.

    Raises:
        UsageError: the SDK is not installed, or the network does not have the subnet.
        ChainUnavailable: the endpoint does not answer. Every method can raise it.
    """

    def __init__(
        self,
        endpoint: str,
        netuid: int,
        account: Hotkey | None = None,
        *,
        read_timeout_s: float = 30.0,
        write_timeout_s: float = 120.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._netuid = netuid
        self._account = account
        self._connection = BittensorConnection(
            endpoint, read_timeout_s=read_timeout_s, write_timeout_s=write_timeout_s, sleep=sleep
        )
        try:
            metagraph = self._connection.read(lambda client: client.subnets.metagraph(netuid))
            if metagraph is None:
                raise UsageError(
                    f"NETUID {netuid} does not exist on {endpoint}", "Check NETUID and SUBTENSOR_CHAIN_ENDPOINT."
                )
        except BaseException:
            self.close()
            raise

    def head(self) -> BlockRef:
        return self._block(lambda client: client.block())

    def finalized(self) -> BlockRef:
        return self._block(lambda client: client.finalized_block())

    def _block(self, number: Callable[[Any], Awaitable[int]]) -> BlockRef:
        async def read(client: Any) -> BlockRef:
            block = int(await number(client))
            return BlockRef(block, await self._hash_of(client, block))

        return self._connection.read(read)

    def block_hash(self, number: int) -> str:
        return self._connection.read(lambda client: self._hash_of(client, number))

    async def _hash_of(self, client: Any, number: int) -> str:
        info = await client.block_info(number)
        if info is None:
            raise ChainUnavailable(f"There is no block {number} yet", "Wait until the chain has made it.")
        return str(info.hash)

    def timestamp_s(self, number: int) -> float:
        async def read(client: Any) -> float:
            return float((await client.timestamp(number)).timestamp())

        return self._connection.read(read)

    def owner(self) -> str | None:
        """The hotkey of the subnet's owner. On Bittensor it must be registered to commit, like any other."""
        from bittensor import storage

        async def read(client: Any) -> str | None:
            owner = await client.query(storage.SubtensorModule.SubnetOwnerHotkey, [self._netuid])
            return None if owner is None or str(owner) == NOBODY else str(owner)

        return self._connection.read(read)

    def transfers(self, to: str, after_block: int, until_block: int | None = None) -> tuple[Transfer, ...]:
        """The transfers of TAO to the address, from the events of the blocks.

        A node keeps about the last 300 blocks. For older ones, use an archive node.
        """
        return transfers_in(self._connection, to, after_block, until_block)

    def neurons(self) -> tuple[Neuron, ...]:
        return self.snapshot().neurons

    def commitments(self) -> tuple[Commitment, ...]:
        return self.snapshot().commitments

    def snapshot(self, number: int | None = None) -> Snapshot:
        """The subnet as of that block; None means the head. It reads the metagraph and the map of commitments."""
        from bittensor import storage

        async def read(client: Any) -> Snapshot:
            view = await client.at(number)
            metagraph, committed, digest = await asyncio.gather(
                view.subnets.metagraph(self._netuid),
                view.query_map(storage.Commitments.CommitmentOf, [self._netuid]),
                self._hash_of(client, view.block),
            )
            if metagraph is None:
                raise ChainUnavailable(
                    f"NETUID {self._netuid} no longer exists", "Set NETUID to a subnet that exists."
                )
            return Snapshot(
                BlockRef(int(view.block), digest),
                tuple(neuron_of(neuron) for neuron in metagraph if int(neuron.block_at_registration) <= view.block),
                commitments_of(committed),
            )

        return self._connection.read(read)

    def publish(self, hotkey: str, digest: str) -> TxResult:
        """Commit the text for the hotkey, in place of its earlier one. The chain stores a sealed text as such."""
        from bittensor import calls

        try:
            field = field_of(digest)
        except (ValueError, EntryRefused) as error:
            return TxResult(False, "too_long", str(error))
        call = calls.Commitments.set_commitment(netuid=self._netuid, info={"fields": [[field]]})
        return self._write(hotkey, lambda client, wallet: client.submit_call(call, wallet, signer="hotkey"))

    def publish_endpoint(self, hotkey: str, endpoint: str) -> TxResult:
        """Announce the IP address and port at which the hotkey serves requests. The chain accepts no host names."""
        from bittensor import ServeAxon

        host, _, port = endpoint.rpartition(":")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return TxResult(False, "bad_endpoint", f"{endpoint} is not an IP address and a port")
        intent = ServeAxon(netuid=self._netuid, ip=host, port=int(port))
        return self._write(hotkey, lambda client, wallet: client.execute(intent, wallet))

    def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
        """Set the weights, by commit-reveal if the subnet uses it. They are set for the hotkeys' current uids.

        The SDK applies the subnet's limits. If the subnet requires more weights than there are payees, further uids
        get the smallest weight that the chain can store, by increasing uid.
        """
        from bittensor import SetWeights

        if not by_hotkey or any(not math.isfinite(w) or w < 0 for w in by_hotkey.values()):
            return TxResult(False, "bad_weights", "there must be weights, all finite and none negative")
        if not any(by_hotkey.values()):
            # The SDK would set uniform weights.
            return TxResult(False, "bad_weights", "at least one weight must be greater than zero")
        neurons = {neuron.hotkey: neuron for neuron in self.neurons()}
        missing = sorted(set(by_hotkey) - set(neurons))
        if missing:
            return TxResult(False, "unknown_hotkey", f"not registered: {', '.join(missing)}")
        if hotkey not in neurons:
            return TxResult(False, "not_registered", f"{hotkey} is not registered")
        if not neurons[hotkey].permit:
            return TxResult(False, "no_permit", f"{hotkey} has no validator permit")
        weights = {neurons[hk].uid: weight for hk, weight in by_hotkey.items() if weight > 0}
        weights = padded_weights(weights, [neuron.uid for neuron in neurons.values()], self.rules().min_weights)
        version_key = self._connection.read(self._version_key)
        intent = SetWeights(
            netuid=self._netuid, uids=list(weights), weights=list(weights.values()), version_key=version_key
        )
        return self._write(hotkey, lambda client, wallet: client.execute(intent, wallet))

    def rules(self) -> SubnetRules:
        """The subnet's rules, read from its hyperparameters at the head."""
        from bittensor import storage

        async def read(client: Any) -> SubnetRules:
            module = storage.SubtensorModule
            items = (
                module.Tempo,
                module.WeightsSetRateLimit,
                module.MinAllowedWeights,
                module.MaxWeightsLimit,
                module.CommitRevealWeightsEnabled,
            )
            tempo, rate_limit, min_weights, max_weight, commit_reveal = await asyncio.gather(
                *(client.query(item, [self._netuid]) for item in items)
            )
            return SubnetRules(
                tempo_blocks=int(tempo) + 1,  # With a tempo of N an epoch has N + 1 blocks.
                rate_limit_blocks=int(rate_limit or 0),
                min_weights=int(min_weights or 0),
                max_weight=int(max_weight) / MAX_U16,
                commit_reveal=bool(commit_reveal),
            )

        return self._connection.read(read)

    def clock_offset_s(self, now_s: float) -> float:
        """The offset to the time of the head, which can be a minute old: up to a minute behind gives 0."""
        offset_s = self.timestamp_s(self.head().number) - now_s
        return 0.0 if -MAX_BLOCK_AGE_S < offset_s < 0 else offset_s

    async def _version_key(self, client: Any) -> int:
        from bittensor import storage

        return int(await client.query(storage.SubtensorModule.WeightsVersionKey, [self._netuid]) or 0)

    def close(self) -> None:
        """Close the connection and end its thread."""
        self._connection.close()

    def _write(self, hotkey: str, write: Callable[[Any, Any], Awaitable[Any]]) -> TxResult:
        if self._account is None or self._account.address != hotkey:
            return TxResult(False, "wrong_account", f"this client does not sign for {hotkey}")
        return self._connection.write(self._account, write)
