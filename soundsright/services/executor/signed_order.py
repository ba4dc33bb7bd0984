"""The order of the executor's images by the signed results of the round, as a validator computes it again.

The results have every run and every clip's scores, so quality, score, rank and the protection of the winner before
follow from them. The executor's own rows count only if they are the same. Blocks are counted.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.errors import RequestRefused, UsageError
from soundsright.core.images import ImageRow, PublishedTable, SubmittedImage
from soundsright.core.ports import ScoreTable
from soundsright.ranking import SCORE_TOLERANCE
from soundsright.services.executor.checking import RoundCheck, Verdict
from soundsright.services.executor.comparing import differences_from_rules
from soundsright.services.executor.context import JudgeOf
from soundsright.services.executor.judging import ImageJudge
from soundsright.services.executor.paying import bad_table, check_hotkeys
from soundsright.services.executor.recomputing import recomputed
from soundsright.services.executor.results import RoundResults, open_results
from soundsright.services.executor.seen_rounds import SeenRound, SeenRounds
from soundsright.services.records import ValidSignature

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Checked:
    """A round whose results were computed again: its rows from best to last, and the verdict on that basis."""

    round_id: str
    basis: str
    rows: tuple[ImageRow, ...]
    verdict: Verdict


@dataclass
class SignedOrder:
    """An `ImageOrder` for the executor with the hotkey `signer`, by the organiser's rules. Use one thread.

    The results of a round are read and checked once. A round that is older than one before is refused, and so are
    other results of the same round; `seen` keeps both over a restart. If `check` finds that a round is not paid,
    nobody is, and the share burns as in ordinary rounds.
    """

    table: ScoreTable
    signer: str
    organiser: CompetitionRules
    valid_signature: ValidSignature
    check: RoundCheck
    seen: SeenRounds
    judge_of: JudgeOf = ImageJudge
    _last: _Checked | None = field(default=None, init=False)

    def __call__(self, published: PublishedTable) -> tuple[str, ...]:
        """The hotkeys of the table's images that can be paid, best first.

        Raises:
            PeerUnavailable: `bad_table`, if the table and the signed results contradict each other; or the executor
                does not answer.
            InfrastructureFault: the chain or the state does not answer, or the chain lacks the seed's block.
        """
        check_hotkeys(published)
        candidates = {row.submission.hotkey: row for row in published.rows if row.is_winner_candidate}
        if not published.round_id:
            if (newest := self.seen.newest()) is not None:
                raise bad_table(f"it is of no round, after round {newest.round_id}")
            if candidates:
                raise bad_table("it has scores of no round")
            return ()
        checked = self._round(published.round_id)
        decided = {row.submission.hotkey: row for row in checked.rows if row.is_winner_candidate}
        for hotkey, row in candidates.items():
            own = decided.get(hotkey)
            if own is None or own.submission != row.submission:
                raise bad_table(f"{hotkey} has a score, and none in the results of round {checked.round_id}")
            if abs(own.metrics.final_score - row.metrics.final_score) > SCORE_TOLERANCE:
                raise bad_table(
                    f"{hotkey} has the score {row.metrics.final_score:.7g}, and the results of round"
                    f" {checked.round_id} give {own.metrics.final_score:.7g}"
                )
        if hidden := decided.keys() - candidates.keys():
            # The rows are not signed. Without this check, each validator could be shown another winner.
            raise bad_table(
                f"{min(hidden)} can be paid by the results of round {checked.round_id}, and the table lacks it"
            )
        if checked.verdict.reason:
            return ()
        firsts = {min(own).hotkey for own in _by_digest(decided.values())}
        return tuple(hotkey for hotkey in decided if hotkey in firsts)

    def _round(self, round_id: str) -> _Checked:
        """The round, computed again from its signed results unless it is the last one that was."""
        last, basis = self._last, self.check.basis
        if last is not None and (last.round_id, last.basis) == (round_id, basis):
            return last
        raw = self.table.results(round_id)
        if raw is None:
            raise bad_table(f"it is of round {round_id}, which has no signed results")
        try:
            results = open_results(raw, valid_signature=self.valid_signature, ruleset=self.organiser.ruleset)
        except (RequestRefused, UsageError) as error:
            raise bad_table(f"the results of round {round_id} cannot be used ({error})") from error
        self._check(results, round_id)
        sha256 = hashlib.sha256(raw).hexdigest()
        newest = self.seen.newest()
        self._check_order(results, sha256, newest)
        try:
            again = recomputed(results, self.judge_of)
        except ValueError as error:
            raise bad_table(f"round {round_id} cannot be computed again ({str(error)[:200]})") from error
        if again.differences:
            raise bad_table(f"round {round_id}: {again.differences[0]}")
        if newest is not None and (newest.results_sha256, newest.basis) == (sha256, basis):
            verdict = Verdict(newest.reason, newest.sentence)
        else:
            verdict = self.check(results)
        if verdict.reason:
            _log.warning("%s", verdict.sentence, extra={"action": "round_unpaid", "reason": verdict.reason})
        seed_block = results.challenge.seed_block
        self.seen.keep(SeenRound(round_id, seed_block, sha256, basis, verdict.reason, verdict.sentence))
        self._last = _Checked(round_id, basis, again.rows, verdict)
        return self._last

    def _check_order(self, results: RoundResults, sha256: str, newest: SeenRound | None) -> None:
        """Check that the round is not older than the newest one, and that its results are still the same.

        Raises:
            PeerUnavailable: `bad_table`, if it is, or they are not.
        """
        if newest is None:
            return
        seed_block, round_id = results.challenge.seed_block, results.round_id
        if seed_block < newest.seed_block:
            raise bad_table(f"round {round_id} is older than round {newest.round_id}, which it showed before")
        if seed_block == newest.seed_block and sha256 != newest.results_sha256:
            raise bad_table(f"it shows other results of round {round_id} than before")

    def _check(self, results: RoundResults, round_id: str) -> None:
        """Check that the results are of this executor and round, by the organiser's rules.

        Raises:
            PeerUnavailable: `bad_table`, if they are not.
        """
        if results.signer != self.signer:
            raise bad_table(f"{results.signer} signed the results of round {round_id}, not {self.signer}")
        if results.round_id != round_id:
            raise bad_table(f"the results of round {round_id} are those of round {results.round_id}")
        for difference in differences_from_rules(results, self.organiser):
            raise bad_table(f"round {round_id}: {difference}")


def _by_digest(rows: Iterable[ImageRow]) -> Iterable[list[SubmittedImage]]:
    """The submissions of each image. An executor pays the earliest; one that does not is not followed."""
    by_digest: dict[str, list[SubmittedImage]] = {}
    for row in rows:
        by_digest.setdefault(row.submission.image.sha256, []).append(row.submission)
    return by_digest.values()
