"""A validator on a chain: the start of rounds, reveals, weights, feedback, and restarts."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.chains.local import LocalChain, seeded_block_entropy
from soundsright.adapters.peers.keys import Hotkey, valid_signature
from soundsright.adapters.state.artifacts import Artifacts
from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.errors import ChainUnavailable, EntryRefused, PeerUnavailable, UsageError
from soundsright.core.ports import Neuron, Reply, SubnetRules, TxResult
from soundsright.core.rulesets import SOUNDSRIGHT_V3
from soundsright.core.schedule import Schedule
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Commitment, Reveal
from soundsright.services.http.state import Health
from soundsright.services.records import feedback_of, results_of, sign_reveal
from soundsright.services.records.feedback import open_feedback
from soundsright.services.rounds import steps
from soundsright.services.rounds.clipset import draw_to_disk
from soundsright.services.rounds.scoring import score_files
from soundsright.services.validator.chain import check_account
from soundsright.services.validator.gossip import RevealsRequest
from soundsright.services.validator.peers import MAX_TRIES, RevealCollector, old_reveal_of
from soundsright.services.validator.service import ValidatorService
from soundsright.services.validator.setup import SubnetSettings, ValidatorContext, Work
from soundsright.services.validator.view import ValidatorView
from soundsright.testing import (
    Behaviour,
    FakeHub,
    FakeRepository,
    FakeSandbox,
    InlinePool,
    VirtualClock,
    salted_reveal,
)
from soundsright.testing.simulation.world import draw_fake_clips, score_fake_clip
from soundsright.testing.state import MemoryState

COMPETITION = PUBLISHED[0]
DAY_S = 86_400.0
VICTOR = Hotkey.of_seed("victor")
MINERS = {name: Hotkey.of_seed(name) for name in ("alice", "bob")}
SCHEDULE = Schedule(time_of_day_s=0, every_days=1, first_day=10, seed_delay_blocks=3)


class Miners:
    """The `Peers` port: miners whose replies the test sets."""

    def __init__(self) -> None:
        self.reveals: dict[str, Reveal] = {}
        self.keys = {key.address: key for key in MINERS.values()}
        self.calls: list[tuple[str, str]] = []
        self.feedback: dict[str, list[bytes]] = {}
        self.away: set[str] = set()
        self.deaf: set[str] = set()
        self.status: dict[str, int] = {}

    def get(self, endpoint: str, receiver: str, path: str, *, timeout_s: float, **_: object) -> Reply:
        raise AssertionError("a round reads nothing by GET")

    def call(self, endpoint: str, receiver: str, path: str, body: bytes, *, timeout_s: float, **_: object) -> Reply:
        self.calls.append((receiver, path))
        if receiver in self.away or (path == "/feedback" and receiver in self.deaf):
            raise PeerUnavailable(f"{endpoint} does not answer (SSH-2.0 secret)", code="not_http")
        if path == "/reveal":
            round_id = json.loads(body)["round"]
            signed = sign_reveal(self.reveals[receiver], self.keys[receiver], round_id)
            return Reply(200, json.dumps(signed).encode())
        if (status := self.status.get(receiver, 200)) == 200:
            self.feedback.setdefault(receiver, []).append(body)
        return Reply(status, b"{}")


class Bench:
    """A subnet in which a block is an hour. The first round is on day 10."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chain = LocalChain(
            folder / "chain.db", entropy=seeded_block_entropy(1), block_s=3_600.0, now_s=lambda: 9 * DAY_S
        )
        self.chain.register(VICTOR.address, stake=2_000.0, permit=True)
        self.peers = Miners()
        self.hub = FakeHub(folder / "model")
        (folder / "model").mkdir()
        (folder / "model" / "Dockerfile").write_text("FROM scratch\n")
        self.state = MemoryState()
        self.clock = VirtualClock(1e9)
        self.health = Health(self.clock)
        self.dry_run_weights: list[Mapping[str, float]] = []
        for number, name in enumerate(MINERS):
            self.enter(name, quality=0.4 + 0.3 * number)

    def enter(self, name: str, *, quality: float, revision: str = "a") -> None:
        key = MINERS[name]
        self.chain.register(key.address)
        model = ModelRef(name, "model", revision * 40)
        self.hub.repositories[model] = FakeRepository(content_of(name, revision), behaviour=Behaviour(quality))
        self.chain.publish_endpoint(key.address, f"10.0.0.{len(name)}:6001")
        committed = salted_reveal(model, key.address, COMPETITION.id, content_of(name, revision))
        self.chain.publish(key.address, committed.digest(key.address))
        self.peers.reveals[key.address] = committed

    def validator(self, *, dry_run: bool = False, chain: Any = None) -> ValidatorService:
        return ValidatorService(self.context(dry_run=dry_run, chain=chain))

    def context(self, *, dry_run: bool = False, chain: Any = None) -> ValidatorContext:
        return ValidatorContext(
            SubnetSettings(
                CompetitionRules((COMPETITION,), SOUNDSRIGHT_V3),
                Measures(8, ("PESQ_WB", "ESTOI"), {"PESQ_WB": 0.0, "ESTOI": -1.0}),
                SCHEDULE,
                pay_on_public_corpus=True,
            ),
            Work(
                hub=self.hub,
                sandbox=FakeSandbox(self.hub.behaviour),
                pool=InlinePool({draw_to_disk: draw_fake_clips, score_files: score_fake_clip}),
                folder=self.folder / "state",
                slots=1,
                workers=1,
                publish=published,
                artifacts=Artifacts(self.folder / "artifacts"),
            ),
            chain=chain or self.chain,
            account=VICTOR,
            state=self.state,
            peers=self.peers,
            clock=self.clock,
            health=self.health,
            valid_signature=valid_signature,
            dry_run=self.dry_run_weights.append if dry_run else None,
        )

    def to_seed(self, day: int) -> None:
        """Let the chain reach the seed block of the round of that day."""
        while self.chain.timestamp_s(self.chain.head().number) < day * DAY_S:
            self.chain.advance()
        self.chain.advance(SCHEDULE.seed_delay_blocks)

    def weights(self) -> dict[int, float]:
        return self.chain.weights(VICTOR.address)


def content_of(name: str, revision: str) -> str:
    return hashlib.sha256(f"{name} {revision}".encode()).hexdigest()


def published(outcome: Any, _folder: Path) -> dict[str, dict[str, Any]]:
    return {f.hotkey: f.as_json() for f in feedback_of(outcome, results_of(outcome)).values()}


def payees_of(state: MemoryState) -> steps.PayeesStep | None:
    return steps.read(state, SCHEDULE.id_of(0), steps.PAYEES)


def finish(service: ValidatorService, bench: Bench, round_id: str) -> None:
    """Tick until that round is done."""
    for _ in range(400):
        service.tick()
        if steps.read(bench.state, round_id, steps.FINISHED) is not None:
            return
        running = service._running
        if running is not None:
            running._thread.join(10)
    raise AssertionError(f"{round_id} does not end")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_nothing_is_due_before_the_first_round(bench: Bench) -> None:
    service = bench.validator()
    for _ in range(2):
        service.tick()
    assert bench.state.rounds() == ()
    messages = [event["message"] for event in bench.health.events()["success"]]
    assert messages == ["The next round starts 1970-01-11 00:00 UTC"]


def test_no_round_is_announced_after_the_last_one(bench: Bench) -> None:
    bench.to_seed(10)
    service = bench.validator()
    service._settings = replace(service._settings, schedule=replace(SCHEDULE, last_day=10))
    finish(service, bench, SCHEDULE.id_of(0))
    service.tick()
    assert bench.health.events()["success"][-1]["message"] == "The last round is over"
    view = ValidatorView(bench.state, (COMPETITION,), service._settings.schedule, service.chain_time_s)
    assert view.next_competition() is None


def test_a_round_asks_for_reveals_sets_weights_and_delivers_feedback(bench: Bench) -> None:
    bench.to_seed(10)
    service = bench.validator()
    finish(service, bench, SCHEDULE.id_of(0))
    service.tick()
    uids = {n.hotkey: n.uid for n in bench.chain.neurons()}
    assert set(bench.weights()) <= {uids[key.address] for key in MINERS.values()}
    assert bench.weights()
    for key in MINERS.values():
        (raw,) = bench.peers.feedback[key.address]
        signed = open_feedback(raw, valid_signature=valid_signature)
        envelope, feedback = signed.envelope, signed.feedback
        assert envelope.validator == VICTOR.address
        assert (feedback.hotkey, feedback.round, len(feedback.clips)) == (key.address, SCHEDULE.id_of(0), 8)
        assert set(feedback.metrics) == set(feedback.unprocessed) == {"PESQ_WB", "ESTOI"}
        # The scores of each metric's winner.
        assert set(feedback.winners) == {"PESQ_WB", "ESTOI"}
        assert {row.hotkey for row in feedback.winners.values()} <= {k.address for k in MINERS.values()}
        assert all(set(row.metrics) == {"PESQ_WB", "ESTOI"} for row in feedback.winners.values())
    assert bench.health.metrics()["competitions_judged"] == 1


def test_reveals_are_collected_between_the_close_and_the_seed_and_recorded(bench: Bench) -> None:
    bench.chain.advance(SCHEDULE.start_s(0) // 3_600 - 9 * 24 - bench.chain.head().number)
    service = bench.validator()
    service.tick()
    receivers = {receiver for receiver, path in bench.peers.calls if path == "/reveal"}
    assert receivers == {key.address for key in MINERS.values()}
    assert steps.read(bench.state, SCHEDULE.id_of(0), steps.ENTRIES) is None
    waits = bench.health.events()["success"][-1]["message"]
    assert waits.startswith("Entries of round 1970-01-11 are closed; block ")
    # From now on the miners can be away, because their reveals are in the state.
    bench.peers.away = receivers
    bench.chain.advance(SCHEDULE.seed_delay_blocks)
    finish(bench.validator(), bench, SCHEDULE.id_of(0))
    assert bench.weights()


def test_a_validator_with_an_endpoint_publishes_it_once_and_answers_the_others(bench: Bench) -> None:
    bench.to_seed(10)
    service = bench.validator()
    service._endpoint = "10.0.9.9:6001"
    finish(service, bench, SCHEDULE.id_of(0))
    assert {n.endpoint for n in bench.chain.neurons() if n.hotkey == VICTOR.address} == {"10.0.9.9:6001"}
    head = bench.chain.head()
    service._serve_others(bench.chain.neurons())
    assert bench.chain.head() == head
    asked = RevealsRequest.model_validate({"schema": "soundsright.reveals/1", "round": SCHEDULE.id_of(0)})
    reply = service.shared.reply(VICTOR.address, asked)
    assert {document.hotkey for document in reply.reveals} == {key.address for key in MINERS.values()}


def test_a_miner_that_is_away_is_refused_and_the_others_are_ranked(bench: Bench) -> None:
    bench.peers.away = {MINERS["alice"].address}
    bench.to_seed(10)
    finish(bench.validator(), bench, SCHEDULE.id_of(0))
    facts = steps.read(bench.state, SCHEDULE.id_of(0), steps.ENTRIES)
    assert facts is not None
    assert [(r.hotkey, r.code) for r in facts.refusals] == [(MINERS["alice"].address, "not_revealed")]
    assert [s.hotkey for s in facts.submissions] == [MINERS["bob"].address]


ALICE = MINERS["alice"]
REVEAL = salted_reveal(ModelRef("alice", "model", "a" * 40), ALICE.address, COMPETITION.id, "c" * 64)
OLD_REVEAL = {"schema": "soundsright.reveal/1", "namespace": "alice", "name": "model", "revision": "a" * 40}


def asked(answers: Mapping[bytes, tuple[int, bytes]], committed: str, **options: Any) -> RevealCollector:
    """A collector that has asked alice, who committed that text. `answers` are by the schema in the request."""

    class Alice(Miners):
        def call(
            self, endpoint: str, receiver: str, path: str, body: bytes, *, timeout_s: float, **_: object
        ) -> Reply:
            return Reply(*next(answer for schema, answer in answers.items() if schema in body))

    state, clock = MemoryState(), VirtualClock(1e9)
    state.begin_round("now", {})
    collector = RevealCollector("now", Alice(), state, clock, Health(clock), valid_signature, **options)
    collector.ask([Commitment(ALICE.address, committed, 5)], [Neuron(0, ALICE.address, 1, endpoint="10.0.0.1:1")])
    return collector


def outcome_of(collector: RevealCollector, committed: str) -> str:
    """Whether alice's entry is revealed, or the code of its refusal."""
    found = collector.revealed([Commitment(ALICE.address, committed, 5)]).get(ALICE.address)
    return "silent" if found is None else "revealed" if isinstance(found, Reveal) else found.code


@pytest.mark.parametrize(
    ("reveal", "signer", "round_id", "code"),
    [
        (REVEAL, ALICE, "now", "revealed"),
        (replace(REVEAL, salt="6" * 32), ALICE, "now", "digest_mismatch"),
        (replace(REVEAL, content_hash="d" * 64), ALICE, "now", "digest_mismatch"),
        (replace(REVEAL, competition_id="DENOISING_48000HZ"), ALICE, "now", "digest_mismatch"),
        # The content counts, wherever it is now.
        (replace(REVEAL, model=ModelRef("alice", "renamed", "b" * 40)), ALICE, "now", "revealed"),
        (REVEAL, MINERS["bob"], "now", "wrong_hotkey"),
        (REVEAL, ALICE, "before", "bad_reveal"),
    ],
)
def test_a_reveal_counts_only_if_it_hashes_to_the_commitment(
    reveal: Reveal, signer: Hotkey, round_id: str, code: str
) -> None:
    committed = REVEAL.digest(ALICE.address)
    raw = json.dumps(sign_reveal(reveal, signer, round_id)).encode()
    assert outcome_of(asked({b"reveal/2": (200, raw)}, committed), committed) == code


@pytest.mark.parametrize(("unsalted", "outcome"), [(True, "revealed"), (False, "silent")])
def test_an_old_miner_is_asked_in_its_format_only_if_the_organiser_allows_it(unsalted: bool, outcome: str) -> None:
    old = Reveal(REVEAL.model, COMPETITION.id)
    answers = {
        b"reveal/2": (422, b"{}"),
        b"reveal/1": (200, json.dumps(OLD_REVEAL | {"competition": COMPETITION.id}).encode()),
    }
    committed = old.digest(ALICE.address)
    assert outcome_of(asked(answers, committed, unsalted=unsalted), committed) == outcome


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b'{"schema": "soundsright.reveal/1"}']
    + [
        json.dumps(OLD_REVEAL | {"competition": COMPETITION.id} | change).encode()
        for change in (
            {"name": "other"},
            {"competition": "DENOISING_48000HZ"},
            {"revision": "main"},
            {"name": "x" * 99},
        )
    ],
)
def test_an_old_reveal_counts_only_if_it_hashes_to_the_commitment(answer: bytes) -> None:
    old = Reveal(REVEAL.model, COMPETITION.id)
    with pytest.raises(EntryRefused):
        old_reveal_of(answer, Commitment(ALICE.address, old.digest(ALICE.address), 5))


def test_a_stopped_validator_continues_and_reaches_the_same_weights(bench: Bench, tmp_path: Path) -> None:
    bench.to_seed(10)
    first = bench.validator()
    while steps.read(bench.state, SCHEDULE.id_of(0), steps.SEED) is None:
        first.tick()
    first.cancel()
    finish(bench.validator(), bench, SCHEDULE.id_of(0))
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    undisturbed = bench.validator()
    undisturbed._state = MemoryState()
    undisturbed._last_done = None
    kept, bench.state = bench.state, undisturbed._state
    weights = bench.weights()
    finish(undisturbed, bench, SCHEDULE.id_of(0))
    assert bench.weights() == weights
    assert payees_of(kept) == payees_of(bench.state)


def test_weights_are_set_again_every_tempo_and_after_a_restart(bench: Bench) -> None:
    bench.to_seed(10)
    finish(bench.validator(), bench, SCHEDULE.id_of(0))
    sets: list[int] = []

    class Counting:
        def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
            sets.append(bench.chain.head().number)
            return TxResult(True, block=bench.chain.head().number)

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.chain, name)

    # Before the next round's start: a block is an hour here, and a tempo 360 of them.
    service = bench.validator(chain=Counting())
    service._settings = replace(service._settings, weights_every_blocks=5)
    for _ in range(12):
        service._set_weights_if_due(bench.chain.head().number, bench.chain.neurons())
        bench.chain.advance()
    assert [later - earlier for earlier, later in itertools.pairwise(sets)] == [5, 5]


@pytest.mark.parametrize(
    ("rules", "own_blocks", "every"),
    [
        (SubnetRules(tempo_blocks=4), 0, 4),
        (SubnetRules(tempo_blocks=4, rate_limit_blocks=7), 0, 7),
        (SubnetRules(tempo_blocks=4, rate_limit_blocks=7), 5, 7),
        (SubnetRules(tempo_blocks=4, commit_reveal=True), 6, 6),
    ],
)
def test_weights_follow_the_chains_tempo_and_rate_limit(
    bench: Bench, rules: SubnetRules, own_blocks: int, every: int
) -> None:
    bench.to_seed(10)
    finish(bench.validator(), bench, SCHEDULE.id_of(0))
    sets: list[int] = []

    class Ruled:
        def rules(self) -> SubnetRules:
            return rules

        def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
            sets.append(bench.chain.head().number)
            return TxResult(True, block=bench.chain.head().number)

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.chain, name)

    service = bench.validator(chain=Ruled())
    service._settings = replace(service._settings, weights_every_blocks=own_blocks)
    for _ in range(2 * every + 1):
        service._set_weights_if_due(bench.chain.head().number, bench.chain.neurons())
        bench.chain.advance()
    assert [later - earlier for earlier, later in itertools.pairwise(sets)] == [every, every]
    assert bench.health.metrics()["weights.total_count_committed"] == 3 * rules.commit_reveal


def test_a_dry_run_reports_the_weights_and_writes_nothing(bench: Bench) -> None:
    bench.to_seed(10)
    head = bench.chain.head()
    finish(bench.validator(dry_run=True), bench, SCHEDULE.id_of(0))
    assert bench.dry_run_weights
    assert bench.weights() == {}
    assert bench.chain.head() == head
    assert bench.peers.feedback == {}


def test_a_dry_run_reports_empty_weights_if_nobody_is_paid(bench: Bench) -> None:
    bench.peers.away = {key.address for key in MINERS.values()}
    bench.to_seed(10)
    finish(bench.validator(dry_run=True), bench, SCHEDULE.id_of(0))
    assert bench.dry_run_weights == [{}]


def test_feedback_that_does_not_arrive_is_tried_again_and_recorded(bench: Bench) -> None:
    alice, bob = (key.address for key in MINERS.values())
    bench.to_seed(10)
    bench.peers.deaf = {alice}
    bench.peers.status[bob] = 422
    finish(bench.validator(), bench, SCHEDULE.id_of(0))
    assert steps.read(bench.state, SCHEDULE.id_of(0), steps.delivered(alice)) is None
    assert steps.read(bench.state, SCHEDULE.id_of(0), steps.delivered(bob)) == steps.DeliveredStep(
        False, 1, "status 422"
    )
    bench.clock.sleep(60)
    bench.peers.deaf = set()
    again = bench.validator()
    again.tick()
    assert steps.read(bench.state, SCHEDULE.id_of(0), steps.delivered(alice)) == steps.DeliveredStep(True, 1)
    calls = len(bench.peers.calls)
    bench.clock.sleep(600)
    again.tick()
    assert len(bench.peers.calls) == calls


def test_a_miner_that_never_answers_is_given_up(bench: Bench) -> None:
    alice = MINERS["alice"].address
    bench.to_seed(10)
    bench.peers.deaf = {alice}
    service = bench.validator()
    finish(service, bench, SCHEDULE.id_of(0))
    for _ in range(MAX_TRIES + 2):
        service.tick()
        bench.clock.sleep(1_000)
    facts = steps.read(bench.state, SCHEDULE.id_of(0), steps.delivered(alice))
    assert facts is not None
    assert (facts.ok, facts.tries) == (False, MAX_TRIES)
    (event,) = [each["message"] for each in bench.health.events()["warning"] if "feedback" in each["message"]]
    assert event == f"No feedback for {alice}: not_http"


@pytest.mark.parametrize(("registered", "message"), [(False, "not registered"), (True, "no validator permit")])
def test_a_validator_that_cannot_set_weights_learns_it_before_the_start(
    bench: Bench, registered: bool, message: str
) -> None:
    nobody = Hotkey.of_seed("nobody").address
    if registered:
        bench.chain.register(nobody)
        check_account(bench.chain, nobody, sets_weights=False)
    with pytest.raises(UsageError, match=message):
        check_account(bench.chain, nobody, sets_weights=True)


def test_neither_a_hotkey_that_left_nor_the_next_owner_of_its_uid_is_paid(bench: Bench) -> None:
    bench.to_seed(10)
    finish(bench.validator(), bench, SCHEDULE.id_of(0))
    before = bench.weights()
    alice = MINERS["alice"].address
    uids = {n.hotkey: n.uid for n in bench.chain.neurons()}
    for number, (payees, weights) in enumerate(
        (({"gone": 1.0}, before), ({"gone": 0.5, alice: 0.5}, {uids[alice]: 0.5})), start=1
    ):
        bench.state.begin_round(SCHEDULE.id_of(number), {})
        steps.write(bench.state, SCHEDULE.id_of(number), steps.PAYEES, steps.PayeesStep(payees))
        bench.validator()._set_weights_if_due(bench.chain.head().number, bench.chain.neurons())
        assert bench.weights() == weights


def test_commitments_after_the_close_are_ignored(bench: Bench) -> None:
    bench.to_seed(10)
    bench.enter("alice", quality=0.9, revision="b")
    finish(bench.validator(), bench, SCHEDULE.id_of(0))
    facts = steps.read(bench.state, SCHEDULE.id_of(0), steps.ENTRIES)
    assert facts is not None
    assert {r.code for r in facts.refusals} == {"digest_mismatch"}
    assert [s.hotkey for s in facts.submissions] == [MINERS["bob"].address]


def test_a_problem_ends_when_the_chain_is_back(bench: Bench) -> None:
    class Away:
        def __init__(self) -> None:
            self.failures = 2

        def finalized(self) -> Any:
            if self.failures:
                self.failures -= 1
                raise ChainUnavailable("gone")
            stop.set()
            return bench.chain.finalized()

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.chain, name)

    stop = threading.Event()
    service = bench.validator(chain=Away())
    service._poll_s = 0.01
    service.run(stop)
    assert bench.health.metrics()["chain.failures"] == 2
    assert bench.health.problems() == {}


def test_the_health_api_shows_the_round_from_the_state(bench: Bench) -> None:
    service = bench.validator()
    view = ValidatorView(bench.state, (COMPETITION,), SCHEDULE, service.chain_time_s)
    assert view.next_competition() == "2001-09-10 00:00:00 GMT"  # From the clock, because no block is known.
    assert (view.current_models(), view.best_models(), view.scores(), view.seed()) == (None, None, None, None)
    bench.to_seed(10)
    finish(service, bench, SCHEDULE.id_of(0))
    view = ValidatorView(bench.state, (COMPETITION,), SCHEDULE, service.chain_time_s)
    models = view.current_models()
    assert models is not None
    assert {m["hotkey"] for m in models[COMPETITION.id]} == {key.address for key in MINERS.values()}
    best = view.best_models()
    assert best is not None
    assert {m["metric_name"] for m in best[COMPETITION.id]} == {"PESQ_WB", "ESTOI"}
    scores = view.scores()
    assert scores is not None
    assert sum(scores) == pytest.approx(1.0)
    assert view.next_competition() == "1970-01-12 00:00:00 GMT"
