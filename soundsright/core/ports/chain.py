"""A chain: blocks, registered hotkeys, commitments and weights. Blocks are counted; times are in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from soundsright.core.ports.tables import checked_amount
from soundsright.core.submission import Commitment


@dataclass(frozen=True)
class BlockRef:
    """A block by its number and its hash, a hex string."""

    number: int
    hash: str


@dataclass(frozen=True)
class Neuron:
    """A registered hotkey. `endpoint` is the `host:port` that it serves, if it serves one.

    `weights_set_at` is the block of its latest weights. It is None if it never set any, or if the chain does not
    report it. `coldkey` is the address that owns the hotkey and pays for it, or None if the chain knows none.
    """

    uid: int
    hotkey: str
    registered_at: int
    stake: float = 0.0
    permit: bool = False
    endpoint: str | None = None
    weights_set_at: int | None = None
    coldkey: str | None = None


@dataclass(frozen=True)
class TxResult:
    """Whether a write reached the chain. If `unknown`, it might have: read the state again before you retry."""

    ok: bool
    code: str = ""
    message: str = ""
    block: int | None = None
    retryable: bool = False
    unknown: bool = False


@dataclass(frozen=True)
class Snapshot:
    """The registered hotkeys and the commitments as of one block."""

    block: BlockRef
    neurons: tuple[Neuron, ...]
    commitments: tuple[Commitment, ...]


class Chain(Protocol):
    """A ledger of blocks, registrations, commitments and weights.

    Every method raises ChainUnavailable if the chain does not answer.
    """

    def head(self) -> BlockRef: ...
    def finalized(self) -> BlockRef: ...
    def block_hash(self, number: int) -> str: ...
    def neurons(self) -> tuple[Neuron, ...]: ...
    def commitments(self) -> tuple[Commitment, ...]: ...
    def snapshot(self, number: int | None = None) -> Snapshot:
        """The chain as it was at that block. None means the head."""
        ...

    def publish(self, hotkey: str, digest: str) -> TxResult: ...
    def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class SubnetRules:
    """The chain's current rules for setting weights. `max_weight` is the largest share that one hotkey can get.

    Weights take effect every `tempo_blocks`. After setting weights, wait `rate_limit_blocks` before you set them
    again. With `commit_reveal` they are sealed when set, and the chain opens them later.
    """

    tempo_blocks: int = 360
    rate_limit_blocks: int = 0
    min_weights: int = 0
    max_weight: float = 1.0
    commit_reveal: bool = False


class LiveChain(Chain, Protocol):
    """A chain whose blocks come with time, and which lists the endpoints of miners."""

    def rules(self) -> SubnetRules:
        """The rules that the chain's owner has set, read again on each call."""
        ...

    def clock_offset_s(self, now_s: float) -> float:
        """Seconds by which the chain's clock is ahead of a machine that shows `now_s`; 0 if it is unknown."""
        ...

    def owner(self) -> str | None:
        """The hotkey of the chain's or subnet's owner, or None if there is none.

        It may commit without registration if the chain allows it.
        """
        ...

    def timestamp_s(self, number: int) -> float:
        """The time at which that block was made, in seconds since the epoch."""
        ...

    def publish_endpoint(self, hotkey: str, endpoint: str) -> TxResult:
        """Announce the `host:port` at which the hotkey serves requests."""
        ...


@dataclass(frozen=True)
class Transfer:
    """An amount in RAO that the address `coldkey` sent in that block. No other transfer of the chain has its `id`.

    Raises:
        ValueError: the amount is not a whole number of RAO from 1 to `MAX_RAO`, or a part is missing.
    """

    id: str
    coldkey: str
    amount_rao: int
    block: int

    def __post_init__(self) -> None:
        checked_amount(self.amount_rao)
        if not self.id or not self.coldkey or type(self.block) is not int or self.block < 0:
            raise ValueError("A transfer has an id, the address that sent it, and the number of a block")


class Treasury(Protocol):
    """The payments to an address. A chain implements it if coldkeys can send RAO to each other."""

    def transfers(self, to: str, after_block: int, until_block: int | None = None) -> tuple[Transfer, ...]:
        """Every transfer to the address in the blocks after `after_block`, up to and including `until_block`.

        They are in the order of the chain. None means the last final block. To go on later, choose `until_block`
        yourself and give it as the next `after_block`: the answer has all transfers up to it.

        Raises:
            ChainUnavailable: the chain does not answer, or `until_block` is not final yet. The answer is never a
                part of the transfers.
            HistoryGone: the chain no longer has a block or a transfer that was asked for.
        """
        ...


class Timelock(Protocol):
    """Seals a text until a given time. Nobody can open it earlier; everybody can open it later."""

    def sealed(self, text: str, *, until_s: float) -> str:
        """The sealed text. It opens at the lock's first tick at or after `until_s` (seconds since the epoch)."""
        ...

    def opens_s(self, sealed: str) -> float:
        """The time at which a sealed text opens, in seconds since the epoch.

        Raises:
            EntryRefused: `bad_seal`, if this is not a sealed text.
        """
        ...

    def opened(self, sealed: str) -> str:
        """The text, once it can be opened.

        Raises:
            EntryRefused: `bad_seal`, if this is not a sealed text.
            PeerUnavailable: the key that opens it cannot be fetched now.
        """
        ...


class Account(Protocol):
    """A hotkey that can sign. `address` is its name on a chain."""

    @property
    def address(self) -> str: ...
    def sign(self, message: bytes) -> bytes: ...
