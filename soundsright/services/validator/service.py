"""A validator: it follows the chain, runs each round when it is due, sets weights, and tells miners their results.

Blocks are counted, times in seconds. Everything that must not be lost is a step in the state, so that a validator
that is stopped anywhere goes on where it was. A round runs in a thread of its own: weights are set anew and
feedback is delivered while it runs. Beyond the steps of `services.round`, a round here has

    reveal:HOTKEY:HASH     what a commitment stands for
    payees                 weights by hotkey, to be set now and again every tempo
    weights_set            the block in which the chain first took them, which may be after the round's end
    feedback               SHA-256 of each envelope, by hotkey: they lie among the artifacts
    delivered:HOTKEY       that it arrived, or was given up
    finished               the round's number
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from soundsright.core.errors import ChainUnavailable, InfrastructureFault, SoundsRightError
from soundsright.core.ports import Account, Clock, LiveChain, Neuron, Peers, Snapshot, StateStore, Timelock
from soundsright.core.schedule import Round
from soundsright.core.submission import CommitmentKind
from soundsright.services.http import Health
from soundsright.services.rounds import RoundPlan, RoundService, plan_facts
from soundsright.services.validator.chain import PinnedChain, at_the_close
from soundsright.services.validator.feedback import record_feedback, recorded_feedback
from soundsright.services.validator.peers import FeedbackCourier, RevealCollector
from soundsright.services.validator.retention import forget_old_rounds
from soundsright.services.validator.round import Backoff, RunningRound, minute_of
from soundsright.services.validator.setup import Rules, Work
from soundsright.services.validator.weights import WeightKeeper

POLL_S = 12.0
MAX_PAUSE_S = 300.0

_log = logging.getLogger(__name__)


class ValidatorService:
    """Runs until it is told to stop.

    `dry_run` is given the weights instead of the chain, none where nobody is paid; miners then hear nothing, and
    one round ends the service.
    `timelock` is needed where entries are sealed.
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
        timelock: Timelock | None = None,
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
        self._timelock = timelock
        self._poll_s = poll_s
        self._dry_run = dry_run
        self._collector: RevealCollector | None = None
        self._courier: FeedbackCourier | None = None
        self._running: RunningRound | None = None
        self._retry = Backoff(first_s=poll_s, longest_s=MAX_PAUSE_S)
        self._weights = WeightKeeper(chain, account.address, clock, health)
        self._chain_time_s: float | None = None
        self._waits_for = ""
        self._tidied = ""
        self._closed: Snapshot | None = None
        self._last_done = self._finished_number()

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
                except Exception as error:  # noqa: BLE001 - told below, with its trace
                    # A service that ends sets no weights: it goes on, and says so wherever somebody may look.
                    _log.exception("a tick failed", extra={"action": "tick_failed"})
                    self._health.problem("service", f"{type(error).__name__}: {error}; its trace is in the log")
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

    def chain_time_s(self) -> float:
        """The time of the last finalised block that was seen; before there is one, this machine's."""
        return self._clock.now() if self._chain_time_s is None else self._chain_time_s

    def tick(self) -> None:
        """Look at the chain once and do what is due.

        Raises:
            InfrastructureFault: something around the validator does not answer.
        """
        self._health.add("iterations")
        finalized = self._chain.finalized().number
        self._chain_time_s = self._chain.timestamp_s(finalized)
        self._health.set("chain.head_block", finalized)
        unanswered: ChainUnavailable | None = None
        try:
            self._tend_round(finalized)
        except ChainUnavailable as error:
            # Perhaps of an old block alone: what needs none is done nevertheless.
            unanswered = error
        if self._dry_run is None:
            neurons = self._chain.neurons()
            self._set_weights_again(finalized, neurons)
            self._deliver(neurons)
        if unanswered is not None:
            raise unanswered

    # Rounds

    def _tend_round(self, finalized: int) -> None:
        """Begin the round that is due, or end the one that runs. One that fails stops nothing else.

        Raises:
            ChainUnavailable: the chain does not answer.
        """
        now_s = self._clock.now()
        try:
            if self._running is not None:
                self._look_at_round(self._running, finalized)
            elif self._retry.is_due(now_s):
                self._start_what_is_due(finalized)
        except ChainUnavailable:
            raise
        except SoundsRightError as error:
            self._round_failed(now_s, str(error))
        except Exception as error:  # noqa: BLE001 - told, with its trace, and tried again
            _log.exception("round failed", extra={"action": "round_failed"})
            self._round_failed(now_s, f"{type(error).__name__}: {error}; its trace is in the log")

    def _round_failed(self, now_s: float, told: str) -> None:
        self._retry.failed(now_s)
        self._health.problem("round", told)

    def _start_what_is_due(self, finalized: int) -> None:
        schedule = self._rules.schedule
        number = schedule.due(self.chain_time_s(), last_done=self._last_done)
        if number is None:
            start_s = schedule.next_start_s(self.chain_time_s())
            self._wait_for(
                "The last round has been held" if start_s is None else f"The next round starts {minute_of(start_s)}"
            )
            return
        plan = self._planned(number, finalized)
        if plan is None:
            return
        if self._state.step_done(plan.id, "entries") is None:
            self._state.begin_round(plan.id, plan_facts(self._round_plan(plan)))
            collector = self._collector_of(plan.id)
            closed = self._closed_of(plan)
            final = finalized >= plan.seed_block
            if self._rules.commitment is CommitmentKind.DIGEST:
                missing = collector.ask(closed.commitments, self._chain.neurons(), last=final)
            if not final:
                self._wait_for(f"Entries of round {plan.id} are closed; block {plan.seed_block} gives its seed")
                return
            if self._rules.commitment is not CommitmentKind.DIGEST:
                # By the seed's block, so that every validator holds the same seals for too long.
                opened_by_s = self._chain.timestamp_s(plan.seed_block)
                missing = collector.read(closed.commitments, opened_by_s=opened_by_s)
            _log.info("entries", extra={"action": "entries", "round": plan.id, "unrevealed": missing})
        if self._tidied != plan.id:
            # A retry leaves what was fetched in part: it goes on from there.
            self._tidied = plan.id
            self._forget_old_rounds(keep=max(self._work.kept_rounds, 2))
        self._running = RunningRound(number, plan, self._service(plan))
        self._health.event("success", f"Round {plan.id} begins", action="round_begins")

    def _planned(self, number: int, finalized: int) -> Round | None:
        """The round's blocks, as recorded where it was begun: a node may not have blocks so old any more."""
        schedule = self._rules.schedule
        round_id = schedule.id_of(number)
        recorded = self._state.begin_round(round_id, {}).get("round") if round_id in self._state.rounds() else None
        if recorded is not None:
            return Round(**recorded)
        return schedule.plan(number, finalized=finalized, timestamp_s=self._chain.timestamp_s)

    def _wait_for(self, told: str) -> None:
        """Say once what is waited for."""
        if told != self._waits_for:
            self._waits_for = told
            self._health.event("success", told, action="waits")

    def _collector_of(self, round_id: str) -> RevealCollector:
        if self._collector is None or self._collector.round_id != round_id:
            self._collector = RevealCollector(
                round_id,
                self._peers,
                self._state,
                self._clock,
                self._health,
                kind=self._rules.commitment,
                timelock=self._timelock,
            )
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
            entry_rules=rules.entry_rules,
            fetch_limits=rules.fetch_limits,
            exclude_near_copies=rules.exclude_near_copies,
        )

    def _closed_of(self, plan: Round) -> Snapshot:
        """The chain as the round sees it, read once."""
        if self._closed is None or self._closed.block.number != plan.entries_close_block:
            self._closed = at_the_close(self._chain, plan, self._state.step_done(plan.id, "entries"))
        return self._closed

    def _service(self, plan: Round) -> RoundService:
        work = self._work
        pinned = PinnedChain(self._chain, self._closed_of(plan))
        collector = self._collector_of(plan.id)
        reveals = collector.revealed(pinned.commitments())
        pinned.show(collector.canonical(pinned.commitments(), pinned.neurons(), self._round_before(plan.id)))
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

    def _look_at_round(self, running: RunningRound, finalized: int) -> None:
        if not running.ended():
            return
        self._running = None
        outcome = running.outcome()
        plan = running.plan
        hotkeys = {neuron.uid: neuron.hotkey for neuron in self._closed_of(plan).neurons}
        payees = {hotkeys[uid]: weight for uid, weight in outcome.weights.by_uid.items()}
        self._state.finish_step(plan.id, "payees", payees)
        if self._dry_run is None:
            # Whether the chain takes them now or later, the round is over, and its results are told.
            with suppress(ChainUnavailable):
                self._set_weights_again(finalized, self._chain.neurons())
        weights_set = self._state.step_done(plan.id, "weights_set") or {"block": outcome.weights_block}
        outcome = replace(outcome, weights_block=weights_set["block"])
        documents = self._work.publish(outcome, self._folder(plan.id))
        record_feedback(self._state, self._work.artifacts, plan.id, documents, self._account)
        self._state.finish_step(plan.id, "finished", {"number": running.number})
        self._last_done = running.number
        if self._dry_run is not None:
            self._dry_run(payees)
        self._retry.succeeded()
        self._health.problem("round", None)
        self._courier = None
        self._health.add("competitions_judged", len(outcome.plan.competitions))
        self._health.add("datasets_generated", len(outcome.sets))
        self._health.event("success", f"Round {plan.id} is decided", action="round_decided")
        for refusal in outcome.refusals:
            if refusal.code == "not_evaluated":
                # Perhaps the entry's fault, perhaps this machine's: the operator can tell.
                self._health.event("warning", f"{refusal.label}: {refusal.sentence}", action="not_evaluated")
        self._forget_old_rounds(keep=self._work.kept_rounds)

    def _forget_old_rounds(self, *, keep: int) -> None:
        """Not while a round runs."""
        work = self._work
        try:
            forget_old_rounds(
                self._state,
                folder=work.folder / "rounds",
                hub=work.hub,
                artifacts=work.artifacts,
                keep=keep,
                now_s=self._clock.now(),
            )
            self._health.problem("disk", None)
        except InfrastructureFault as error:
            # No round waits for it; the next one tries again.
            self._health.problem("disk", str(error))

    def _round_before(self, round_id: str) -> str | None:
        rounds = self._state.rounds()
        at = rounds.index(round_id)
        return rounds[at - 1] if at else None

    def _finished_number(self) -> int | None:
        found = self._latest("finished")
        return None if found is None else int(found[1]["number"])

    def _latest(self, step: str) -> tuple[str, Mapping[str, Any]] | None:
        """The latest round in which that step was done, and what it left there."""
        found = ((round_id, self._state.step_done(round_id, step)) for round_id in reversed(self._state.rounds()))
        return next(((round_id, facts) for round_id, facts in found if facts is not None), None)

    def _folder(self, round_id: str) -> Path:
        return self._work.folder / "rounds" / round_id

    # Weights

    def _set_weights_again(self, head: int, neurons: tuple[Neuron, ...]) -> None:
        """Set the last round's weights if that is due, and once every tempo: a chain forgets who does not."""
        found = self._latest("payees")
        if found is None:
            return
        every_blocks = self._rules.weights_every_blocks
        set_block = self._weights.tend(*found, head, neurons, every_blocks=every_blocks)
        if set_block is not None:
            self._state.finish_step(found[0], "weights_set", {"block": set_block})

    # Feedback

    def _deliver(self, neurons: tuple[Neuron, ...]) -> None:
        if self._courier is None:
            if self._last_done is None:
                return
            round_id = self._rules.schedule.id_of(self._last_done)
            envelopes = recorded_feedback(self._state, self._work.artifacts, round_id)
            self._courier = FeedbackCourier(
                round_id, envelopes, self._peers, self._state, self._clock, self._health
            )
        self._courier.deliver(neurons)
