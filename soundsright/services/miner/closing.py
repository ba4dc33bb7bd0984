"""Whether a miner's entry is closed, so that the miner may show it. Blocks are counted, times are in seconds."""

from __future__ import annotations

from soundsright.core.errors import ChainUnavailable
from soundsright.core.ports import LiveChain
from soundsright.core.schedule import Round, Schedule


class EntriesClose:
    """Finds the round whose entries have closed, by the same rule as validators: only from final blocks."""

    def __init__(self, chain: LiveChain, schedule: Schedule) -> None:
        self._chain = chain
        self._schedule = schedule
        self._latest: tuple[int, Round] | None = None

    def closed_round(self, committed_at: int | None, *, opens_s: float = float("-inf")) -> Round | None:
        """The latest round that closed with the commitment of that block in it.

        None if there is no commitment, if its round is still open, if its seal opens only at `opens_s`, for a later
        round, or if the chain does not answer: a miner must not show its entry unless it knows that it is closed.
        """
        if committed_at is None:
            return None
        try:
            latest = self._latest_round(opens_s)
        except ChainUnavailable:
            return None
        return latest if latest is not None and committed_at <= latest.entries_close_block else None

    def _latest_round(self, opens_s: float) -> Round | None:
        finalized = self._chain.finalized().number
        now_s = self._chain.timestamp_s(finalized)
        number = self._schedule.last_started(now_s)
        if number is None or now_s < opens_s:
            return None
        if self._latest is None or self._latest[0] != number:
            plan = self._schedule.plan(number, finalized=finalized, timestamp_s=self._chain.timestamp_s)
            if plan is None:
                return None
            self._latest = number, plan
        return self._latest[1]
