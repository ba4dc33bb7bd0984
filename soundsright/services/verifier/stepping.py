"""The steps of one interval: whom the verifier asks, all at once, and what each attempt earns.

Times are in seconds. A step is recorded before its attempts are counted. Counts that the counters did not take are
made up before the next step. So a step is either not there at all, or counted exactly once.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from soundsright.core.errors import InfrastructureFault, PeerUnavailable
from soundsright.core.tiers import CountName, stats_scope
from soundsright.ranking import Candidate, attempt_reward, base_reward, sampled_provers, score_after
from soundsright.services.rounds import steps
from soundsright.services.verifier.asking import Ask, Asked, asked, without_own_network_faults
from soundsright.services.verifier.attempts import (
    count_attempts,
    failure_facts,
    keep_failed_audio,
    record_failures,
)
from soundsright.services.verifier.bank import Bank, interval_seed
from soundsright.services.verifier.context import VerifierContext
from soundsright.services.verifier.ladder import Ladder
from soundsright.services.verifier.moves import recorded_banks, recorded_steps
from soundsright.services.verifier.verifier_steps import AskedStep, CountedAttempt, round_of
from soundsright.services.verifier.verifier_steps import asked as step_key

MOST_AT_ONCE = 256
RECENT_ATTEMPTS = 200
"""The number of a prover's last attempts that are kept in memory."""

Counts = Mapping[str, Mapping[str, int]]

_log = logging.getLogger(__name__)


class Stepping:
    """The steps of an open interval. A restarted verifier continues with those that are recorded. Use one thread.

    `banks` are by hotkey, and grow while the interval runs. `recent` has the last attempts of each prover.

    Raises:
        UsageError: a record is damaged.
        StateUnavailable: the state does not answer.
    """

    def __init__(self, context: VerifierContext, interval: int, ladder: Ladder) -> None:
        self.interval = interval
        self.ladder = ladder
        self.banks: dict[str, Bank] = {}
        self.recent: dict[str, deque[CountedAttempt]] = {}
        self._context = context
        self._seed = interval_seed(context.state, interval)
        self._used: Counter[str] = Counter()
        self._uncounted: list[AskedStep] = []
        self._next = 0
        self._is_unsure = False
        for hotkey, bank in recorded_banks(context.state, interval).items():
            ladder.take_over(hotkey, bank.content_hash)
        for number, step in recorded_steps(context.state, interval).items():
            self._take(step)
            self._uncounted.append(step)
            self._next = number + 1

    def count(self) -> None:
        """Count what is recorded and not counted yet, also a step whose write did not answer.

        Raises:
            StateUnavailable: counters or records do not answer. What is left is counted by the next call.
        """
        self._take_unsure()
        while self._uncounted:
            step = self._uncounted[0]
            record_failures(self._context, step.failures)
            count_attempts(self._context, [each.attempt for each in step.attempts])
            self._uncounted.pop(0)

    def step(self) -> tuple[CountedAttempt, ...]:
        """Ask the provers that are due, and record and count their attempts. Returns the attempts.

        Raises:
            StateUnavailable: counters, records or state do not answer. A recorded step is counted later.
            InfrastructureFault: this machine could not ask anybody. Nothing counts.
        """
        self.count()
        asks = self._asks(self._context.counters.read_all())
        if not asks:
            return ()
        answered = self._answered(asks)
        if not answered:
            return ()
        at_s = self._context.clock.now()
        step = AskedStep(
            self._rewarded(answered, at_s),
            tuple(
                failure_facts(self._context, each.attempt(self.interval), each)
                for each in answered
                if not each.passed
            ),
        )
        self._is_unsure = True
        steps.write(self._context.state, round_of(self.interval), step_key(self._next), step)
        self._take_unsure()
        for each in answered:
            if not each.passed:
                keep_failed_audio(self._context, self.interval, each)
        self.count()
        return step.attempts

    def _take_unsure(self) -> None:
        """Take over the step that was written, or that may have been written when the state did not answer."""
        if not self._is_unsure:
            return
        step = steps.read(self._context.state, round_of(self.interval), step_key(self._next))
        self._is_unsure = False
        if step is not None:
            self._next += 1
            self._take(step)
            self._uncounted.append(step)

    def unused(self, hotkey: str) -> int:
        """The number of clips in a prover's bank that were not used yet."""
        bank = self.banks.get(hotkey)
        return 0 if bank is None else max(len(bank.clip_ids) - self._used[hotkey], 0)

    def _take(self, step: AskedStep) -> None:
        self.ladder.add(step.attempts)
        for each in step.attempts:
            hotkey = each.attempt.hotkey
            self._used[hotkey] = max(self._used[hotkey], each.attempt.number + 1)
            self.recent.setdefault(hotkey, deque(maxlen=RECENT_ATTEMPTS)).append(each)

    def _asks(self, counts: Counts) -> list[Ask]:
        """The questions of this step, the first in order first."""
        rules = self._context.rules
        candidates = []
        for hotkey, bank in sorted(self.banks.items()):
            tier = self.ladder.standing(hotkey, bank.entrant.neuron.uid).tier
            requests = counts.get(stats_scope(hotkey), {}).get(CountName.REQUESTS, 0)
            candidates.append(Candidate(hotkey, tier, requests, self._used[hotkey], self.unused(hotkey)))
        draw = hashlib.sha256(self._seed + f"soundsright.step/1:{self._next}".encode()).digest()
        by_hotkey = {candidate.hotkey: candidate for candidate in candidates}
        return [
            Ask(
                self.banks[hotkey],
                self._used[hotkey],
                by_hotkey[hotkey].tier,
                by_hotkey[hotkey].requests < rules.tier(by_hotkey[hotkey].tier).requests,
            )
            for hotkey in sampled_provers(rules, candidates, draw)
        ]

    def _answered(self, asks: Sequence[Ask]) -> list[Asked]:
        """The attempts that count, of provers that are asked at the same time.

        Raises:
            InfrastructureFault: this machine could not ask any of them.
        """
        with ThreadPoolExecutor(min(len(asks), MOST_AT_ONCE), thread_name_prefix="tiers-ask") as pool:
            futures = [pool.submit(asked, self._context, self._seed, ask) for ask in asks]
        results: list[Asked | PeerUnavailable | None] = []
        able: list[Ask] = []
        fault: InfrastructureFault | None = None
        for ask, future in zip(asks, futures, strict=True):
            try:
                results.append(future.result())
                able.append(ask)
                continue
            except InfrastructureFault as error:
                _log.warning("%s was not asked: %s", ask.hotkey, error, extra={"action": "not_asked"})
                fault = error
            except Exception as error:  # noqa: BLE001 - one answer must not stop the verification of the others
                _log.exception("an answer of %s was not verified", ask.hotkey, extra={"action": "not_verified"})
                fault = InfrastructureFault(f"An answer was not verified ({type(error).__name__}: {error})")
            # Its files are looked at again before it is asked again.
            self.banks.pop(ask.hotkey, None)
        if fault is not None and not able:
            raise fault
        return without_own_network_faults(self._context, self._seed, able, results)

    def _rewarded(self, answered: Sequence[Asked], at_s: float) -> tuple[CountedAttempt, ...]:
        """The attempts with their rewards. The mean time is that of the provers that answered."""
        rules = self._context.rules
        times_s = [each.time_s for each in answered if each.answer is not None]
        rewarded = []
        for each in answered:
            uid = each.ask.bank.entrant.neuron.uid
            base = base_reward(rules, each.ask.tier, each.kind, each.passed)
            reward = attempt_reward(rules, base, each.time_s, times_s or [each.time_s])
            score = score_after(rules, self.ladder.standing(each.ask.hotkey, uid).score, reward)
            attempt = replace(each.attempt(self.interval), time_s=round(each.time_s, 6))
            rewarded.append(CountedAttempt(attempt, uid, each.ask.tier, at_s, reward, score))
        return tuple(rewarded)
