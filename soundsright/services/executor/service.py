"""The executor: it begins a round when a new image stands, runs it, and answers the HTTP interface meanwhile.

A fault of the coordinator, the chain, the engine or the disk stops no service and publishes nothing: the last table
stays, and the work is tried again after growing pauses. Times are in seconds.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from soundsright.core.errors import InfrastructureFault, RequestRefused
from soundsright.core.image_runs import check_clips
from soundsright.core.images import Challenge, PublishedTable, SubmittedImage
from soundsright.core.ports import TakenSubmissions
from soundsright.services.executor import executor_steps
from soundsright.services.executor.committing import CorpusCommitter
from soundsright.services.executor.context import ExecutorContext
from soundsright.services.executor.executor_steps import PublishedStep
from soundsright.services.executor.participants import has_new
from soundsright.services.executor.pulling import forget_images
from soundsright.services.executor.rounds import (
    RunningRound,
    check_corpus,
    chosen_for,
    competition_of,
    round_facts,
    seed_of,
)
from soundsright.services.rounds import material_of_round, roots_of, steps
from soundsright.services.validator import RUNNING, RepeatedWork

_log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 300.0
_NOT_FINAL = "not_final"


class ExecutorService(RepeatedWork):
    """The `ImageExecutor` of this machine. One thread calls `run` or `tick`, any thread the other methods.

    `problem` receives the sentence of a fault that lasts, or None when it is over. `published` receives the id and
    the table of each round that this process published.
    """

    def __init__(
        self,
        context: ExecutorContext,
        *,
        poll_s: float = 12.0,
        problem: Callable[[str | None], None] = lambda _sentence: None,
        published: Callable[[str, PublishedStep], None] = lambda _round_id, _table: None,
    ) -> None:
        super().__init__("executor", context, poll_s=poll_s, longest_s=LONGEST_PAUSE_S, problem=problem)
        self._context = context
        self._published = published
        self._round_id = ""
        self._coming: dict[str, float] = {}
        self._committer = CorpusCommitter(context)

    def take(self, submissions: Sequence[SubmittedImage]) -> TakenSubmissions:
        """Take the submissions that stand now, all or none.

        Raises:
            EntryRefused: `too_many`, `duplicate_hotkey` or `bad_submission`; nothing was taken.
            StateUnavailable: the database does not answer.
        """
        taken = self._context.store.take(submissions)
        if taken.new or taken.changed:
            _log.info(
                "%d submissions: %d new, %d changed",
                taken.count,
                taken.new,
                taken.changed,
                extra={"action": "taken"},
            )
        return taken

    def table(self) -> PublishedTable:
        """The published table, and the scores of the running round."""
        return self._context.store.table(dict(self._coming))

    def results(self, round_id: str) -> bytes | None:
        """The signed results of a round in their envelope; None if there is no such round."""
        return self._context.store.results(round_id)

    def status(self) -> Mapping[str, Any]:
        """The state, the round that runs or ran last, and the machine."""
        published = self._context.store.published()
        return {
            "state": self._state,
            "round": self._round_id,
            "published": "" if published is None else published[0],
            "scored": len(self._coming),
            "problem": self._waits_for,
            "machine": dict(self._context.machine),
        }

    def _work(self) -> None:
        if problem := self._committer.tend():
            _log.warning("%s", problem, extra={"action": "corpus_not_committed"})
        begun = self._begun()
        if begun is None:
            return
        self._state, self._round_id = RUNNING, begun.round_id
        table = begun.run()
        self._coming.clear()
        self._published(begun.round_id, table)
        self._remove_old_audio()
        self._remove_old_images()

    def _begun(self) -> RunningRound | None:
        """The round that is not published yet, or a new one. None if there is no reason for one."""
        state = self._context.state
        rounds = state.rounds()
        if rounds and steps.read(state, rounds[-1], executor_steps.PUBLISHED) is None:
            recorded = state.begin_round(rounds[-1], {})
        elif (challenge := self._new_challenge()) is not None:
            recorded = state.begin_round(challenge.round_id, round_facts(self._context, challenge))
            _log.info("round %s begins", challenge.round_id, extra={"action": "round_begins"})
        else:
            return None
        return RunningRound(self._context, recorded, self._coming.__setitem__)

    def _new_challenge(self) -> Challenge | None:
        """The coordinator's present round, if a new image would be in it.

        Raises:
            InfrastructureFault: the coordinator or the chain does not answer, or they contradict each other.
            UsageError: the coordinator's sets have too few clips.
        """
        context = self._context
        if not context.store.standing():
            return None
        try:
            challenge = context.board.challenge()
        except RequestRefused as refused:
            if refused.code == _NOT_FINAL:
                return None
            raise
        last = steps.latest(context.state, executor_steps.SEED)
        if challenge.round_id in context.state.rounds() or (last and challenge.seed_block <= last[1].block):
            return None
        if context.only and challenge.competition_id.casefold() not in {name.casefold() for name in context.only}:
            return None
        competition = competition_of(context, challenge)
        seed = seed_of(context, challenge)
        published = context.store.published()
        chosen = chosen_for(context, seed, competition, challenge.clips)
        if not has_new(chosen, None if published is None else published[1]):
            return None
        check_clips(challenge.clips, context.rules)
        material = material_of_round(context.material, context.schedule, seed.time_s)
        check_corpus(material, challenge)
        if self._committer.is_late(roots_of(material), challenge.seed_block):
            # Validators would pay nobody on it. The next round is drawn from a later block.
            return None
        return challenge

    def _remove_old_audio(self) -> None:
        """Remove the sets and the enhanced audio of old rounds. A folder that stays does no harm."""
        for round_id in self._context.state.rounds()[: -self._context.kept_rounds]:
            shutil.rmtree(self._context.round_folder(round_id), ignore_errors=True)

    def _remove_old_images(self) -> None:
        """Remove the images that no longer stand. If the engine fails, they are removed after the next round."""
        keep = [entry.image for entry in self._context.store.standing().values()]
        try:
            forget_images(self._context.sandbox, keep)
        except InfrastructureFault as fault:
            _log.warning("old images stay: %s", fault, extra={"action": "images_stay"})
