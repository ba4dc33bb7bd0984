"""A validator: it follows the chain, runs each round when it is due, sets weights, and tells miners their results.

Blocks are counted, times in seconds. Everything that must not be lost is a step in the state, so that a validator
that is stopped anywhere goes on where it was. A round runs in a thread of its own: weights are set anew and
feedback is delivered while it runs. Beyond the steps of `services.round`, a round here has

    reveal:HOTKEY:DIGEST   what a commitment stands for
    payees                 weights by hotkey, to be set again every tempo
    feedback               SHA-256 of each envelope, by hotkey
    delivered:HOTKEY       that it arrived, or was given up
    finished               the round's number
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from soundsright.core.competition import Competition
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.ports import Account, Clock, LiveChain, ModelHub, Neuron, Peers, Pool, Sandbox, StateStore
from soundsright.core.schedule import Round, Schedule
from soundsright.ranking.rulesets import Ruleset
from soundsright.services.api_state import Health
from soundsright.services.clipset import write_text
from soundsright.services.evaluation import Cancelled
from soundsright.services.feedback import envelope_of
from soundsright.services.round import RoundService
from soundsright.services.round_types import Event, RoundOutcome, RoundPlan, plan_facts
from soundsright.services.validator_chain import PinnedChain
from soundsright.services.validator_peers import FeedbackCourier, RevealCollector

POLL_S = 12.0
MAX_PAUSE_S = 300.0
KEPT_AUDIO_ROUNDS = 3

_log = logging.getLogger(__name__)

Publish = Callable[[RoundOutcome, Path], Mapping[str, Mapping[str, object]]]
"""Writes a round's results into a folder, and gives each miner's feedback by hotkey."""


@dataclass(frozen=True)
class Rules:
    """What validators of one subnet must have the same, and when this one sets weights."""

    competitions: tuple[Competition, ...]
    clips: int
    metrics: tuple[str, ...]
    ruleset: Ruleset
    floors: Mapping[str, float]
    schedule: Schedule
    corpus_root: Path | None = None
    burn_hotkey: str = ""
    weights_every_blocks: int = 360


@dataclass
class Work:
    """Where and with what rounds are run."""

    hub: ModelHub
    sandbox: Sandbox
    pool: Pool
    folder: Path
    slots: int
    workers: int
    publish: Publish
    observe: Callable[[Event], None] = field(default=lambda _event: None)


class ValidatorService:
    """Runs until it is told to stop.

    `dry_run` is given the weights instead of the chain; miners then hear nothing, and one round ends the service.
    """

    def __init__(
        self,
        rules: Rules,
        work: Work,
        *,
        chain: LiveChain,
        account: Account,
        state: StateStore,
        peers: Peers,
        clock: Clock,
        health: Health,
        poll_s: float = POLL_S,
        dry_run: Callable[[Mapping[str, float]], None] | None = None,
    ) -> None:
        self._rules = rules
        self._work = work
        self._chain = chain
        self._account = account
        self._state = state
        self._peers = peers
        self._clock = clock
        self._health = health
        self._poll_s = poll_s
        self._dry_run = dry_run
        self._collector: RevealCollector | None = None
        self._courier: FeedbackCourier | None = None
        self._running: _RunningRound | None = None
        self._weights_block: int | None = None
        self._last_done = self._finished_number()

    def check(self) -> None:
        """What would make the service useless, before it starts.

        Raises:
            UsageError: the hotkey is not registered, or has no validator permit.
            ChainUnavailable: the chain does not answer.
        """
        own = next((n for n in self._chain.neurons() if n.hotkey == self._account.address), None)
        if own is None:
            raise UsageError(
                f"HOTKEY: {self._account.address} is not registered on this chain",
                "Register it, or check NETUID and SUBTENSOR_CHAIN_ENDPOINT.",
            )
        if not own.permit and self._dry_run is None:
            raise UsageError(
                f"HOTKEY: {self._account.address} (stake {own.stake:g}) has no validator permit",
                "Add stake, or ask the organiser of a private chain; --dry-run needs none.",
            )

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. What is away is waited for, with growing pauses."""
        self._health.set("neuron_running", True)
        pause_s = self._poll_s
        try:
            while not stop.is_set():
                try:
                    self.tick()
                    self._health.problem("service", None)
                    pause_s = self._poll_s
                except InfrastructureFault as error:
                    self._health.add("chain.failures")
                    self._health.problem("service", str(error))
                    pause_s = min(2 * pause_s, MAX_PAUSE_S)
                self._health.problem("start", None)
                if self._dry_run is not None and self._last_done is not None and self._running is None:
                    return
                stop.wait(pause_s)
        finally:
            self.cancel()
            self._health.set("neuron_running", False)

    def cancel(self) -> None:
        """Stop the round that runs, and wait until it has ended. What it recorded stays."""
        if self._running is not None:
            self._running.cancel()
            self._running = None

    def tick(self) -> None:
        """Look at the chain once and do what is due.

        Raises:
            InfrastructureFault: something around the validator does not answer.
        """
        self._health.add("iterations")
        finalized = self._chain.finalized().number
        self._health.set("chain.head_block", finalized)
        if self._running is not None:
            self._look_at_round(self._running)
        else:
            self._start_what_is_due(finalized)
        if self._dry_run is None:
            neurons = self._chain.neurons()
            self._set_weights_again(finalized, neurons)
            self._deliver(neurons)

    # Rounds

    def _start_what_is_due(self, finalized: int) -> None:
        schedule = self._rules.schedule
        number = schedule.due(self._chain.timestamp_s(finalized), last_done=self._last_done)
        if number is None:
            return
        plan = schedule.plan(number, finalized=finalized, timestamp_s=self._chain.timestamp_s)
        if plan is None:
            return
        if self._state.step_done(plan.id, "entries") is None:
            self._state.begin_round(plan.id, plan_facts(self._round_plan(plan)))
            collector = self._collector_of(plan.id)
            closed = self._chain.snapshot(plan.entries_close_block)
            final = finalized >= plan.seed_block
            missing = collector.ask(closed.commitments, self._chain.neurons(), last=final)
            if not final:
                return
            _log.info("entries", extra={"action": "entries", "round": plan.id, "unrevealed": missing})
        self._running = _RunningRound(number, plan, self._service(plan))
        self._health.event("success", f"Round {plan.id} begins", action="round_begins")

    def _collector_of(self, round_id: str) -> RevealCollector:
        if self._collector is None or self._collector.round_id != round_id:
            self._collector = RevealCollector(round_id, self._peers, self._state, self._clock, self._health)
        return self._collector

    def _round_plan(self, plan: Round) -> RoundPlan:
        rules = self._rules
        return RoundPlan(
            round=plan,
            competitions=rules.competitions,
            clips=rules.clips,
            metrics=rules.metrics,
            ruleset=rules.ruleset,
            floors=rules.floors,
            corpus_root=rules.corpus_root,
        )

    def _service(self, plan: Round) -> RoundService:
        work = self._work
        pinned = PinnedChain(self._chain, plan.entries_close_block, tell=self._dry_run)
        reveals = self._collector_of(plan.id).known(pinned.commitments())
        burn = next((n.uid for n in pinned.neurons() if n.hotkey == self._rules.burn_hotkey), None)
        return RoundService(
            replace(self._round_plan(plan), burn_uid=burn),
            chain=pinned,
            hub=work.hub,
            sandbox=work.sandbox,
            state=self._state,
            pool=work.pool,
            clock=self._clock,
            folder=self._folder(plan.id),
            validator=self._account.address,
            reveals=reveals,
            slots=work.slots,
            workers=work.workers,
            observe=work.observe,
        )

    def _look_at_round(self, running: _RunningRound) -> None:
        if not running.ended():
            return
        self._running = None
        outcome = running.outcome()
        plan = running.plan
        documents = self._work.publish(outcome, self._folder(plan.id))
        hotkeys = {n.uid: n.hotkey for n in self._chain.snapshot(plan.entries_close_block).neurons}
        payees = {hotkeys[uid]: weight for uid, weight in outcome.weights.by_uid.items()}
        self._state.finish_step(plan.id, "payees", payees)
        self._write_envelopes(plan.id, documents)
        self._state.finish_step(plan.id, "finished", {"number": running.number})
        self._last_done = running.number
        self._weights_block = outcome.weights_block
        self._courier = None
        self._health.add("competitions_judged", len(outcome.plan.competitions))
        self._health.add("datasets_generated", len(outcome.sets))
        self._count_weights(len(payees))
        self._health.event("success", f"Round {plan.id} is decided", action="round_decided")
        self._forget_old_audio()

    def _finished_number(self) -> int | None:
        for round_id in reversed(self._state.rounds()):
            facts = self._state.step_done(round_id, "finished")
            if facts is not None:
                return int(facts["number"])
        return None

    def _folder(self, round_id: str) -> Path:
        return self._work.folder / "rounds" / round_id

    def _forget_old_audio(self) -> None:
        """Sets and answers can be made anew from the seed; results and feedback stay."""
        folders = sorted((self._work.folder / "rounds").iterdir(), key=lambda p: p.name)
        for folder in folders[:-KEPT_AUDIO_ROUNDS]:
            for name in ("sets", "enhanced"):
                shutil.rmtree(folder / name, ignore_errors=True)

    # Weights

    def _set_weights_again(self, head: int, neurons: tuple[Neuron, ...]) -> None:
        """Set the last round's weights once every tempo: a chain forgets who does not."""
        if self._last_done is None or (
            self._weights_block is not None and head - self._weights_block < self._rules.weights_every_blocks
        ):
            return
        payees = self._state.step_done(self._rules.schedule.id_of(self._last_done), "payees")
        registered = {neuron.hotkey for neuron in neurons}
        present = {hk: float(weight) for hk, weight in (payees or {}).items() if hk in registered}
        if not any(present.values()):
            return
        result = self._chain.set_weights(self._account.address, present)
        if result.ok or result.unknown:
            self._weights_block = result.block or head
            self._count_weights(len(present))
            self._health.problem("weights", None)
        else:
            # Asked again a few blocks later, not at once: most refusals are of the rate.
            self._weights_block = head - self._rules.weights_every_blocks + 10
            self._health.problem("weights", f"The chain refused the weights: {result.message or result.code}")

    def _count_weights(self, targets: int) -> None:
        self._health.add("weights.total_count_set")
        self._health.set("weights.targets", targets)
        self._health.set("weights.last_set_timestamp", self._clock.now())

    # Feedback

    def _write_envelopes(self, round_id: str, documents: Mapping[str, Mapping[str, object]]) -> None:
        """Sign once: what a miner has received stays what this validator said."""
        folder = self._folder(round_id) / "feedback"
        folder.mkdir(parents=True, exist_ok=True)
        digests = {}
        for hotkey, document in documents.items():
            path = folder / f"{hotkey}.json"
            if not path.exists():
                write_text(path, envelope_of(document, self._account))
            digests[hotkey] = hashlib.sha256(path.read_bytes()).hexdigest()
        self._state.finish_step(round_id, "feedback", digests)

    def _deliver(self, neurons: tuple[Neuron, ...]) -> None:
        if self._courier is None:
            if self._last_done is None:
                return
            round_id = self._rules.schedule.id_of(self._last_done)
            digests = self._state.step_done(round_id, "feedback") or {}
            folder = self._folder(round_id) / "feedback"
            paths = {hotkey: folder / f"{hotkey}.json" for hotkey in digests}
            envelopes = {hotkey: path.read_bytes() for hotkey, path in paths.items() if path.exists()}
            self._courier = FeedbackCourier(
                round_id, envelopes, self._peers, self._state, self._clock, self._health
            )
        self._courier.deliver(neurons)


class _RunningRound:
    """A round in its thread."""

    def __init__(self, number: int, plan: Round, service: RoundService) -> None:
        self.number = number
        self.plan = plan
        self._service = service
        self._outcome: RoundOutcome | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"round-{plan.id}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._service.run()
        except BaseException as error:  # noqa: BLE001 - raised where the round is looked at
            self._error = error

    def ended(self) -> bool:
        return not self._thread.is_alive()

    def outcome(self) -> RoundOutcome:
        """What the round came to.

        Raises:
            InfrastructureFault: it failed, and is begun again from what it recorded.
        """
        if isinstance(self._error, Cancelled):
            raise InfrastructureFault(f"Round {self.plan.id} was stopped", "It goes on at the next start.")
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return self._outcome

    def cancel(self) -> None:
        self._service.cancel()
        self._thread.join()
