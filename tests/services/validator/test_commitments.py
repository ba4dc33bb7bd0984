"""The three kinds of commitment give the same entries, and nobody can read a sealed one before the close."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from soundsright.adapters.chains.local import LocalChain, seeded_block_entropy
from soundsright.adapters.chains.timelock import DrandTimelock, seal
from soundsright.adapters.peers.keys import valid_signature
from soundsright.core.entry_rules import NO_RULES, EntryRules
from soundsright.core.errors import RequestRefused
from soundsright.core.ports import Neuron
from soundsright.core.schedule import Schedule
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Commitment, CommitmentKind
from soundsright.services.http.health import health_app
from soundsright.services.http.state import Health
from soundsright.services.miner.entry import Entry, EntryCommitment
from soundsright.services.rounds import steps
from soundsright.services.rounds.screening import screened
from soundsright.services.validator.peers import RevealCollector
from soundsright.services.validator.service import ValidatorService
from soundsright.testing import VirtualClock, salted_reveal
from soundsright.testing.fakechain.drand import ROUND_1000_S, Relay, served_relay
from soundsright.testing.state import MemoryState
from tests.services.services_bench import ALICE, ENTRY, VICTOR, miner_on
from tests.services.validator.test_service import COMPETITION, MINERS, Bench, Miners, content_of, finish

DAY_S = 86_400
# A day's round starts when round 1000 of the beacon is published.
SCHEDULE = Schedule(ROUND_1000_S % DAY_S, 1, first_day=ROUND_1000_S // DAY_S, seed_delay_blocks=3)
KINDS = list(CommitmentKind)


@pytest.fixture
def relay() -> Iterator[Relay]:
    with served_relay() as served:
        yield served


class SealedBench(Bench):
    """A subnet whose rules ask for one kind of commitment. A block is an hour of August 2023."""

    def __init__(self, folder: Path, kind: CommitmentKind, relay: Relay) -> None:
        self.kind = kind
        self.timelock = DrandTimelock([relay.url])
        super().__init__(folder)
        self.chain = LocalChain(
            folder / "then.db", entropy=seeded_block_entropy(1), block_s=3_600.0, now_s=lambda: ROUND_1000_S - DAY_S
        )
        self.chain.register(VICTOR.address, stake=2_000.0, permit=True)
        for name in MINERS:
            self.enter(name, quality=0.5)

    def enter(self, name: str, *, quality: float, revision: str = "a") -> None:
        super().enter(name, quality=quality, revision=revision)
        if self.kind is not CommitmentKind.DIGEST:
            self.chain.publish(MINERS[name].address, self.committed(name, revision))

    def committed(self, name: str, revision: str = "a", round_number: int = 1_000) -> str:
        key = MINERS[name].address
        model = ModelRef(name, "model", revision * 40)
        text = salted_reveal(model, key, COMPETITION.id, content_of(name, revision)).text(key)
        return text if self.kind is CommitmentKind.PLAIN else seal(text, round_number)

    def validator(self, *, dry_run: bool = False, chain: Any = None) -> ValidatorService:
        service = super().validator(dry_run=dry_run, chain=chain)
        rules = replace(service._settings.rules, commitment=self.kind)
        service._settings = replace(service._settings, schedule=SCHEDULE, rules=rules)
        service._timelock = self.timelock
        return service

    def entries(self, number: int = 0) -> steps.EntriesStep:
        record = steps.read(self.state, SCHEDULE.id_of(number), steps.ENTRIES)
        assert record is not None
        return record

    def to_round(self) -> None:
        while self.chain.timestamp_s(self.chain.head().number) < ROUND_1000_S:
            self.chain.advance()
        self.chain.advance(SCHEDULE.seed_delay_blocks)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gives_the_same_entries(tmp_path: Path, relay: Relay, kind: CommitmentKind) -> None:
    bench = SealedBench(tmp_path, kind, relay)
    bench.to_round()
    finish(bench.validator(), bench, SCHEDULE.id_of(0))
    assert bench.entries().refusals == ()
    assert [(e.hotkey, e.source.facts()) for e in bench.entries().submissions] == [
        (MINERS[name].address, [name, "model", "a" * 40]) for name in ("alice", "bob")
    ]
    assert bench.weights()
    paths = {path for _, path in bench.peers.calls}
    assert paths == ({"/reveal", "/feedback"} if kind is CommitmentKind.DIGEST else {"/feedback"})
    assert len(relay.requests) == (kind is CommitmentKind.SEALED)


@pytest.mark.parametrize("kind", [CommitmentKind.PLAIN, CommitmentKind.SEALED])
def test_a_copied_commitment_is_refused(tmp_path: Path, relay: Relay, kind: CommitmentKind) -> None:
    bench = SealedBench(tmp_path, kind, relay)
    stolen = next(c.digest for c in bench.chain.commitments() if c.hotkey == MINERS["alice"].address)
    bench.chain.publish(MINERS["bob"].address, stolen)
    bench.to_round()
    finish(bench.validator(), bench, SCHEDULE.id_of(0))
    assert [e.hotkey for e in bench.entries().submissions] == [MINERS["alice"].address]
    assert [(r.hotkey, r.code) for r in bench.entries().refusals] == [(MINERS["bob"].address, "wrong_hotkey")]


@pytest.mark.parametrize(
    ("committed", "code"), [("sealed:1000:AAAA", "bad_seal"), ("0" * 64, "bad_seal"), ("later", "sealed_too_long")]
)
def test_a_seal_that_does_not_open_in_time_refuses_only_its_entry(
    tmp_path: Path, relay: Relay, committed: str, code: str
) -> None:
    bench = SealedBench(tmp_path, CommitmentKind.SEALED, relay)
    text = bench.committed("bob", round_number=100_000) if committed == "later" else committed
    bench.chain.publish(MINERS["bob"].address, text)
    bench.to_round()
    finish(bench.validator(), bench, SCHEDULE.id_of(0))
    assert [e.hotkey for e in bench.entries().submissions] == [MINERS["alice"].address]
    assert [r.code for r in bench.entries().refusals] == [code]


def test_the_validator_waits_for_a_beacon_that_is_away_and_refuses_no_entry(tmp_path: Path, relay: Relay) -> None:
    bench = SealedBench(tmp_path, CommitmentKind.SEALED, relay)
    bench.to_round()
    relay.override = (503, b"")
    service = bench.validator()
    service.tick()
    assert "DRAND_RELAYS" in bench.health.problems()["round"]
    assert steps.read(bench.state, SCHEDULE.id_of(0), steps.ENTRIES) is None
    relay.override = None
    bench.clock.sleep(600)
    finish(service, bench, SCHEDULE.id_of(0))
    assert len(bench.entries().submissions) == 2


def test_an_entry_that_is_sealed_again_for_the_next_round_keeps_its_block(tmp_path: Path, relay: Relay) -> None:
    bench = SealedBench(tmp_path, CommitmentKind.SEALED, relay)
    bench.to_round()
    finish(bench.validator(), bench, SCHEDULE.id_of(0))
    first = {e.hotkey: e.block for e in bench.entries().submissions}
    # Now everybody can read alice's entry. She seals it again, as her miner does. Bob enters another model.
    bench.chain.publish(MINERS["alice"].address, bench.committed("alice"))
    bench.enter("bob", quality=0.9, revision="b")
    bench.chain.advance(24)
    finish(bench.validator(), bench, SCHEDULE.id_of(1))
    second = {e.hotkey: e.block for e in bench.entries(1).submissions}
    alice, bob = (MINERS[name].address for name in ("alice", "bob"))
    assert second[alice] == first[alice]
    assert second[bob] > first[bob]


def test_a_sealed_entry_keeps_its_block_when_its_repository_moves(tmp_path: Path, relay: Relay) -> None:
    bench = SealedBench(tmp_path, CommitmentKind.SEALED, relay)
    bench.to_round()
    finish(bench.validator(), bench, SCHEDULE.id_of(0))
    alice = MINERS["alice"].address
    (first,) = (e for e in bench.entries().submissions if e.hotkey == alice)
    moved = ModelRef("alice", "renamed", "d" * 40)
    bench.hub.repositories[moved] = bench.hub.repositories[ModelRef("alice", "model", "a" * 40)]
    text = salted_reveal(moved, alice, COMPETITION.id, content_of("alice", "a")).text(alice)
    bench.chain.publish(alice, seal(text, 1_000))
    bench.chain.advance(24)
    finish(bench.validator(), bench, SCHEDULE.id_of(1))
    (second,) = (e for e in bench.entries(1).submissions if e.hotkey == alice)
    assert (second.source, second.block) == (moved, first.block)


COMMITTED = Commitment("hk", "", 1_000, (900, 950, 990))
MODEL = ModelRef("ns", "model", "a" * 40)
ASKED = EntryRules(cooldown_blocks=500, max_commitments=1)


def judged(
    kind: CommitmentKind, relay: Relay, *, stood_at: int, registered_at: int, rules: EntryRules = NO_RULES
) -> list[int | str]:
    """The block, or the refusal, of an entry of block 1000 that was also in the round before."""
    state, clock = MemoryState(), VirtualClock(1e9)
    stood = steps.RecordedEntry(0, "hk", COMPETITION.id, MODEL, stood_at)
    for round_id in ("before", "now"):
        state.begin_round(round_id, {})
    steps.write(state, "before", steps.ENTRIES, steps.EntriesStep((stood,), (), None))
    text = salted_reveal(MODEL, "hk", COMPETITION.id, "c" * 64).text("hk")
    committed = replace(COMMITTED, digest=text if kind is CommitmentKind.PLAIN else seal(text, 1_000))
    neuron = Neuron(0, "hk", registered_at)
    collector = RevealCollector(
        "now",
        Miners(),
        state,
        clock,
        Health(clock),
        valid_signature,
        kind=kind,
        timelock=DrandTimelock([relay.url]),
    )
    collector.read([committed], opened_by_s=ROUND_1000_S)
    result = screened(
        collector.canonical([committed], [neuron], "before"),
        collector.revealed([committed]),
        [neuron],
        [COMPETITION],
        entries_close_block=1_001,
        rules=rules,
    )
    return [*(entry.block for entry in result.submissions), *(refusal.code for refusal in result.refusals)]


@pytest.mark.parametrize("kind", [CommitmentKind.PLAIN, CommitmentKind.SEALED])
def test_a_hotkey_that_registers_again_gets_the_block_of_its_new_commitment(
    relay: Relay, kind: CommitmentKind
) -> None:
    assert judged(kind, relay, stood_at=100, registered_at=500) == [1_000]


def test_cool_down_and_count_apply_to_plain_entries_and_not_to_sealed_ones(relay: Relay) -> None:
    plain, sealed = CommitmentKind.PLAIN, CommitmentKind.SEALED
    for rules, code in (
        (ASKED, "cooldown"),
        (replace(ASKED, cooldown_blocks=0), "too_many_commitments"),
    ):
        assert judged(plain, relay, stood_at=100, registered_at=1, rules=rules) == [code]
        assert judged(sealed, relay, stood_at=100, registered_at=1, rules=rules) == [100]


def committing(folder: Path, relay: Relay, kind: CommitmentKind, entry: Entry = ENTRY) -> EntryCommitment:
    return EntryCommitment(entry, folder, kind, timelock=DrandTimelock([relay.url]), schedule=SCHEDULE)


def subnet(folder: Path) -> LocalChain:
    chain = LocalChain(folder / "chain.db", now_s=lambda: ROUND_1000_S - DAY_S / 2)
    chain.register(ALICE.address)
    chain.register(VICTOR.address, stake=2_000.0, permit=True)
    return chain


@pytest.mark.parametrize("kind", KINDS)
def test_a_miner_commits_once_in_each_kind_also_after_a_restart(
    tmp_path: Path, relay: Relay, kind: CommitmentKind
) -> None:
    chain = subnet(tmp_path)
    for _ in range(2):
        miner = miner_on(chain, tmp_path, commitment=committing(tmp_path, relay, kind))
        miner.tick()
        miner.tick()
    (commitment,) = chain.commitments()
    assert chain.head().number == commitment.block
    text = ENTRY.text
    if kind is CommitmentKind.SEALED:
        assert "alice" not in commitment.digest
        assert DrandTimelock([relay.url]).opened(commitment.digest) == text
    else:
        assert commitment.digest == (ENTRY.digest if kind is CommitmentKind.DIGEST else text)


def test_a_sealed_entry_is_not_revealed_to_validators(tmp_path: Path, relay: Relay) -> None:
    health = Health(VirtualClock(1e9))
    sealing = committing(tmp_path, relay, CommitmentKind.SEALED)
    miner = miner_on(subnet(tmp_path), tmp_path, commitment=sealing, health=health)
    miner.tick()
    with pytest.raises(RequestRefused) as caught:
        miner.reveal(VICTOR.address, SCHEDULE.id_of(0))
    assert caught.value.code == "sealed"
    api = TestClient(health_app(health, miner, service="miner", version="1"))
    for path in api.get("/openapi.json").json()["paths"]:
        answer = api.get(path).text
        assert ENTRY.model.name not in answer
        assert ENTRY.model.revision not in answer
    assert relay.requests == []


def test_a_seal_for_the_next_round_stays_secret_when_the_present_one_closes(tmp_path: Path, relay: Relay) -> None:
    """Two minutes before a close the miner seals for the round after it. Nothing may open that entry earlier."""
    chain = LocalChain(tmp_path / "chain.db", block_s=10.0, now_s=lambda: ROUND_1000_S - 120.0)
    chain.register(ALICE.address)
    sealing = committing(tmp_path, relay, CommitmentKind.SEALED)
    opened: list[str] = []
    options: dict[str, Any] = {"schedule": SCHEDULE, "on_close": lambda: opened.append("public")}
    miner = miner_on(chain, tmp_path, commitment=sealing, **options)
    while chain.timestamp_s(chain.head().number) < ROUND_1000_S - 60.0:
        chain.advance()
    miner.tick()
    while chain.timestamp_s(chain.head().number) < ROUND_1000_S + 600.0:
        chain.advance()
    miner.tick()
    assert ENTRY.model.revision not in json.dumps(miner.current_models())
    assert opened == []
    while chain.timestamp_s(chain.head().number) < ROUND_1000_S + DAY_S:
        chain.advance(360)
    miner.tick()
    assert ENTRY.model.revision in json.dumps(miner.current_models())
    assert opened == ["public"]


@pytest.mark.parametrize("lost", ["the chain's", "the miner's", "another model"])
def test_a_seal_is_made_again_if_the_old_one_is_gone_or_has_another_model(
    tmp_path: Path, relay: Relay, lost: str
) -> None:
    chain = subnet(tmp_path)
    miner_on(chain, tmp_path, commitment=committing(tmp_path, relay, CommitmentKind.SEALED)).tick()
    (first,) = chain.commitments()
    entry = ENTRY
    if lost == "the chain's":
        chain.publish(ALICE.address, "what is left when the chain has opened it")
    elif lost == "the miner's":
        (tmp_path / "sealed.json").write_text("{")
    else:
        entry = Entry(ALICE, ENTRY.competition, ModelRef("alice", "gate", "b" * 40), "d" * 64, "5" * 32)
    miner_on(chain, tmp_path, commitment=committing(tmp_path, relay, CommitmentKind.SEALED, entry)).tick()
    (second,) = chain.commitments()
    assert second.digest not in (first.digest, "what is left when the chain has opened it")
    assert json.loads((tmp_path / "sealed.json").read_text())["sealed"] == second.digest


@pytest.mark.parametrize(("before_s", "until_s"), [(3_600, 0), (30, DAY_S)])
def test_a_seal_lasts_until_the_next_close_that_it_can_reach(
    tmp_path: Path, relay: Relay, before_s: float, until_s: float
) -> None:
    sealed = committing(tmp_path, relay, CommitmentKind.SEALED).new_text(ROUND_1000_S - before_s)
    assert DrandTimelock([]).opens_s(sealed) == ROUND_1000_S + until_s
