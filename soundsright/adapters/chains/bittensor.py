"""A Bittensor subnet as the `LiveChain` port, over the SDK's own client.

Blocks are counted, times in seconds. The client is asynchronous: it lives on an event loop in a thread, and every
call has a deadline. A connection that failed or hung is thrown away, and the next call makes a new one. Writes of
the hotkey follow one another; one whose fate is not known is told as `unknown`, and never repeated here.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ipaddress
import math
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from soundsright.adapters.chains.bittensor_sdk import load_sdk
from soundsright.adapters.chains.bittensor_values import (
    MAX_U16,
    commitments_of,
    enough_weights,
    field_of,
    neuron_of,
    result_of,
)
from soundsright.core.errors import ChainUnavailable, EntryRefused, UsageError
from soundsright.core.ports import BlockRef, Neuron, Snapshot, SubnetRules, TxResult
from soundsright.core.submission import Commitment

if TYPE_CHECKING:
    from soundsright.adapters.peers import Hotkey

T = TypeVar("T")

MAX_BLOCK_AGE_S = 60.0
_TRIES = 3
_FIRST_PAUSE_S = 1.0


class BittensorChain:
    """The subnet `netuid` at `endpoint`, with the hotkey that signs writes.

    `read_timeout_s` bounds a read, `write_timeout_s` a write with its wait for a block.

    Raises:
        UsageError: the SDK is not installed, or the network has no such subnet.
        ChainUnavailable: in every method, if the endpoint does not answer.
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
        load_sdk()
        self._endpoint = endpoint
        self._netuid = netuid
        self._account = account
        self._read_timeout_s = read_timeout_s
        self._write_timeout_s = write_timeout_s
        self._sleep = sleep
        self._client: Any = None
        self._writing = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._connecting = asyncio.Lock()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bittensor", daemon=True)
        self._thread.start()
        try:
            known = self._read(lambda client: client.subnets.metagraph(netuid))
            if known is None:
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
            found = int(await number(client))
            return BlockRef(found, await self._hash_of(client, found))

        return self._read(read)

    def block_hash(self, number: int) -> str:
        return self._read(lambda client: self._hash_of(client, number))

    async def _hash_of(self, client: Any, number: int) -> str:
        info = await client.block_info(number)
        if info is None:
            raise ChainUnavailable(f"There is no block {number} yet", "Wait for it.")
        return str(info.hash)

    def timestamp_s(self, number: int) -> float:
        async def read(client: Any) -> float:
            return float((await client.timestamp(number)).timestamp())

        return self._read(read)

    def neurons(self) -> tuple[Neuron, ...]:
        return self.snapshot().neurons

    def commitments(self) -> tuple[Commitment, ...]:
        return self.snapshot().commitments

    def snapshot(self, number: int | None = None) -> Snapshot:
        """The subnet as of that block: one call of the runtime, and the map of commitments."""
        from bittensor import storage

        async def read(client: Any) -> Snapshot:
            at = await client.at(number)
            metagraph, committed, digest = await asyncio.gather(
                at.subnets.metagraph(self._netuid),
                at.query_map(storage.Commitments.CommitmentOf, [self._netuid]),
                self._hash_of(client, at.block),
            )
            if metagraph is None:
                raise ChainUnavailable(f"NETUID {self._netuid} is not there any more", "Check NETUID.")
            return Snapshot(
                BlockRef(int(at.block), digest),
                tuple(neuron_of(neuron) for neuron in metagraph if int(neuron.block_at_registration) <= at.block),
                commitments_of(committed),
            )

        return self._read(read)

    def publish(self, hotkey: str, digest: str) -> TxResult:
        """Commit the text under the hotkey; the last commitment stands. A seal is kept as the chain's own kind."""
        from bittensor import calls

        try:
            field = field_of(digest)
        except (ValueError, EntryRefused) as error:
            return TxResult(False, "too_long", str(error))
        call = calls.Commitments.set_commitment(netuid=self._netuid, info={"fields": [[field]]})
        return self._write(hotkey, lambda client, wallet: client.submit_call(call, wallet, signer="hotkey"))

    def publish_endpoint(self, hotkey: str, endpoint: str) -> TxResult:
        from bittensor import ServeAxon

        host, _, port = endpoint.rpartition(":")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return TxResult(False, "bad_endpoint", f"{endpoint} is no IP address and port")
        intent = ServeAxon(netuid=self._netuid, ip=host, port=int(port))
        return self._write(hotkey, lambda client, wallet: client.execute(intent, wallet))

    def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
        """Set them, by commit-reveal where the subnet asks for it. Hotkeys become uids here, at submission.

        The SDK fits them to the subnet's greatest weight and rate limit. Where the subnet wants more weights than
        there are payees, the least that the chain can hold goes to others, by uid.
        """
        from bittensor import SetWeights

        if not by_hotkey or any(not math.isfinite(w) or w < 0 for w in by_hotkey.values()):
            return TxResult(False, "bad_weights", "weights must be given, finite and not negative")
        if not any(by_hotkey.values()):
            # The SDK would make them uniform.
            return TxResult(False, "bad_weights", "not all weights may be zero")
        neurons = {neuron.hotkey: neuron for neuron in self.neurons()}
        missing = sorted(set(by_hotkey) - set(neurons))
        if missing:
            return TxResult(False, "unknown_hotkey", f"not registered: {', '.join(missing)}")
        if hotkey not in neurons:
            return TxResult(False, "not_registered", f"{hotkey} is not registered")
        if not neurons[hotkey].permit:
            return TxResult(False, "no_permit", f"{hotkey} has no validator permit")
        weights = {neurons[hk].uid: weight for hk, weight in by_hotkey.items() if weight > 0}
        weights = enough_weights(weights, [neuron.uid for neuron in neurons.values()], self.rules().min_weights)
        version_key = self._read(self._version_key)
        intent = SetWeights(
            netuid=self._netuid, uids=list(weights), weights=list(weights.values()), version_key=version_key
        )
        return self._write(hotkey, lambda client, wallet: client.execute(intent, wallet))

    def rules(self) -> SubnetRules:
        """The subnet's hyperparameters, as of the head."""
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
            tempo, limit, least, greatest, sealed = await asyncio.gather(
                *(client.query(item, [self._netuid]) for item in items)
            )
            # A tempo of N has an epoch every N + 1 blocks.
            return SubnetRules(
                int(tempo) + 1, int(limit or 0), int(least or 0), int(greatest) / MAX_U16, bool(sealed)
            )

        return self._read(read)

    def clock_offset_s(self, now_s: float) -> float:
        """By the head's time, which is as old as the block: up to a minute tells nothing."""
        offset_s = self.timestamp_s(self.head().number) - now_s
        return 0.0 if -MAX_BLOCK_AGE_S < offset_s < 0 else offset_s

    async def _version_key(self, client: Any) -> int:
        from bittensor import storage

        return int(await client.query(storage.SubtensorModule.WeightsVersionKey, [self._netuid]) or 0)

    def close(self) -> None:
        """Close the connection and end the thread."""
        if not self._loop.is_closed():
            with contextlib.suppress(concurrent.futures.TimeoutError):
                asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    def _read(self, read: Callable[[Any], Awaitable[T]]) -> T:
        for attempt in range(_TRIES):
            try:
                return self._call(read, self._read_timeout_s)
            except _Away as away:
                reason = str(away)
            if attempt + 1 < _TRIES:
                self._sleep(_FIRST_PAUSE_S * 2**attempt)
        raise ChainUnavailable(
            f"{self._endpoint} does not answer: {reason}", "Check SUBTENSOR_CHAIN_ENDPOINT and the network."
        )

    def _write(self, hotkey: str, write: Callable[[Any, Any], Awaitable[Any]]) -> TxResult:
        if self._account is None or self._account.address != hotkey:
            return TxResult(False, "wrong_account", f"this client does not sign for {hotkey}")
        key = self._account.keypair
        # The SDK asks for the coldkey's shape; what is done here is signed by the hotkey alone.
        wallet = SimpleNamespace(
            name="wallet", hotkey_str="hotkey", hotkey=key, hotkeypub=key, coldkey=key, coldkeypub=key
        )
        with self._writing:
            try:
                # Connected before, so that a refused connection is known to have written nothing.
                self._call(lambda client: client.block(), self._read_timeout_s)
            except _Away as away:
                return TxResult(False, "no_answer", str(away), retryable=True)
            try:
                return self._call(lambda client: result_of(write(client, wallet)), self._write_timeout_s)
            except _Away as away:
                return TxResult(False, "no_answer", str(away), retryable=True, unknown=True)

    def _call(self, work: Callable[[Any], Awaitable[T]], timeout_s: float) -> T:
        """Run it on the loop, with a deadline that holds even where the loop hangs."""

        async def run() -> T:
            try:
                return await asyncio.wait_for(self._with_client(work), timeout_s)
            except _away_errors() as error:
                await self._forget()
                raise _Away(_told(error, timeout_s)) from error

        future = asyncio.run_coroutine_threadsafe(run(), self._loop)
        try:
            return future.result(timeout_s + 10)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise _Away(f"no answer within {timeout_s + 10:g} s") from None

    async def _with_client(self, work: Callable[[Any], Awaitable[T]]) -> T:
        import bittensor

        async with self._connecting:
            if self._client is None:
                client = bittensor.Client(self._endpoint)
                begun = _begun_connections(client)
                try:
                    await client.connect()
                except BaseException:
                    for connection in begun:
                        await _closed(connection)
                    raise
                self._client = client
        return await work(self._client)

    async def _end(self) -> None:
        await self._forget()
        # The SDK's readers of a connection that broke may still wait.
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Transports close in the loop's next rounds.
        await asyncio.sleep(0.05)
        await self._loop.shutdown_asyncgens()

    async def _forget(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await _closed(client)


def _begun_connections(client: Any) -> list[Any]:
    """A list that will hold what `connect` opens. The SDK forgets a connection whose handshake is cut off."""
    begun: list[Any] = []
    open_one = client._substrate._interface

    def remembered(*arguments: Any) -> Any:
        begun.append(open_one(*arguments))
        return begun[-1]

    client._substrate._interface = remembered
    return begun


async def _closed(client: Any) -> None:
    with contextlib.suppress(*_away_errors()):
        await asyncio.wait_for(client.close(), 5)


class _Away(Exception):
    """No answer, whoever's fault it is."""


def _away_errors() -> tuple[type[Exception], ...]:
    """What a connection that is gone, refused or slow raises."""
    from bittensor.result import BittensorError
    from websockets.exceptions import WebSocketException

    return (TimeoutError, OSError, BittensorError, WebSocketException, asyncio.InvalidStateError)


def _told(error: BaseException, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    return f"{type(error).__name__}: {str(error)[:200]}"
