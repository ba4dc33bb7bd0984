"""A connection to a Bittensor node with a deadline for each call. Times are in seconds.

The SDK's client is asynchronous, so it runs on an event loop in a separate thread. A connection that fails or hangs
is closed, and the next call makes a new one.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from soundsright.adapters.chains.bittensor_sdk import load_sdk
from soundsright.adapters.chains.bittensor_values import result_of
from soundsright.core.errors import ChainUnavailable
from soundsright.core.ports import TxResult

if TYPE_CHECKING:
    from soundsright.adapters.peers import Hotkey

T = TypeVar("T")

_TRIES = 3
_FIRST_PAUSE_S = 1.0
# A hanging loop cannot keep its own deadline, so the caller stops waiting a little later.
_GRACE_S = 10.0
_CLOSE_S = 5.0


class BittensorConnection:
    """Reads from the node at `endpoint` and writes to it, one write at a time.

    `read_timeout_s` limits a read, `write_timeout_s` a write with its wait for a block.

    Raises:
        UsageError: the SDK is not installed.
    """

    def __init__(
        self, endpoint: str, *, read_timeout_s: float, write_timeout_s: float, sleep: Callable[[float], None]
    ) -> None:
        load_sdk()
        self.read_timeout_s = read_timeout_s
        self.write_timeout_s = write_timeout_s
        self._endpoint = endpoint
        self._sleep = sleep
        self._client: Any = None
        self._write_lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._connect_lock = asyncio.Lock()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bittensor", daemon=True)
        self._thread.start()

    def read(self, read: Callable[[Any], Awaitable[T]]) -> T:
        """The result of `read`, which gets the SDK's client. It is tried three times.

        Raises:
            ChainUnavailable: the node does not answer.
        """
        for attempt in range(_TRIES):
            try:
                return self._call(read, self.read_timeout_s)
            except _NoAnswer as error:
                reason = str(error)
            if attempt + 1 < _TRIES:
                self._sleep(_FIRST_PAUSE_S * 2**attempt)
        raise ChainUnavailable(
            f"{self._endpoint} does not answer: {reason}", "Check SUBTENSOR_CHAIN_ENDPOINT and the network."
        )

    def write(self, account: Hotkey, write: Callable[[Any, Any], Awaitable[Any]]) -> TxResult:
        """The result of `write`, which gets the SDK's client and a wallet. It is never repeated.

        If the connection fails after the write was sent, the result is `unknown`.
        """
        wallet = _wallet_of(account)
        with self._write_lock:
            try:
                # Connect first: if this fails, nothing was written.
                self._call(lambda client: client.block(), self.read_timeout_s)
            except _NoAnswer as error:
                return TxResult(False, "no_answer", str(error), retryable=True)
            try:
                return self._call(lambda client: result_of(write(client, wallet)), self.write_timeout_s)
            except _NoAnswer as error:
                return TxResult(False, "no_answer", str(error), retryable=True, unknown=True)

    def close(self) -> None:
        """Close the connection and end the thread."""
        if not self._loop.is_closed():
            with contextlib.suppress(concurrent.futures.TimeoutError):
                asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_GRACE_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_GRACE_S)
            self._loop.close()

    def _call(self, work: Callable[[Any], Awaitable[T]], timeout_s: float) -> T:
        """Run the work on the loop, with a deadline that is kept even if the loop hangs."""

        async def run() -> T:
            try:
                return await asyncio.wait_for(self._with_client(work), timeout_s)
            except _connection_errors() as error:
                await self._disconnect()
                raise _NoAnswer(_reason(error, timeout_s)) from error

        future = asyncio.run_coroutine_threadsafe(run(), self._loop)
        try:
            return future.result(timeout_s + _GRACE_S)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise _NoAnswer(f"no answer within {timeout_s + _GRACE_S:g} s") from None

    async def _with_client(self, work: Callable[[Any], Awaitable[T]]) -> T:
        import bittensor

        async with self._connect_lock:
            if self._client is None:
                client = bittensor.Client(self._endpoint)
                attempts = _connection_attempts(client)
                try:
                    await client.connect()
                except BaseException:
                    for attempt in attempts:
                        await _close(attempt)
                    raise
                self._client = client
        return await work(self._client)

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await _close(client)

    async def _end(self) -> None:
        await self._disconnect()
        # The SDK's readers of a broken connection may still wait.
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Let the loop run a little, so that its transports can close.
        await asyncio.sleep(0.05)
        await self._loop.shutdown_asyncgens()


class _NoAnswer(Exception):
    """The node did not answer."""


def _wallet_of(account: Hotkey) -> Any:
    """The hotkey as a wallet. The SDK wants a coldkey too, but only the hotkey signs what we write."""
    key = account.keypair
    return SimpleNamespace(
        name="wallet", hotkey_str="hotkey", hotkey=key, hotkeypub=key, coldkey=key, coldkeypub=key
    )


def _connection_attempts(client: Any) -> list[Any]:
    """A list that `client.connect` fills with each connection that it opens.

    The SDK forgets a connection whose handshake fails, and never closes it.
    """
    attempts: list[Any] = []
    open_connection = client._substrate._interface

    def open_and_remember(*arguments: Any) -> Any:
        attempts.append(open_connection(*arguments))
        return attempts[-1]

    client._substrate._interface = open_and_remember
    return attempts


async def _close(client: Any) -> None:
    with contextlib.suppress(*_connection_errors()):
        await asyncio.wait_for(client.close(), _CLOSE_S)


def _connection_errors() -> tuple[type[Exception], ...]:
    """The errors of a connection that is refused, slow or broken."""
    from bittensor.result import BittensorError
    from websockets.exceptions import WebSocketException

    return (TimeoutError, OSError, BittensorError, WebSocketException, asyncio.InvalidStateError)


def _reason(error: BaseException, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    return f"{type(error).__name__}: {str(error)[:200]}"
