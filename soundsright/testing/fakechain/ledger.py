"""The ledger of the fake node: storage, blocks, signed transactions and their effects.

Each block has a copy of the whole state, so any past block can be read. Signatures, nonces and eras are checked as
a node checks them. Times are in milliseconds, as on the chain. A block gets the time of the clock.
"""

from __future__ import annotations

import hashlib
import struct
import time
from dataclasses import dataclass, field
from typing import Any

import bittensor_core as core

from soundsright.testing.fakechain.runtime import SPEC_VERSION, TRANSACTION_VERSION, runtime_metadata
from soundsright.testing.fakechain.scale import read_compact

SS58_FORMAT = 42
_SIGNED_V4 = 0x84
_INFO = {"weight": {"ref_time": 1, "proof_size": 0}, "class": "Normal", "pays_fee": "No"}


class TransactionRefused(Exception):
    """A transaction that a node refuses. It never gets into a block."""


class DispatchFailed(Exception):
    """A transaction in a block that had no effect, with the pallet and its error."""

    def __init__(self, pallet: str, error: str) -> None:
        super().__init__(f"{pallet}.{error}")
        self.pallet = pallet
        self.error = error


@dataclass(frozen=True)
class Block:
    number: int
    hash: bytes
    parent: bytes
    extrinsics: tuple[bytes, ...]
    state: dict[bytes, bytes]


@dataclass(frozen=True)
class Transaction:
    """A transaction with a valid signature."""

    raw: bytes
    signer: str
    nonce: int
    function: str
    arguments: dict[str, Any]


@dataclass
class Registration:
    """A registered hotkey. Its stake is in the smallest unit of the chain."""

    address: str
    coldkey: str
    stake: int
    permit: bool
    registered_at: int
    axon: dict[str, int] = field(default_factory=dict)


class Ledger:
    """One subnet and its blocks."""

    def __init__(self, netuid: int = 1, *, commit_reveal: bool = False, rate_limit_blocks: int = 0) -> None:
        self.netuid = netuid
        self.metadata = runtime_metadata()
        self.runtime = core.Runtime(self.metadata, SPEC_VERSION, TRANSACTION_VERSION, SS58_FORMAT)
        self.blocks: list[Block] = []
        self.by_hash: dict[bytes, Block] = {}
        self.hotkeys: list[Registration] = []
        self._pallets = {pallet["name"]: pallet for pallet in self.runtime.metadata_ir()["pallets"]}
        self._state: dict[bytes, bytes] = {}
        self._events: list[dict[str, Any]] = []
        self._payments: list[dict[str, Any]] = []
        self._now_ms = 0
        self._number = 0
        for name, value in (
            ("NetworksAdded", True),
            ("CommitRevealWeightsEnabled", commit_reveal),
            ("WeightsSetRateLimit", rate_limit_blocks),
            ("TokenSymbol", list("α".encode())),
        ):
            self.put("SubtensorModule", name, [netuid], value)
        self.seal(())

    # Storage

    def put(self, pallet: str, item: str, key: list[Any], value: Any) -> None:
        kind = self.runtime.storage_entry(pallet, item).value_type
        self._state[bytes(self.runtime.storage_key(pallet, item, key))] = bytes(self.runtime.encode(kind, value))

    def get(self, pallet: str, item: str, key: list[Any]) -> Any:
        entry = self.runtime.storage_entry(pallet, item)
        raw = self._state.get(bytes(self.runtime.storage_key(pallet, item, key)))
        if raw is None and entry.modifier != "Default":
            return None
        return self.runtime.decode(entry.value_type, bytes(entry.default_bytes) if raw is None else raw)

    def subnet(self, item: str) -> Any:
        return self.get("SubtensorModule", item, [self.netuid])

    # Actions of the subnet's owner

    def appoint(self, hotkey: str) -> None:
        """Make the hotkey that of the subnet's owner."""
        self.put("SubtensorModule", "SubnetOwnerHotkey", [self.netuid], hotkey)
        self.seal(())

    def mint(self, address: str, amount_rao: int) -> None:
        """Add new RAO to the balance of an account."""
        account = self.get("System", "Account", [address])
        data = account["data"] | {"free": account["data"]["free"] + amount_rao}
        self.put("System", "Account", [address], account | {"data": data})

    def transfer(self, sender: str, receiver: str, amount_rao: int) -> None:
        """Move RAO between two accounts in a new block."""
        if self.get("System", "Account", [sender])["data"]["free"] < amount_rao:
            raise DispatchFailed("Balances", "InsufficientBalance")
        self.mint(sender, -amount_rao)
        self.mint(receiver, amount_rao)
        transfer = {"Transfer": {"from": sender, "to": receiver, "amount": amount_rao}}
        self._payments.append({"phase": {"ApplyExtrinsic": 0}, "event": {"Balances": transfer}, "topics": []})
        self.seal(())

    def register(
        self, address: str, *, stake: float = 0.0, permit: bool = False, coldkey: str | None = None
    ) -> int:
        """Register a hotkey in a new block. Returns its uid. `stake` is in whole units."""
        own_uid = next((uid for uid, hotkey in enumerate(self.hotkeys) if hotkey.address == address), None)
        if own_uid is not None:
            return own_uid
        uid = len(self.hotkeys)
        self.hotkeys.append(
            Registration(address, coldkey or address, int(stake * 1e9), permit, self.head.number + 1)
        )
        self.put("SubtensorModule", "Uids", [self.netuid, address], uid)
        self.put("SubtensorModule", "Keys", [self.netuid, uid], address)
        self.put("SubtensorModule", "SubnetworkN", [self.netuid], len(self.hotkeys))
        self.put("SubtensorModule", "ValidatorPermit", [self.netuid], [h.permit for h in self.hotkeys])
        self.put("SubtensorModule", "LastUpdate", [self.netuid], [*self.subnet("LastUpdate"), 0])
        self.seal(())
        return uid

    def weights(self, address: str) -> dict[int, float]:
        """The last weights of a validator by uid, as fractions of the greatest one."""
        uid = self._uid(address, "SubtensorModule", "HotKeyNotRegisteredInSubNet")
        return {int(u): w / 65_535 for u, w in self.get("SubtensorModule", "Weights", [self.netuid, uid])}

    def sealed_weights(self) -> list[tuple[str, int]]:
        """The validators that committed to weights, each with the drand round that reveals them."""
        commits = self.get("SubtensorModule", "TimelockedWeightCommits", [self.netuid, 0]) or []
        return [(who, reveal_round) for who, _, _, reveal_round in commits]

    # Blocks

    @property
    def head(self) -> Block:
        return self.blocks[-1]

    def seal(self, transactions: tuple[Transaction, ...]) -> Block:
        """Make a block with these transactions."""
        self._number = len(self.blocks)
        self._now_ms = max(self._now_ms + 1, int(time.time() * 1_000))
        self._events = []
        self.put("System", "Number", [], self._number)
        self.put("Timestamp", "Now", [], self._now_ms)
        raw = [b"\x28\x04\x02\x00\x0b" + self._now_ms.to_bytes(6, "little")]
        self._succeeded(0)
        self._events += self._payments
        self._payments = []
        for index, transaction in enumerate(transactions, 1):
            raw.append(transaction.raw)
            self._apply(index, transaction)
        self.put("System", "Events", [], self._events)
        parent = self.head.hash if self.blocks else bytes(32)
        digest = blake2b(parent + struct.pack("<I", self._number) + b"".join(raw))
        block = Block(self._number, digest, parent, tuple(raw), dict(self._state))
        self.blocks.append(block)
        self.by_hash[digest] = block
        return block

    def _apply(self, index: int, transaction: Transaction) -> None:
        account = self.get("System", "Account", [transaction.signer])
        self.put("System", "Account", [transaction.signer], account | {"nonce": transaction.nonce + 1})
        before = dict(self._state)
        effects = {
            "set_commitment": self._set_commitment,
            "serve_axon": self._serve_axon,
            "set_mechanism_weights": self._set_weights,
            "commit_timelocked_mechanism_weights": self._commit_weights,
        }
        try:
            effects[transaction.function](transaction.signer, transaction.arguments)
        except DispatchFailed as failure:
            self._state = before
            pallet = self._pallets[failure.pallet]
            error = next(e["index"] for e in pallet["errors"] if e["name"] == failure.error)
            module = {"Module": {"index": pallet["index"], "error": [error, 0, 0, 0]}}
            self._event(index, "ExtrinsicFailed", {"dispatch_error": module, "dispatch_info": _INFO})
        else:
            self._succeeded(index)

    def _succeeded(self, index: int) -> None:
        self._event(index, "ExtrinsicSuccess", {"dispatch_info": _INFO})

    def _event(self, index: int, name: str, attributes: dict[str, Any]) -> None:
        self._events.append(
            {"phase": {"ApplyExtrinsic": index}, "event": {"System": {name: attributes}}, "topics": []}
        )

    # Effects of transactions

    def _uid(self, who: str, pallet: str, error: str) -> int:
        uid = self.get("SubtensorModule", "Uids", [self.netuid, who])
        if uid is None:
            raise DispatchFailed(pallet, error)
        return int(uid)

    def _set_commitment(self, who: str, arguments: dict[str, Any]) -> None:
        self._uid(who, "Commitments", "AccountNotAllowedCommit")
        fields = arguments["info"]["fields"]
        if len(fields) > 3:
            raise DispatchFailed("Commitments", "TooManyFieldsInCommitmentInfo")
        epoch = self._number // (self.subnet("Tempo") + 1)
        usage = self.get("Commitments", "UsedSpaceOf", [self.netuid, who])
        used = usage["used_space"] if usage and usage["last_epoch"] == epoch else 0
        used += max(
            100, sum(_bytes_of(value) for each in fields if isinstance(each, dict) for value in each.values())
        )
        if used > self.get("Commitments", "MaxSpace", []):
            raise DispatchFailed("Commitments", "SpaceLimitExceeded")
        key = [self.netuid, who]
        self.put("Commitments", "UsedSpaceOf", key, {"last_epoch": epoch, "used_space": used})
        info = {"deposit": 0, "block": self._number, "info": {"fields": [fields]}}
        self.put("Commitments", "CommitmentOf", key, info)
        self.put("Commitments", "LastCommitment", key, self._number)

    def _serve_axon(self, who: str, arguments: dict[str, Any]) -> None:
        uid = self._uid(who, "SubtensorModule", "HotKeyNotRegisteredInSubNet")
        last = self.hotkeys[uid].axon.get("block", 0)
        if last and self._number - last < self.subnet("ServingRateLimit"):
            raise DispatchFailed("SubtensorModule", "ServingRateLimitExceeded")
        axon = {name: arguments[name] for name in ("version", "ip", "port", "ip_type", "protocol")}
        self.hotkeys[uid].axon = axon | {"block": self._number}

    def _may_set_weights(self, who: str, version_key: int | None) -> int:
        uid = self._uid(who, "SubtensorModule", "HotKeyNotRegisteredInSubNet")
        if not self.hotkeys[uid].permit:
            raise DispatchFailed("SubtensorModule", "NeuronNoValidatorPermit")
        if version_key is not None and version_key < self.subnet("WeightsVersionKey"):
            raise DispatchFailed("SubtensorModule", "IncorrectWeightVersionKey")
        updated = list(self.subnet("LastUpdate"))
        if updated[uid] and self._number - updated[uid] < self.subnet("WeightsSetRateLimit"):
            raise DispatchFailed("SubtensorModule", "SettingWeightsTooFast")
        updated[uid] = self._number
        self.put("SubtensorModule", "LastUpdate", [self.netuid], updated)
        return uid

    def _set_weights(self, who: str, arguments: dict[str, Any]) -> None:
        uid = self._may_set_weights(who, arguments["version_key"])
        pairs = list(zip(arguments["dests"], arguments["weights"], strict=True))
        if len(pairs) < self.subnet("MinAllowedWeights"):
            raise DispatchFailed("SubtensorModule", "WeightVecLengthIsLow")
        values = [int(weight) for _, weight in pairs]
        # Allow a little rounding, as in the chain's fixed-point numbers.
        if max(values) / sum(values) > self.subnet("MaxWeightsLimit") / 65_535 + 1e-3:
            raise DispatchFailed("SubtensorModule", "MaxWeightExceeded")
        self.put("SubtensorModule", "Weights", [self.netuid, uid], pairs)

    def _commit_weights(self, who: str, arguments: dict[str, Any]) -> None:
        self._may_set_weights(who, None)
        key = [self.netuid, 0]
        pending = [tuple(commit) for commit in self.get("SubtensorModule", "TimelockedWeightCommits", key) or []]
        pending.append((who, self._number, arguments["commit"], arguments["reveal_round"]))
        self.put("SubtensorModule", "TimelockedWeightCommits", key, pending)

    # Transactions

    def opened(self, raw: bytes, waiting: list[Transaction]) -> Transaction:
        """The signed transaction in these bytes.

        Raises:
            TransactionRefused: it is not signed, or its signature, nonce or era is wrong.
        """
        _, at = read_compact(raw, 0)
        if raw[at] != _SIGNED_V4 or raw[at + 1] != 0:
            raise TransactionRefused("1010 Transaction is not signed by an account")
        public_key, scheme = raw[at + 2 : at + 34], raw[at + 34]
        signature, start = raw[at + 35 : at + 99], at + 99
        end = start + (1 if raw[start] == 0 else 2)
        nonce, end = read_compact(raw, end)
        _tip, end = read_compact(raw, end)
        extra, call = raw[start : end + 1], raw[end + 1 :]
        genesis = self.blocks[0].hash
        payload = (
            call
            + extra
            + struct.pack("<II", SPEC_VERSION, TRANSACTION_VERSION)
            + genesis
            + self._era_hash(extra, genesis)
            + b"\0"
        )
        signer = core.ss58_encode(public_key, SS58_FORMAT)
        if not core.verify(blake2b(payload) if len(payload) > 256 else payload, signature, signer, scheme):
            raise TransactionRefused("1010 Transaction has a bad signature")
        if nonce < self.next_nonce(signer, waiting):
            raise TransactionRefused("1010 Transaction is outdated")
        decoded = self.runtime.decode_call(call)
        arguments = {argument["name"]: argument["value"] for argument in decoded["call_args"]}
        return Transaction(raw, signer, nonce, decoded["call_function"], arguments)

    def next_nonce(self, who: str, waiting: list[Transaction]) -> int:
        return int(self.get("System", "Account", [who])["nonce"]) + sum(t.signer == who for t in waiting)

    def _era_hash(self, extra: bytes, genesis: bytes) -> bytes:
        """The hash of the block from which the transaction is valid."""
        if extra[0] == 0:
            return genesis
        encoded = extra[0] | extra[1] << 8
        period = 2 << (encoded % 16)
        phase = (encoded >> 4) * max(period >> 12, 1)
        now = self.head.number
        birth = max(now, phase) - (max(now, phase) - phase) % period
        if now >= birth + period:
            raise TransactionRefused("1010 Transaction is outdated")
        return self.blocks[birth].hash

    # Runtime APIs

    def metagraph(self, block: Block) -> dict[str, Any]:
        """The subnet as the runtime reports it, with the current registrations."""
        keys = self.hotkeys
        zeros = [0] * len(keys)
        no_axon = {"block": 0, "version": 0, "ip": 0, "port": 0, "ip_type": 4, "protocol": 4}
        stakes = [key.stake for key in keys]
        owner = keys[0].address if keys else core.ss58_encode(bytes(32), SS58_FORMAT)
        return {
            "netuid": self.netuid,
            "name": list(b"fake"),
            "symbol": list(b"a"),
            "block": block.number,
            "tempo": self.subnet("Tempo"),
            "last_step": 0,
            "blocks_since_last_step": 0,
            "owner_hotkey": owner,
            "owner_coldkey": owner,
            "network_registered_at": 0,
            "num_uids": len(keys),
            "max_uids": 256,
            "tao_in": 10**9,
            "alpha_in": 10**9,
            "hotkeys": [key.address for key in keys],
            "coldkeys": [key.coldkey for key in keys],
            "axons": [key.axon or no_axon for key in keys],
            "active": [True] * len(keys),
            "validator_permit": [key.permit for key in keys],
            "last_update": list(self.subnet("LastUpdate")),
            "block_at_registration": [key.registered_at for key in keys],
            "alpha_stake": stakes,
            "tao_stake": zeros,
            "total_stake": stakes,
            "emission": zeros,
            "incentives": zeros,
            "consensus": zeros,
            "dividends": zeros,
            "weights_version": 0,
        }


def blake2b(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


def _bytes_of(value: Any) -> int:
    if isinstance(value, dict):
        return _bytes_of(value["encrypted"])
    if isinstance(value, str):
        return (len(value) - 2) // 2 if value.startswith("0x") else len(value.encode())
    return len(value)
