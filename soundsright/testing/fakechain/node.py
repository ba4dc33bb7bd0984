"""A node on loopback for the Bittensor SDK: JSON-RPC over a websocket, blocks on demand, planted faults.

It runs on its own event loop in a thread, so that tests of blocking code can use it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from soundsright.testing.fakechain.ledger import Block, Ledger, Transaction, TransactionRefused, blake2b
from soundsright.testing.fakechain.runtime import SPEC_VERSION, TRANSACTION_VERSION
from soundsright.testing.fakechain.scale import blob

T = TypeVar("T")
_BLOCK_DELAY_S = 0.02


@dataclass
class NodeFaults:
    """The faults of a node. `failing` maps a method to the number of its next calls that get an error.

    `silent` methods get no reply. If `swallows`, accepted transactions never get into a block. If `drops`, the
    connection breaks once, after a transaction was accepted, but the transaction still gets into a block. `message`
    is the text of an error.
    """

    failing: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    swallows: bool = False
    drops: bool = False
    message: str = "planted failure"


class Node:
    """JSON-RPC over a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.faults = NodeFaults()
        self.calls: list[str] = []
        self._waiting: list[Transaction] = []
        self._watchers: dict[str, tuple[ServerConnection, str]] = {}
        self._connections: set[ServerConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: Server | None = None
        self.url = ""

    async def start(self) -> None:
        self._server = await serve(self._talk, "127.0.0.1", 0, max_size=2**24)
        self.url = f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        await self.drop_connections()
        self._server.close()
        await self._server.wait_closed()
        await asyncio.gather(*self._tasks)

    async def drop_connections(self) -> None:
        """Break every connection, as a failing network does."""
        for connection in list(self._connections):
            connection.transport.abort()

    async def produce(self, blocks: int = 1) -> None:
        """Make blocks. Waiting transactions go into the first one."""
        for _ in range(blocks):
            transactions, self._waiting = tuple(self._waiting), []
            block = self.ledger.seal(transactions)
            for transaction in transactions:
                watcher = _watcher_of(transaction.raw)
                for status in ("inBlock", "finalized"):
                    await self._notify(watcher, {status: _hex(block.hash)})
            for watcher, (_, kind) in list(self._watchers.items()):
                if kind == "heads":
                    await self._notify(watcher, self._header(block))

    async def _notify(self, watcher: str, result: Any) -> None:
        if watcher in self._watchers:
            params = {"subscription": watcher, "result": result}
            message = {"jsonrpc": "2.0", "method": "subscription", "params": params}
            try:
                await self._watchers[watcher][0].send(json.dumps(message))
            except ConnectionClosed:
                self._watchers.pop(watcher, None)

    async def _talk(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        try:
            async for message in connection:
                request = json.loads(message)
                batch = request if isinstance(request, list) else [request]
                answers = [await self._answer(connection, each) for each in batch]
                replies = [answer for answer in answers if answer is not None]
                if replies:
                    await connection.send(json.dumps(replies if isinstance(request, list) else replies[0]))
        except ConnectionClosed:
            pass
        finally:
            self._connections.discard(connection)

    async def _answer(self, connection: ServerConnection, request: dict[str, Any]) -> dict[str, Any] | None:
        method, params = request["method"], request.get("params") or []
        self.calls.append(method)
        head = {"jsonrpc": "2.0", "id": request["id"]}
        if method in self.faults.silent:
            return None
        if self.faults.failing.get(method, 0) > 0:
            self.faults.failing[method] -= 1
            return head | {"error": {"code": -32000, "message": self.faults.message}}
        handler = getattr(self, f"_{method}", None)
        if handler is None:
            return head | {"error": {"code": -32601, "message": f"Method not found: {method}"}}
        try:
            return head | {"result": handler(connection, *params)}
        except TransactionRefused as refused:
            return head | {"error": {"code": 1010, "message": str(refused), "data": str(refused)}}

    # Reads. Each function has the name of the method that it answers.

    def _at(self, block_hash: str | None) -> Block:
        return self.ledger.head if block_hash is None else self.ledger.by_hash[_raw(block_hash)]

    def _header(self, block: Block) -> dict[str, Any]:
        empty = _hex(bytes(32))
        return {
            "number": hex(block.number),
            "parentHash": _hex(block.parent),
            "stateRoot": empty,
            "extrinsicsRoot": empty,
            "digest": {"logs": []},
        }

    def _chain_getHead(self, _connection: ServerConnection) -> str:
        return _hex(self.ledger.head.hash)

    _chain_getFinalizedHead = _chain_getHead

    def _chain_getBlockHash(self, _connection: ServerConnection, number: int | None = None) -> str | None:
        if number is None:
            return _hex(self.ledger.head.hash)
        return _hex(self.ledger.blocks[number].hash) if 0 <= number < len(self.ledger.blocks) else None

    def _chain_getHeader(self, _connection: ServerConnection, block_hash: str | None = None) -> dict[str, Any]:
        return self._header(self._at(block_hash))

    def _chain_getBlock(self, _connection: ServerConnection, block_hash: str | None = None) -> dict[str, Any]:
        block = self._at(block_hash)
        extrinsics = [_hex(raw) for raw in block.extrinsics]
        return {"block": {"header": self._header(block), "extrinsics": extrinsics}, "justifications": None}

    def _state_getRuntimeVersion(self, *_: Any) -> dict[str, Any]:
        return {
            "specName": "node-subtensor",
            "specVersion": SPEC_VERSION,
            "transactionVersion": TRANSACTION_VERSION,
            "implVersion": 1,
            "authoringVersion": 1,
            "apis": [],
            "stateVersion": 1,
        }

    def _state_getMetadata(self, *_: Any) -> str:
        return _hex(self.ledger.metadata)

    def _state_getStorage(
        self, _connection: ServerConnection, key: str, block_hash: str | None = None
    ) -> str | None:
        return _hex_or_none(self._at(block_hash).state.get(_raw(key)))

    _state_getStorageAt = _state_getStorage

    def _state_getKeysPaged(
        self, _connection: ServerConnection, prefix: str, count: int, start: str, block_hash: str | None = None
    ) -> list[str]:
        first, after = _raw(prefix), _raw(start)
        keys = sorted(key for key in self._at(block_hash).state if key.startswith(first) and key > after)
        return [_hex(key) for key in keys[:count]]

    def _state_queryStorageAt(
        self, _connection: ServerConnection, keys: list[str], block_hash: str | None = None
    ) -> list[dict[str, Any]]:
        block = self._at(block_hash)
        changes = [[key, _hex_or_none(block.state.get(_raw(key)))] for key in keys]
        return [{"block": _hex(block.hash), "changes": changes}]

    def _state_call(
        self, _connection: ServerConnection, method: str, data: str, block_hash: str | None = None
    ) -> str:
        block = self._at(block_hash)
        if method == "Metadata_metadata_at_version":
            return _hex(b"\1" + blob(self.ledger.metadata))
        api, _, name = method.partition("_")
        values: dict[str, Callable[[], Any]] = {
            "query_info": lambda: {
                "weight": {"ref_time": 1, "proof_size": 0},
                "class": "Normal",
                "partial_fee": 0,
            },
            "get_next_epoch_start_block": lambda: block.number + 10,
            "get_metagraph": lambda: (
                self.ledger.metagraph(block)
                if int.from_bytes(_raw(data)[:2], "little") == self.ledger.netuid
                else None
            ),
        }
        if name not in values:
            raise TransactionRefused(f"Exported method {method} is not found")
        output = self.ledger.runtime.runtime_api_map()[api][name]["output"]
        return _hex(bytes(self.ledger.runtime.encode(output, values[name]())))

    def _account_nextIndex(self, _connection: ServerConnection, account: str) -> int:
        return self.ledger.next_nonce(account, self._waiting)

    _system_accountNextIndex = _account_nextIndex

    def _system_chain(self, *_: Any) -> str:
        return "fake"

    def _system_properties(self, *_: Any) -> dict[str, Any]:
        return {"ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "TAO"}

    def _rpc_methods(self, *_: Any) -> dict[str, Any]:
        return {"methods": []}

    # Writes and subscriptions

    def _author_submitExtrinsic(self, connection: ServerConnection, data: str) -> str:
        return self._accept(connection, data)

    def _author_submitAndWatchExtrinsic(self, connection: ServerConnection, data: str) -> str:
        watcher = _watcher_of(_raw(data))
        self._watchers[watcher] = (connection, "transaction")
        self._accept(connection, data)
        return watcher

    def _accept(self, connection: ServerConnection, data: str) -> str:
        transaction = self.ledger.opened(_raw(data), self._waiting)
        if not self.faults.swallows:
            self._waiting.append(transaction)
            self._later(self.produce)
        if self.faults.drops:
            self.faults.drops = False
            connection.transport.abort()
        return _hex(blake2b(transaction.raw))

    def _later(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def wait() -> None:
            await asyncio.sleep(_BLOCK_DELAY_S)
            await work()

        task = asyncio.ensure_future(wait())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _chain_subscribeNewHeads(self, connection: ServerConnection, *_: Any) -> str:
        watcher = f"heads-{len(self._watchers)}-{id(connection)}"
        self._watchers[watcher] = (connection, "heads")
        return watcher

    _chain_subscribeNewHead = _chain_subscribeFinalizedHeads = _chain_subscribeNewHeads

    def _author_unwatchExtrinsic(self, _connection: ServerConnection, watcher: str) -> bool:
        return self._watchers.pop(watcher, None) is not None

    _chain_unsubscribeNewHeads = _chain_unsubscribeNewHead = _author_unwatchExtrinsic
    _chain_unsubscribeFinalizedHeads = _author_unwatchExtrinsic


class RunningNode:
    """A node in its own thread, for blocking code."""

    def __init__(self, node: Node, loop: asyncio.AbstractEventLoop) -> None:
        self.node = node
        self._loop = loop

    @property
    def url(self) -> str:
        return self.node.url

    def do(self, work: Callable[[], T]) -> T:
        """Run a function on the node's event loop, so that it never runs at the same time as the node's code."""

        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    def register(self, hotkey: str, *, stake: float = 0.0, permit: bool = False, coldkey: str | None = None) -> int:
        return self.do(lambda: self.node.ledger.register(hotkey, stake=stake, permit=permit, coldkey=coldkey))

    def appoint(self, hotkey: str) -> None:
        self.do(lambda: self.node.ledger.appoint(hotkey))

    def mint(self, address: str, amount_rao: int) -> None:
        self.do(lambda: self.node.ledger.mint(address, amount_rao))

    def transfer(self, sender: str, receiver: str, amount_rao: int) -> None:
        self.do(lambda: self.node.ledger.transfer(sender, receiver, amount_rao))

    def weights(self, hotkey: str) -> dict[int, float]:
        return self.do(lambda: self.node.ledger.weights(hotkey))

    def advance(self, blocks: int = 1) -> None:
        asyncio.run_coroutine_threadsafe(self.node.produce(blocks), self._loop).result(30)

    def drop_connections(self) -> None:
        asyncio.run_coroutine_threadsafe(self.node.drop_connections(), self._loop).result(30)


@contextmanager
def running_node(ledger: Ledger) -> Iterator[RunningNode]:
    """A node on a free port of loopback, until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fakechain", daemon=True)
    thread.start()
    node = Node(ledger)
    asyncio.run_coroutine_threadsafe(node.start(), loop).result(30)
    try:
        yield RunningNode(node, loop)
    finally:
        asyncio.run_coroutine_threadsafe(node.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def _watcher_of(raw: bytes) -> str:
    return f"transaction-{blake2b(raw).hex()[:16]}"


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _hex_or_none(data: bytes | None) -> str | None:
    return None if data is None else _hex(data)


def _raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
