"""A verifier: it opens and closes intervals by the last final block, makes banks, and asks in steps.

Blocks are counted, times are in seconds. Everything that must not be lost is a step in the state or a record. A
verifier that is stopped anywhere continues from there.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from soundsright import __version__
from soundsright.core.errors import InfrastructureFault
from soundsright.core.ports import Neuron
from soundsright.core.tiers import CountName, stats_scope
from soundsright.core.tiers_rules import tier_index
from soundsright.ranking import score_weights
from soundsright.services.rounds import steps
from soundsright.services.verifier.bank import Entrant, commit_bank, interval_seed
from soundsright.services.verifier.bank_making import BankMaking
from soundsright.services.verifier.context import VerifierContext
from soundsright.services.verifier.ladder import Ladder, last_ladder
from soundsright.services.verifier.moves import close_interval
from soundsright.services.verifier.serving import LastCheck, ServingProver
from soundsright.services.verifier.stepping import Counts, Stepping
from soundsright.services.verifier.verifier_steps import CLOSED, OPENED, OpenedStep, round_of

MAX_PROVERS = 2_000
"""The largest number of provers; those with the lowest uids are asked."""
SHOWN_LATENCIES = 50

_log = logging.getLogger(__name__)


class Verifier:
    """Verifies the provers of a subnet. One thread calls `work`; any thread may call the rest."""

    def __init__(self, context: VerifierContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._stepping: Stepping | None = None
        self._making: BankMaking | None = None
        self._ladder: Ladder | None = None
        self._next_step_s: float | None = None
        self._announced = -1
        self._serving: tuple[ServingProver, ...] = ()
        self._left: dict[str, int] = {}
        self._counts: Counts = {}
        self._scores: Mapping[str, float] | None = None

    def work(self, finalized: int, neurons: Sequence[Neuron]) -> None:
        """Do what is due at this final block. It waits for the answers of one step at most.

        Raises:
            InfrastructureFault: something around the verifier failed. Nothing of it counts for a prover.
            UsageError: a record is damaged.
        """
        stepping, making = self._rolled(finalized, neurons)
        entrants = self._entrants(neurons)
        if stepping is None or making is None or entrants is None:
            self._publish(entrants, making)
            return
        if self._ladder is not stepping.ladder:
            self._ladder = stepping.ladder
        making.tend(entrants, stepping.banks)
        for hotkey, made in making.made.items():
            stepping.ladder.take_over(hotkey, made.content_hash)
        self._report(making, stepping)
        if self._is_due():
            stepping.step()
            self._counts = self._context.counters.read_all()
            with self._lock:
                self._left = {}
        self._publish(entrants, making)

    def settle(self, timeout_s: float) -> bool:
        """Wait for the bank that is being made, for a time at most. Returns whether none is."""
        return self._making is None or self._making.wait(timeout_s)

    def cancel(self) -> None:
        """Stop as soon as possible, and end the running models."""
        self._context.cancelled.set()
        self._context.sandbox.stop()

    @property
    def payees(self) -> Mapping[str, float] | None:
        """The weights of the provers by hotkey; empty if nobody has earned anything. None: not known yet."""
        scores = self._scores
        if scores is None:
            return None
        weights = score_weights(self._context.rules.profile, scores)
        return {hotkey: weight for hotkey, weight in weights.items() if weight > 0}

    def best_provers(self, competition: str) -> tuple[ServingProver, ...]:
        """The provers of a competition with requests left, best first: see `ServingProvers`."""
        with self._lock:
            able = [
                replace(each, requests_left=self._left[each.hotkey])
                for each in self._serving
                if each.competition == competition and self._left.get(each.hotkey, 0) > 0
            ]
        return tuple(sorted(able, key=lambda e: (-tier_index(e.tier), not e.is_verified, -e.requests_left, e.uid)))

    def serving_provers(self) -> tuple[ServingProver, ...]:
        """All provers with a bank in this interval, by uid."""
        with self._lock:
            return tuple(replace(each, requests_left=self._left.get(each.hotkey, 0)) for each in self._serving)

    def take_request(self, hotkey: str) -> bool:
        """Count a listener's request to a prover, before it is sent. Returns False if its tier allows no more.

        Raises:
            StateUnavailable: the counters do not answer. Do not send the request.
        """
        with self._lock:
            if self._left.get(hotkey, 0) <= 0:
                return False
            self._left[hotkey] -= 1
        try:
            self._context.counters.add(stats_scope(hotkey), {CountName.REQUESTS.value: 1})
        except BaseException:
            with self._lock:
                self._left[hotkey] = self._left.get(hotkey, 0) + 1
            raise
        return True

    def _report(self, making: BankMaking, stepping: Stepping) -> None:
        """Show a problem if nobody has a bank. One prover without one can have removed its own repository."""
        problems = "; ".join(f"{hotkey}: {problem}" for hotkey, problem in sorted(making.problems.items())[:3])
        self._context.health.problem("tiers.banks", None if stepping.banks else problems or None)

    # Intervals

    def _rolled(self, finalized: int, neurons: Sequence[Neuron]) -> tuple[Stepping | None, BankMaking | None]:
        """The open interval of this block, after the one before it was closed."""
        number = finalized // self._context.rules.interval_blocks
        if self._ladder is None:
            self._resume()
        if self._stepping is not None and number > self._stepping.interval:
            self._close(self._stepping, neurons)
        if self._stepping is None and (self._making is None or self._making.wait(0)):
            self._open(number, finalized)
        return self._stepping, self._making

    def _resume(self) -> None:
        """Continue with the interval that the process before this one left open."""
        ladder = last_ladder(self._context.records)
        last = steps.latest(self._context.state, OPENED)
        if last is not None:
            interval = int(last[0].rpartition("-")[2])
            if steps.read(self._context.state, last[0], CLOSED) is None:
                self._begin(interval, ladder)
        self._ladder = ladder

    def _close(self, stepping: Stepping, neurons: Sequence[Neuron]) -> None:
        stepping.count()
        end_block = (stepping.interval + 1) * self._context.rules.interval_blocks
        registered = {neuron.hotkey for neuron in neurons}
        to_blame = frozenset[str]() if self._making is None else self._making.to_blame
        self._ladder = close_interval(self._context, stepping.interval, end_block, registered, to_blame)
        self._stepping, self._counts = None, {}
        with self._lock:
            self._left = {}
            self._serving = ()
        self._remove_old_banks(stepping.interval)
        _log.info("interval %d is closed", stepping.interval, extra={"action": "interval_closed"})

    def _open(self, number: int, finalized: int) -> None:
        context = self._context
        assert self._ladder is not None
        if number <= self._ladder.interval:
            return  # The node is behind one that showed the end of this interval.
        commit_bank(context.records, number, interval_seed(context.state, number))
        text = commit_bank(context.records, number + 1, interval_seed(context.state, number + 1))
        end_block = (number + 1) * context.rules.interval_blocks
        opened = OpenedStep(finalized, end_block, __version__, context.rules.canonical_json)
        steps.write(context.state, round_of(number), OPENED, opened)
        self._begin(number, self._ladder)
        self._announce(number + 1, text)

    def _begin(self, interval: int, ladder: Ladder) -> None:
        self._stepping = Stepping(self._context, interval, ladder)
        self._making = BankMaking(self._context, interval)
        self._next_step_s = None

    def _announce(self, interval: int, text: str) -> None:
        """Commit to the next bank on the chain, if the operator wants that. The record has the same digest."""
        if self._context.announce is None or interval <= self._announced:
            return
        try:
            self._context.announce(text)
            self._announced = interval
            self._context.health.problem("tiers.announcement", None)
        except InfrastructureFault as error:
            self._context.health.problem("tiers.announcement", str(error))

    def _remove_old_banks(self, closed: int) -> None:
        folder = self._context.banks_folder
        if not folder.is_dir():
            return
        for path in folder.iterdir():
            if path.name.isdecimal() and int(path.name) < closed:
                shutil.rmtree(path, ignore_errors=True)

    def _is_due(self) -> bool:
        """Whether the next step is due. After a jump of the clock it is."""
        now_s, step_s = self._context.clock.now(), self._context.rules.step_s
        due_s = self._next_step_s
        if due_s is not None and due_s - step_s <= now_s < due_s:
            return False
        self._next_step_s = now_s + step_s
        return True

    def _entrants(self, neurons: Sequence[Neuron]) -> tuple[Entrant, ...] | None:
        """The provers that can be asked, by uid; None if no round has finished."""
        entries = self._context.entries()
        if entries is None:
            return None
        by_hotkey = {entry.submission.hotkey: entry for entry in entries}
        able = [
            Entrant(by_hotkey[neuron.hotkey], neuron)
            for neuron in sorted(neurons, key=lambda neuron: neuron.uid)
            if neuron.hotkey in by_hotkey and self._context.may_be_asked(neuron)
        ]
        return tuple(able[:MAX_PROVERS])

    # What others see

    def _publish(self, entrants: Sequence[Entrant] | None, making: BankMaking | None) -> None:
        """Show the present state. Requests of listeners since the counters were read stay counted."""
        ladder, stepping = self._ladder, self._stepping
        if ladder is None or entrants is None:
            return
        made = {} if making is None else making.made
        to_blame = frozenset[str]() if making is None else making.to_blame
        # Otherwise a prover that cannot be asked could keep its score.
        paid = [
            each
            for each in entrants
            if each.hotkey not in to_blame
            and (each.hotkey in made or ladder.pays(each.hotkey, each.entry.content_hash))
        ]
        scores = {each.hotkey: ladder.standing(each.hotkey, each.neuron.uid).score for each in paid}
        serving, limits = [], {}
        for bank in () if stepping is None else stepping.banks.values():
            assert stepping is not None
            row = self._row(stepping, bank.entrant)
            serving.append(row)
            done = self._counts.get(stats_scope(row.hotkey), {}).get(CountName.REQUESTS, 0)
            limits[row.hotkey] = max(self._context.rules.tier(row.tier).requests - done, 0)
        with self._lock:
            self._serving = tuple(sorted(serving, key=lambda row: row.uid))
            self._left = {hotkey: self._left.get(hotkey, left) for hotkey, left in limits.items()}
            self._scores = scores

    def _row(self, stepping: Stepping, entrant: Entrant) -> ServingProver:
        recent = stepping.recent.get(entrant.hotkey, ())
        passed = [each.attempt.time_s for each in recent if each.attempt.result.passed]
        last = None
        if recent:
            attempt = recent[-1].attempt
            last = LastCheck(
                attempt.interval,
                attempt.kind,
                attempt.result,
                attempt.agreement_db,
                attempt.time_s,
                recent[-1].at_s,
            )
        assert entrant.neuron.endpoint is not None
        return ServingProver(
            entrant.hotkey,
            entrant.neuron.uid,
            entrant.neuron.endpoint,
            entrant.submission.competition.id,
            str(entrant.submission.source),
            stepping.ladder.standing(entrant.hotkey, entrant.neuron.uid).tier,
            0,
            tuple(passed[-SHOWN_LATENCIES:]),
            last,
        )
