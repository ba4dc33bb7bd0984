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

    def closed_round(self, committed_at: int | None) -> Round | None:
        """The latest round that closed with the commitment of that block in it.

        None if there is no commitment, if its round is still open, or if the chain does not answer: a miner must
        not show its entry unless it knows that entries are closed.
        """
        if committed_at is None:
            return None
        try:
            latest = self._latest_round()
        except ChainUnavailable:
            return None
        return latest if latest is not None and committed_at <= latest.entries_close_block else None

    def _latest_round(self) -> Round | None:
        finalized = self._chain.finalized().number
        number = self._schedule.last_started(self._chain.timestamp_s(finalized))
        if number is None:
            return None
        if self._latest is None or self._latest[0] != number:
            plan = self._schedule.plan(number, finalized=finalized, timestamp_s=self._chain.timestamp_s)
            if plan is None:
                return None
            self._latest = number, plan
        return self._latest[1]
