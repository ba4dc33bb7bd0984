"""Validators of a federation that set weights: one fake chain, a bucket each, and verdicts that are made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from soundsright.adapters.buckets import FolderBucket, new_bucket_folder
from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.corpus_commitment import CorpusCommitment
from soundsright.core.federation import JudgedRow, StatedMaterial, Verdict, allowlist_json, row_order
from soundsright.core.federation_rules import FederationRules, federation_rules
from soundsright.core.ports import BlockRef, Records
from soundsright.core.profiles import Profile
from soundsright.core.rulesets import SOUNDSRIGHT_V5
from soundsright.core.sources import ModelRef
from soundsright.ranking import failover_order
from soundsright.services.federation import (
    FederationSubsystem,
    WeightsContext,
    open_verdict,
    publish_allowlist,
    sign_verdict,
    verdict_key,
)
from soundsright.services.http import Health
from soundsright.services.rounds import committed_block
from soundsright.testing import FakeChain, MemoryRecords, VirtualClock
from tests.services.federation.places import Watched
from tests.services.federation.published import sha

COMPETITIONS = PUBLISHED[:2]
NAMES = tuple(competition.id for competition in COMPETITIONS)
ORGANISER = CompetitionRules(COMPETITIONS, SOUNDSRIGHT_V5)
OWNER = Hotkey.of_seed("the owner")
VALIDATORS = tuple(sorted((Hotkey.of_seed(f"voter {n}") for n in range(5)), key=lambda each: each.address))
ALICE, BOB, CAROL = (Hotkey.of_seed(name).address for name in ("alice", "bob", "carol"))
METRICS = tuple(
    sorted(
        {metric for competition in COMPETITIONS for metric in competition.metric_weights}
        | {"ESTOI", "PESQ_WB", "SI_SDR"}
    )
)


def scores(value: float) -> dict[str, float]:
    """A value in every metric, plus one for PESQ, whose scale begins there."""
    return {metric: round(value + (metric == "PESQ_WB"), 6) for metric in METRICS}


def small_rules(profile: Profile = Profile.SOUNDSRIGHT) -> FederationRules:
    return federation_rules(
        profile,
        interval_blocks=10,
        epoch_blocks=40,
        window_tasks=10,
        settle_margin=1,
        lookback_blocks=400,
        clips=4,
        competitions=NAMES,
    )


class OwnedChain(FakeChain):
    """A chain with an owner, on which all blocks are final and a write makes none."""

    def __init__(self) -> None:
        super().__init__(unfinal=0)

    def owner(self) -> str:
        return OWNER.address


@dataclass
class Voters:
    """The validators, their chain and the owner's bucket. `quality` decides the scores of each miner."""

    folder: Path
    rules: FederationRules = field(default_factory=small_rules)
    count: int = 3
    chain: OwnedChain = field(default_factory=OwnedChain)
    clock: VirtualClock = field(default_factory=VirtualClock)
    quality: dict[str, float] = field(default_factory=lambda: {ALICE: 0.6, BOB: 0.5})
    public: tuple[str, ...] = ()
    records: dict[str, Records] = field(default_factory=dict)
    running: dict[str, FederationSubsystem] = field(default_factory=dict)
    health: dict[str, Health] = field(default_factory=dict)
    published: dict[str, dict[int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.accounts = VALIDATORS[: self.count]
        self.addresses = tuple(account.address for account in self.accounts)
        self.source = FolderBucket(new_bucket_folder(self.folder / "owner"))
        self.buckets = {
            address: Watched(FolderBucket(new_bucket_folder(self.folder / address))) for address in self.addresses
        }
        for hotkey in self.quality:
            self.chain.register(hotkey)

    def publish_list(self) -> str:
        for address in self.addresses:
            self.chain.publish(address, CorpusCommitment(sha("corpus"), "0" * 16).text)
        raw = allowlist_json(self.addresses, self.rules.interval_blocks).encode()
        return publish_allowlist(
            raw,
            self.source,
            lambda text: (self.chain.publish(OWNER.address, text), None)[1],
            profile=self.rules.profile,
            interval=self.rules.interval_blocks,
        )

    def context(self, address: str, **changes: Any) -> WeightsContext:
        account = next(each for each in self.accounts if each.address == address)
        made = WeightsContext(
            self.rules,
            ORGANISER,
            self.chain,  # type: ignore[arg-type]
            account,
            self.buckets[address].inner,
            self.source,
            self.buckets,
            self.records.setdefault(address, MemoryRecords()),
            self.clock,
            self.folder / "disk" / address,
            valid_signature,
        )
        return replace(made, **changes)

    def start(self, *addresses: str, **changes: Any) -> None:
        """Start these validators, or all of them. One that ran is replaced by a new process on the same state."""
        for address in addresses or self.addresses:
            self.health[address] = Health(self.clock)
            self.running[address] = FederationSubsystem(
                self.context(address, **changes), health=self.health[address]
            )

    def advance_to(self, block: int) -> BlockRef:
        return self.chain.advance(max(0, block - self.chain.head().number))

    def verdict(self, task: int, step: int = 0, **changes: Any) -> Verdict:
        """The verdict of the validator with that turn."""
        number = failover_order(task, self.count)[step]
        rows = tuple(
            sorted((self._row(name, hotkey, task) for name in NAMES for hotkey in self.quality), key=row_order)
        )
        interval = self.rules.interval_blocks
        made = Verdict(
            task=task,
            validator=self.addresses[number],
            block=task * interval + step * self.rules.grace,
            block_hash=self.chain.block_hash(task * interval),
            allowlist=self.list_digest,
            rules=self.context(self.addresses[0]).rules_digest,
            sets={name: sha(f"{name} {task}") for name in NAMES},
            unprocessed={name: scores(0.25) for name in NAMES},
            rows=rows,
            previous=self._previous(self.addresses[number], task),
            material=self.material(self.addresses[number], task),
        )
        return replace(made, **changes)

    def material(self, validator: str, task: int) -> StatedMaterial:
        """The corpus to which `publish_list` commits, with the block of the commitment."""
        first_block = task * self.rules.interval_blocks
        block = committed_block(self.chain, validator, {sha("corpus")}, first_block)
        return StatedMaterial(sha("corpus"), self.public, committed_block=block)

    def _previous(self, validator: str, task: int) -> str:
        """The digest of the verdict that the validator published last before that task."""
        published = {
            before: digest for before, digest in self.published.get(validator, {}).items() if before < task
        }
        return published[max(published)] if published else ""

    @property
    def list_digest(self) -> str:
        return sha(allowlist_json(self.addresses, self.rules.interval_blocks))

    def _row(self, name: str, hotkey: str, task: int) -> JudgedRow:
        mean = round(self.quality[hotkey] + (task % 5) / 1_000, 6)
        return JudgedRow(name, hotkey, 1, ModelRef("lab", "gate", "a" * 40), 1, True, 0, scores(mean), sha(hotkey))

    def produce(self, tasks: range, step: int = 0, **changes: Any) -> None:
        """Each task's validator publishes its verdict."""
        for task in tasks:
            self.put(self.verdict(task, step, **changes))

    def put(self, verdict: Verdict, at: str | None = None) -> None:
        account = next(each for each in self.accounts if each.address == verdict.validator)
        key = verdict_key(verdict.task, verdict.validator)
        raw = sign_verdict(verdict, account)
        self.buckets[at or verdict.validator].put(key, raw)
        digest = open_verdict(raw, valid_signature=valid_signature).digest
        self.published.setdefault(verdict.validator, {}).setdefault(verdict.task, digest)

    def tick(self, *addresses: str, times: int = 1) -> None:
        """Let these validators, or all, work in the present block until their threads have ended."""
        for _ in range(times):
            self.clock.sleep(1_000.0)
            for address in addresses or tuple(self.running):
                system = self.running[address]
                for _ in range(2):
                    system.tick(self.chain.finalized().number, self.chain.neurons())
                    assert system.settle(60.0)
                system.tick(self.chain.finalized().number, self.chain.neurons())

    def payees(self) -> dict[str, Mapping[str, float] | None]:
        return {address: system.payees() for address, system in self.running.items()}

    def problems(self, address: str) -> str:
        return " ".join(self.health[address].problems().values())
