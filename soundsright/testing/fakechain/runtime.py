"""The runtime of the fake node: the parts of Bittensor's runtime that miners and validators use.

Names, indices and shapes are those of the real chain's metadata.
"""

from __future__ import annotations

from collections.abc import Sequence

from soundsright.testing.fakechain.scale import Api, Extrinsics, Pallet, Registry, Variant, metadata

SPEC_VERSION = 900
TRANSACTION_VERSION = 1
_U16_KEY = ("Identity",)
_BY_NETUID_AND_HOTKEY = ("Identity", "Twox64Concat")


def runtime_metadata() -> bytes:
    """The metadata, as `state_getMetadata` returns it."""
    return _Runtime().metadata()


class _Runtime:
    """Builds the types, then the pallets that use them."""

    def __init__(self) -> None:
        r = self.registry = Registry()
        self.u8, self.u16, self.u32, self.u64, self.u128, self.flag = (
            r.primitive(name) for name in ("u8", "u16", "u32", "u64", "u128", "bool")
        )
        self.unit = r.tuple_of()
        self.bytes32 = r.array(32, self.u8)
        self.bytes = r.sequence(self.u8)
        self.account = r.composite("sp_core::crypto::AccountId32", [(None, self.bytes32, "[u8; 32]")])
        self.h256 = r.composite("primitive_types::H256", [(None, self.bytes32, "[u8; 32]")])
        weight_parts = [(part, r.compact_of(self.u64)) for part in ("ref_time", "proof_size")]
        self.weight = r.composite("sp_weights::weight_v2::Weight", weight_parts)
        self.dispatch_class = self._enum(
            "frame_support::dispatch::DispatchClass", ["Normal", "Operational", "Mandatory"]
        )

    def metadata(self) -> bytes:
        system, timestamp = self._system(), self._timestamp()
        subtensor, commitments = self._subtensor(), self._commitments()
        aura = Pallet("Aura", 5).constant("SlotDuration", self.u64, (12_000).to_bytes(8, "little"))
        balances = self._balances()
        pallets = [system, timestamp, aura, balances, subtensor, commitments]
        outer = [
            self._outer("RuntimeCall", [(p, p.calls) for p in pallets]),
            self._outer("RuntimeEvent", [(p, p.event) for p in pallets]),
            self._outer("RuntimeError", [(p, p.error) for p in pallets]),
        ]
        record = self.registry.composite(
            "frame_system::EventRecord",
            [("phase", self._phase()), ("event", outer[1]), ("topics", self.registry.sequence(self.h256))],
        )
        system.plain("Events", self.registry.sequence(record), b"\0")
        return metadata(self.registry, pallets, self._extrinsics(outer[0]), self.unit, self._apis(), outer)

    def _enum(self, path: str, names: Sequence[str]) -> int:
        return self.registry.variants(path, [(name, i, []) for i, name in enumerate(names)])

    def _outer(self, name: str, parts: Sequence[tuple[Pallet, int | None]]) -> int:
        variants: list[Variant] = [(p.name, p.index, [(None, kind)]) for p, kind in parts if kind is not None]
        return self.registry.variants(f"node_subtensor_runtime::{name}", variants)

    def _phase(self) -> int:
        return self.registry.variants(
            "frame_system::Phase",
            [("ApplyExtrinsic", 0, [(None, self.u32)]), ("Finalization", 1, []), ("Initialization", 2, [])],
        )

    def _system(self) -> Pallet:
        r = self.registry
        balance = r.composite(
            "pallet_balances::types::AccountData",
            [("free", self.u64), ("reserved", self.u64), ("frozen", self.u64), ("flags", self.u128)],
        )
        counts = [(name, self.u32) for name in ("nonce", "consumers", "providers", "sufficients")]
        account = r.composite("frame_system::AccountInfo", [*counts, ("data", balance)])
        module_error = r.composite("sp_runtime::ModuleError", [("index", self.u8), ("error", r.array(4, self.u8))])
        dispatch_error = r.variants(
            "sp_runtime::DispatchError",
            [
                ("Other", 0, []),
                ("CannotLookup", 1, []),
                ("BadOrigin", 2, []),
                ("Module", 3, [(None, module_error)]),
            ],
        )
        info = r.composite(
            "frame_support::dispatch::DispatchInfo",
            [
                ("weight", self.weight),
                ("class", self.dispatch_class),
                ("pays_fee", self._enum("frame_support::dispatch::Pays", ["Yes", "No"])),
            ],
        )
        pallet = Pallet(
            "System",
            0,
            calls=r.variants("frame_system::pallet::Call", [("remark", 0, [("remark", self.bytes)])]),
            event=r.variants(
                "frame_system::pallet::Event",
                [
                    ("ExtrinsicSuccess", 0, [("dispatch_info", info)]),
                    ("ExtrinsicFailed", 1, [("dispatch_error", dispatch_error), ("dispatch_info", info)]),
                ],
            ),
        )
        pallet.map("Account", ["Blake2_128Concat"], self.account, account, bytes(16 + 24 + 16))
        pallet.plain("Number", self.u32, bytes(4))
        return pallet.map("BlockHash", ["Twox64Concat"], self.u32, self.h256, bytes(32))

    def _timestamp(self) -> Pallet:
        call = [("set", 0, [("now", self.registry.compact_of(self.u64))])]
        pallet = Pallet("Timestamp", 2, calls=self.registry.variants("pallet_timestamp::pallet::Call", call))
        return pallet.plain("Now", self.u64, bytes(8))

    def _balances(self) -> Pallet:
        transfer = [("from", self.account), ("to", self.account), ("amount", self.u64)]
        event = self.registry.variants("pallet_balances::pallet::Event", [("Transfer", 2, transfer)])
        return Pallet("Balances", 6, event=event)

    def _commitments(self) -> Pallet:
        r = self.registry
        bounded = r.composite("bounded_collections::bounded_vec::BoundedVec", [(None, r.sequence(self.u8))])
        hashes = ("BlakeTwo256", "Sha256", "Keccak256", "ShaThree256")
        sealed = [("encrypted", bounded), ("reveal_round", self.u64)]
        data = r.variants(
            "pallet_commitments::types::Data",
            [
                ("None", 0, []),
                *((f"Raw{n}", n + 1, [(None, r.array(n, self.u8))]) for n in range(129)),
                *((name, 130 + i, [(None, self.bytes32)]) for i, name in enumerate(hashes)),
                ("TimelockEncrypted", 134, sealed),
                ("ResetBondsFlag", 135, []),
                ("BigRaw", 136, [(None, bounded)]),
            ],
        )
        fields = r.composite("bounded_collections::bounded_vec::BoundedVec", [(None, r.sequence(data))])
        info = r.composite("pallet_commitments::types::CommitmentInfo", [("fields", fields)])
        registration = r.composite(
            "pallet_commitments::types::Registration",
            [("deposit", self.u64), ("block", self.u32), ("info", info)],
        )
        usage = r.composite(
            "pallet_commitments::types::UsageTracker", [("last_epoch", self.u64), ("used_space", self.u64)]
        )
        who = [("netuid", self.u16), ("who", self.account)]
        errors = ("TooManyFieldsInCommitmentInfo", "AccountNotAllowedCommit", "SpaceLimitExceeded")
        pallet = Pallet(
            "Commitments",
            18,
            calls=r.variants(
                "pallet_commitments::pallet::Call",
                [("set_commitment", 0, [("netuid", self.u16, "NetUid"), ("info", info)])],
            ),
            event=r.variants(
                "pallet_commitments::pallet::Event",
                [("Commitment", 0, who), ("TimelockCommitment", 1, [*who, ("reveal_round", self.u64)])],
            ),
            error=self._enum("pallet_commitments::pallet::Error", errors),
        )
        key = r.tuple_of(self.u16, self.account)
        revealed = r.sequence(r.tuple_of(self.bytes, self.u64))
        pallet.map("CommitmentOf", _BY_NETUID_AND_HOTKEY, key, registration)
        pallet.map("LastCommitment", _BY_NETUID_AND_HOTKEY, key, self.u32)
        pallet.map("RevealedCommitments", _BY_NETUID_AND_HOTKEY, key, revealed)
        pallet.map("UsedSpaceOf", _BY_NETUID_AND_HOTKEY, key, usage)
        pallet.plain("MaxSpace", self.u32, (3_100).to_bytes(4, "little"))
        return pallet.constant("MaxFields", self.u32, (3).to_bytes(4, "little"))

    def _subtensor_calls(self) -> int:
        r = self.registry
        weights = [("netuid", self.u16), ("mecid", self.u8)]
        set_weights = [
            *weights,
            ("dests", r.sequence(self.u16)),
            ("weights", r.sequence(self.u16)),
            ("version_key", self.u64),
        ]
        commit_weights = [
            *weights,
            ("commit", self.bytes),
            ("reveal_round", self.u64),
            ("commit_reveal_version", self.u16),
        ]
        serve = [
            ("netuid", self.u16),
            ("version", self.u32),
            ("ip", self.u128),
            ("port", self.u16),
            *((name, self.u8) for name in ("ip_type", "protocol", "placeholder1", "placeholder2")),
        ]
        return r.variants(
            "pallet_subtensor::pallet::Call",
            [
                ("serve_axon", 4, serve),
                ("set_mechanism_weights", 119, set_weights),
                ("commit_timelocked_mechanism_weights", 118, commit_weights),
            ],
        )

    def _subtensor(self) -> Pallet:
        r = self.registry
        pallet = Pallet(
            "SubtensorModule",
            7,
            calls=self._subtensor_calls(),
            event=r.variants(
                "pallet_subtensor::pallet::Event",
                [
                    ("WeightsSet", 0, [(None, self.u16), (None, self.u16)]),
                    (
                        "TimelockedWeightsCommitted",
                        1,
                        [(None, self.account), (None, self.u16), (None, self.h256), (None, self.u64)],
                    ),
                ],
            ),
            error=self._enum(
                "pallet_subtensor::pallet::Error",
                [
                    "HotKeyNotRegisteredInSubNet",
                    "SettingWeightsTooFast",
                    "NeuronNoValidatorPermit",
                    "IncorrectWeightVersionKey",
                    "NotEnoughStakeToSetWeights",
                    "WeightVecLengthIsLow",
                    "MaxWeightExceeded",
                    "ServingRateLimitExceeded",
                ],
            ),
        )
        self._subnet_storage(pallet)
        return pallet

    def _subnet_storage(self, pallet: Pallet) -> None:
        r = self.registry
        consensus = self._enum("pallet_subtensor::EpochConsensus", ["Yuma", "Null"])

        def number(value: int, size: int = 8) -> bytes:
            return value.to_bytes(size, "little")

        for name, kind, default in (
            ("Tempo", self.u16, number(360, 2)),
            ("CommitRevealWeightsEnabled", self.flag, b"\0"),
            ("WeightsSetRateLimit", self.u64, number(100)),
            ("MinAllowedWeights", self.u16, number(0, 2)),
            ("MaxWeightsLimit", self.u16, b"\xff\xff"),
            ("ServingRateLimit", self.u64, number(0)),
            ("SubnetEpochConsensus", consensus, b"\0"),
            ("RevealPeriodEpochs", self.u64, number(1)),
            ("LastEpochBlock", self.u64, number(0)),
            ("PendingEpochAt", self.u64, number(0)),
            ("SubnetEpochIndex", self.u64, number(0)),
            ("BlocksSinceLastStep", self.u64, number(0)),
            ("ValidatorPermit", r.sequence(self.flag), b"\0"),
            ("LastUpdate", r.sequence(self.u64), b"\0"),
            ("TokenSymbol", self.bytes, b"\0"),
            ("WeightsVersionKey", self.u64, number(0)),
            ("SubnetworkN", self.u16, number(0, 2)),
            ("NetworksAdded", self.flag, b"\0"),
        ):
            pallet.map(name, _U16_KEY, self.u16, kind, default)
        netuid_and_hotkey, pair = r.tuple_of(self.u16, self.account), r.tuple_of(self.u16, self.u16)
        pallet.map("Uids", ["Identity", "Blake2_128Concat"], netuid_and_hotkey, self.u16)
        pallet.map("Keys", ["Identity", "Identity"], pair, self.account, bytes(32))
        pallet.map("Weights", ["Identity", "Identity"], pair, r.sequence(pair), b"\0")
        pending = r.sequence(r.tuple_of(self.account, self.u64, self.bytes, self.u64))
        epoch = r.tuple_of(self.u16, self.u64)
        pallet.map("TimelockedWeightCommits", ["Twox64Concat", "Twox64Concat"], epoch, pending, b"\0")
        pallet.map("SubnetOwnerHotkey", _U16_KEY, self.u16, self.account, bytes(32))
        pallet.map("Owner", ["Blake2_128Concat"], self.account, self.account, bytes(32))

    def _extrinsics(self, call: int) -> Extrinsics:
        r = self.registry
        address = r.variants(
            "sp_runtime::multiaddress::MultiAddress",
            [("Id", 0, [(None, self.account)]), ("Index", 1, [(None, r.compact_of(self.unit))])],
        )
        raw_signature = r.array(64, self.u8)
        signature = r.variants(
            "sp_runtime::MultiSignature",
            [("Ed25519", 0, [(None, raw_signature)]), ("Sr25519", 1, [(None, raw_signature)])],
        )
        era = r.variants(
            "sp_runtime::generic::era::Era",
            [("Immortal", 0, []), *((f"Mortal{n}", n, [(None, self.u8)]) for n in range(1, 256))],
        )
        extensions = [
            ("CheckSpecVersion", self.unit, self.u32),
            ("CheckTxVersion", self.unit, self.u32),
            ("CheckGenesis", self.unit, self.h256),
            ("CheckMortality", era, self.h256),
            ("CheckNonce", r.compact_of(self.u32), self.unit),
            ("ChargeTransactionPayment", r.compact_of(self.u64), self.unit),
            (
                "CheckMetadataHash",
                self._enum("frame_metadata_hash_extension::Mode", ["Disabled", "Enabled"]),
                r.option_of(self.bytes32),
            ),
        ]
        extra = r.tuple_of(*(kind for _, kind, _ in extensions))
        return Extrinsics(address, call, signature, extra, extensions)

    def _apis(self) -> list[Api]:
        r = self.registry
        fee = r.composite(
            "pallet_transaction_payment::types::RuntimeDispatchInfo",
            [("weight", self.weight), ("class", self.dispatch_class), ("partial_fee", self.u64)],
        )
        by_netuid = [("netuid", self.u16)]
        return [
            (
                "SubnetInfoRuntimeApi",
                [
                    ("get_metagraph", by_netuid, r.option_of(self._metagraph())),
                    ("get_next_epoch_start_block", by_netuid, r.option_of(self.u64)),
                ],
            ),
            ("TransactionPaymentApi", [("query_info", [("uxt", self.bytes), ("len", self.u32)], fee)]),
        ]

    def _metagraph(self) -> int:
        r = self.registry
        c16, c64 = r.compact_of(self.u16), r.compact_of(self.u64)
        axon = r.composite(
            "pallet_subtensor::AxonInfo",
            [
                ("block", self.u64),
                ("version", self.u32),
                ("ip", self.u128),
                ("port", self.u16),
                ("ip_type", self.u8),
                ("protocol", self.u8),
            ],
        )
        name = r.sequence(r.compact_of(self.u8))
        accounts, flags, amounts, ratios = map(r.sequence, (self.account, self.flag, c64, c16))
        return r.composite(
            "pallet_subtensor::rpc_info::metagraph::Metagraph",
            [
                ("netuid", c16),
                ("name", name),
                ("symbol", name),
                ("block", c64),
                ("tempo", c16),
                ("last_step", c64),
                ("blocks_since_last_step", c64),
                ("owner_hotkey", self.account),
                ("owner_coldkey", self.account),
                ("network_registered_at", c64),
                ("num_uids", c16),
                ("max_uids", c16),
                ("tao_in", c64),
                ("alpha_in", c64),
                ("hotkeys", accounts),
                ("coldkeys", accounts),
                ("axons", r.sequence(axon)),
                ("active", flags),
                ("validator_permit", flags),
                ("last_update", amounts),
                ("block_at_registration", amounts),
                *((kind, amounts) for kind in ("alpha_stake", "tao_stake", "total_stake", "emission")),
                *((kind, ratios) for kind in ("incentives", "consensus", "dividends")),
                ("weights_version", c64),
            ],
        )
