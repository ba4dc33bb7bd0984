"""A validator: it follows the chain, runs each round when it is due, sets weights, and sends miners results.

Blocks are counted, times in seconds. Everything that must not be lost is a step in the state, so a validator that
is stopped anywhere continues from there. A round runs in its own thread; meanwhile weights are set again and
feedback is delivered. A validator adds these steps to those of `services/rounds/run.py`:

    reveal:HOTKEY:HASH     the model and the competition that a commitment stands for
    reveal:HOTKEY:HASH:2   another reveal of the same commitment, if its miner signed two
    collected              the block in which miners were last asked before the deadline for reveals
    payees                 weights by hotkey, to be set now and again every tempo
    weights_set            the block in which the chain first accepted them, which can be after the round's end
    bundle                 the SHA-256 of the signed round document
    committed              the block in which the validator committed to that document
    logged:LOG             the hotkey of a log that has that document, and the index there
    feedback               the SHA-256 of each envelope by hotkey; the envelopes are among the artifacts
    delivered:HOTKEY       whether the feedback arrived, or was given up
    finished               the number of the round
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from soundsright.core.errors import ChainUnavailable, InfrastructureFault, SoundsRightError
from soundsright.core.ports import Neuron, Snapshot
from soundsright.core.schedule import Round
from soundsright.core.submission import CommitmentKind
from soundsright.services.rounds import BegunRound, RoundContext, RoundPlan, RoundService, plan_facts, steps
from soundsright.services.validator.bundles import BundleKeeper
from soundsright.services.validator.chain import PinnedChain, at_the_close
from soundsright.services.validator.corpus import CorpusKeeper, entries_among
from soundsright.services.validator.exchange import RevealExchange
from soundsright.services.validator.feedback import record_feedback, recorded_feedback
from soundsright.services.validator.gossip import SharedReveals
from soundsright.services.validator.payment import Payment
from soundsright.services.validator.peers import FeedbackCourier, RevealCollector
from soundsright.services.validator.retention import forget_old_rounds
from soundsright.services.validator.round import Backoff, RunningRound, minute_of
from soundsright.services.validator.setup import ValidatorContext
from soundsright.services.validator.subsystems import Subsystem
from soundsright.services.validator.ticking import MAX_PAUSE_S, keep_ticking

_log = logging.getLogger(__name__)


class ValidatorService:
    """Runs rounds until it is stopped. After one round it stops by itself if the context has a `dry_run`.

    `subsystems` are other systems that have a share of the emission. They run beside the rounds, in `tick`.

    Raises:
        UsageError: two systems have one name, or a share belongs to a system that does not run here.
    """

    def __init__(self, context: ValidatorContext, subsystems: Sequence[Subsystem] = ()) -> None:
        self._settings = context.settings
        self._work = context.work
        self._chain = context.chain
        self._account = context.account
        self._state = context.state
        self._peers = context.peers
        self._clock = context.clock
        self._health = context.health
        self._timelock = context.timelock
        self._valid_signature = context.valid_signature
        self._endpoint = context.endpoint
        self._poll_s = context.poll_s
        self._dry_run = context.dry_run
        self._collector: RevealCollector | None = None
        self._exchange: RevealExchange | None = None
        self.shared = SharedReveals()
        self._courier: FeedbackCourier | None = None
        self._running: RunningRound | None = None
        self._retry = Backoff(first_s=context.poll_s, longest_s=MAX_PAUSE_S)
        measures = context.settings.measures
        self._corpus = CorpusKeeper(
            context.chain, context.account.address, measures.material, measures.clips, context.clock, context.health
        )
        self._bundles = BundleKeeper(
            *(context.chain, context.account, context.state),
            *(self._folder, context.clock, context.health),
        )
        self._payment = Payment(context.payment, subsystems)
        self._chain_time_s: float | None = None
        self._waits_for = ""
        self._tidied_for = ""
        self._closed: Snapshot | None = None
        finished = steps.latest(self._state, steps.FINISHED)
        self._last_done = None if finished is None else finished[1].number

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. After a failure the service tries again, with growing pauses."""
        try:
            keep_ticking(self.tick, stop, self._health, poll_s=self._poll_s, is_done=self._is_done)
        finally:
            self.cancel()
            self._payment.close()

    def _is_done(self) -> bool:
        return self._dry_run is not None and self._last_done is not None and self._running is None

    def cancel(self) -> None:
        """Stop the running round and wait until it has ended. Everything that it recorded stays."""
        if self._running is not None:
            self._running.cancel()
            self._running = None

    def chain_time_s(self) -> float:
        """The time of the last known finalised block. Before the first one is known, the time of this machine."""
        return self._clock.now() if self._chain_time_s is None else self._chain_time_s

    def tick(self) -> None:
        """Look at the chain once and do the work that is due.

        Raises:
            InfrastructureFault: something around the validator does not answer.
        """
        self._health.add("iterations")
        finalized = self._chain.finalized().number
        self._chain_time_s = self._chain.timestamp_s(finalized)
        self._health.set("chain.head_block", finalized)
        chain_fault: ChainUnavailable | None = None
        try:
            self._tend_round(finalized)
        except ChainUnavailable as error:
            # The node may lack only an old block. The work below needs none.
            chain_fault = error
        if self._dry_run is None:
            neurons = self._chain.neurons()
            self._corpus.tend(neurons)
            self._serve_others(neurons)
            self._payment.tick(finalized, neurons)
            self._set_weights_if_due(finalized, neurons)
            self._bundles.tend()
            self._deliver(neurons)
        if chain_fault is not None:
            raise chain_fault

    def _serve_others(self, neurons: tuple[Neuron, ...]) -> None:
        """Let the present validators ask for reveals, and publish where they can do so if the chain lacks it."""
        self.shared.admit_validators(neurons)
        own = next((neuron for neuron in neurons if neuron.hotkey == self._account.address), None)
        if not self._endpoint or own is None or own.endpoint == self._endpoint:
            return
        result = self._chain.publish_endpoint(own.hotkey, self._endpoint)
        failed = not (result.ok or result.unknown)
        self._health.problem("endpoint", f"The chain refused the endpoint: {result.message}" if failed else None)

    # Rounds

    def _tend_round(self, finalized: int) -> None:
        """Start the round that is due, or finish the one that has ended. A failed round does not stop other work.

        Raises:
            ChainUnavailable: the chain does not answer.
        """
        now_s = self._clock.now()
        try:
            if self._running is not None:
                self._finish_round(self._running, finalized)
            elif self._retry.is_due(now_s):
                self._start_due_round(finalized)
        except ChainUnavailable:
            raise
        except SoundsRightError as error:
            self._round_failed(now_s, str(error))
        except Exception as error:  # noqa: BLE001 - reported with its trace, and tried again
            _log.exception("round failed", extra={"action": "round_failed"})
            self._round_failed(now_s, f"{type(error).__name__}: {error}. The log has the traceback.")

    def _round_failed(self, now_s: float, problem: str) -> None:
        self._retry.failed(now_s)
        self._health.problem("round", problem)

    def _start_due_round(self, finalized: int) -> None:
        schedule = self._settings.schedule
        number = schedule.due(self.chain_time_s(), last_done=self._last_done)
        if number is None:
            start_s = schedule.next_start_s(self.chain_time_s())
            self._report_wait(
                "The last round is over" if start_s is None else f"The next round starts {minute_of(start_s)}"
            )
            return
        blocks = self._blocks_of(number, finalized)
        if blocks is None:
            return
        plan = self._round_plan(number, blocks)
        if steps.read(self._state, blocks.id, steps.ENTRIES) is None and not self._reveals_ready(plan, finalized):
            return
        if self._tidied_for != blocks.id:
            # Not before a retry, which continues with what was fetched in part.
            self._tidied_for = blocks.id
            self._corpus.disclose(self._work.folder / "rounds", number)
            self._forget_old_rounds(keep=max(self._work.kept_rounds, 2))
        self._running = RunningRound(number, blocks, self._service(plan))
        self._health.event("success", f"Round {blocks.id} begins", action="round_begins")

    def _reveals_ready(self, plan: RoundPlan, finalized: int) -> bool:
        """Collect reveals. Returns whether the seed's block is final, so that the round can start."""
        blocks = plan.round
        self._state.begin_round(blocks.id, plan_facts(plan))
        collector = self._collector_of(blocks.id)
        closed = self._closed_of(blocks)
        entries = entries_among(closed.commitments)
        final = finalized >= blocks.seed_block
        missing = 0
        if self._settings.rules.commitment is CommitmentKind.DIGEST:
            missing = self._exchange_of(blocks).step(entries, self._chain.neurons(), finalized)
        if not final:
            self._report_wait(f"Entries of round {blocks.id} are closed; block {blocks.seed_block} gives its seed")
            return False
        if self._settings.rules.commitment is not CommitmentKind.DIGEST:
            # The time of the seed's block, so that all validators refuse the same seals.
            opened_by_s = self._chain.timestamp_s(blocks.seed_block)
            missing = collector.read(entries, opened_by_s=opened_by_s)
        _log.info("entries", extra={"action": "entries", "round": blocks.id, "unrevealed": missing})
        return True

    def _blocks_of(self, number: int, finalized: int) -> Round | None:
        """The blocks of a round; None if they are not known yet.

        They come from the state if the round began before, because a node can lose blocks that old.
        """
        schedule = self._settings.schedule
        round_id = schedule.id_of(number)
        if round_id in self._state.rounds():
            recorded = BegunRound.from_facts(self._state.begin_round(round_id, {})).round
            if recorded is not None:
                return recorded
        return schedule.plan(number, finalized=finalized, timestamp_s=self._chain.timestamp_s)

    def _report_wait(self, message: str) -> None:
        """Report the reason for waiting, once."""
        if message != self._waits_for:
            self._waits_for = message
            self._health.event("success", message, action="waits")

    def _collector_of(self, round_id: str) -> RevealCollector:
        if self._collector is None or self._collector.round_id != round_id:
            self._collector = RevealCollector(
                round_id,
                self._peers,
                self._state,
                self._clock,
                self._health,
                self._valid_signature,
                kind=self._settings.rules.commitment,
                timelock=self._timelock,
                unsalted=self._settings.rules.entry_rules.unsalted,
            )
        return self._collector

    def _exchange_of(self, blocks: Round) -> RevealExchange:
        if self._exchange is None or self._exchange.round != blocks:
            self._exchange = RevealExchange(
                blocks, self._collector_of(blocks.id), self.shared, self._account.address, self._peers, self._clock
            )
        return self._exchange

    def _round_plan(self, number: int, blocks: Round) -> RoundPlan:
        settings = self._settings
        measures = settings.measures
        if measures.material.is_private:
            measures = replace(measures, material=replace(measures.material, round_number=number))
        return RoundPlan(blocks, settings.rules, measures, pay_on_public_corpus=settings.pay_on_public_corpus)

    def _closed_of(self, blocks: Round) -> Snapshot:
        """The chain as the round sees it, read once."""
        if self._closed is None or self._closed.block.number != blocks.entries_close_block:
            entries = steps.read(self._state, blocks.id, steps.ENTRIES)
            self._closed = at_the_close(self._chain, blocks, entries)
        return self._closed

    def _service(self, plan: RoundPlan) -> RoundService:
        work, blocks = self._work, plan.round
        pinned = PinnedChain(self._chain, self._closed_of(blocks))
        collector = self._collector_of(blocks.id)
        entries = entries_among(pinned.commitments())
        reveals = collector.revealed(entries)
        round_before = self._round_before(blocks.id)
        pinned.replace_entries(collector.canonical(entries, pinned.neurons(), round_before))
        burn_uid = next((n.uid for n in pinned.neurons() if n.hotkey == self._settings.burn_hotkey), None)
        context = RoundContext(
            replace(plan, burn_uid=burn_uid),
            chain=pinned,
            hub=work.hub,
            sandbox=work.sandbox,
            state=self._state,
            pool=work.pool,
            clock=self._clock,
            folder=self._folder(blocks.id),
            validator=self._account.address,
            slots=work.slots,
            workers=work.workers,
            observe=work.observe,
        )
        return RoundService(context, reveals)

    def _finish_round(self, running: RunningRound, finalized: int) -> None:
        """If the round has ended: set its weights, publish its results, and record that it is over."""
        if not running.ended():
            return
        self._running = None
        outcome = running.outcome()
        blocks = running.schedule
        hotkeys = {neuron.uid: neuron.hotkey for neuron in self._closed_of(blocks).neurons}
        payees = {hotkeys[uid]: weight for uid, weight in outcome.weights.by_uid.items()}
        steps.write(self._state, blocks.id, steps.PAYEES, steps.PayeesStep(payees))
        if self._dry_run is None:
            # If the chain accepts the weights only later, the round is over nevertheless.
            with suppress(ChainUnavailable):
                self._set_weights_if_due(finalized, self._chain.neurons())
        weights_set = steps.read(self._state, blocks.id, steps.WEIGHTS_SET)
        if weights_set is not None:
            outcome = replace(outcome, weights_block=weights_set.block)
        if self._dry_run is None:
            self._bundles.record(outcome)
        documents = self._work.publish(outcome, self._folder(blocks.id))
        self._corpus.disclose(self._work.folder / "rounds", running.number)
        record_feedback(self._state, self._work.artifacts, blocks.id, documents, self._account)
        steps.write(self._state, blocks.id, steps.FINISHED, steps.FinishedStep(running.number))
        self._last_done = running.number
        if self._dry_run is not None:
            self._dry_run(payees)
        self._retry.succeeded()
        self._health.problem("round", None)
        self._courier = None
        self._health.add("competitions_judged", len(outcome.plan.rules.competitions))
        self._health.add("datasets_generated", len(outcome.sets))
        self._health.event("success", f"Round {blocks.id} is decided", action="round_decided")
        for refusal in outcome.refusals:
            if refusal.code == "not_evaluated":
                # The cause can be the entry or this machine. The operator can find out which.
                self._health.event("warning", f"{refusal.label}: {refusal.sentence}", action="not_evaluated")
        self._forget_old_rounds(keep=self._work.kept_rounds)

    def _forget_old_rounds(self, *, keep: int) -> None:
        """Free disk space. Call it only while no round runs."""
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
            # Rounds do not depend on it, and the next round tries again.
            self._health.problem("disk", str(error))

    def _round_before(self, round_id: str) -> str | None:
        rounds = self._state.rounds()
        position = rounds.index(round_id)
        return rounds[position - 1] if position else None

    def _folder(self, round_id: str) -> Path:
        return self._work.folder / "rounds" / round_id

    def _set_weights_if_due(self, head: int, neurons: tuple[Neuron, ...]) -> None:
        self._payment.set_weights_if_due(head, neurons, every_blocks=self._settings.weights_every_blocks)

    # Feedback

    def _deliver(self, neurons: tuple[Neuron, ...]) -> None:
        if self._courier is None:
            if self._last_done is None:
                return
            round_id = self._settings.schedule.id_of(self._last_done)
            envelopes = recorded_feedback(self._state, self._work.artifacts, round_id)
            self._courier = FeedbackCourier(
                round_id, envelopes, self._peers, self._state, self._clock, self._health
            )
        self._courier.deliver(neurons)
