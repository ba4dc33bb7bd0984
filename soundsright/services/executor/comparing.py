"""Compares what two executors found in the same round, and results with an organiser's rules.

Both executors run the same clips, so an image has the same quality on both. Its times differ with the machines, so
each executor times a reference beside every image. In units of the reference's time, times of two machines can be
compared. Times are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.errors import UsageError
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.images import ImageRow, MeasuredImage, SubmittedImage
from soundsright.ranking import SCORE_TOLERANCE
from soundsright.services.executor.context import JudgeOf
from soundsright.services.executor.judging import ImageJudge
from soundsright.services.executor.recomputing import recomputed
from soundsright.services.executor.results import RoundResults


@dataclass(frozen=True)
class ComparedTime:
    """The mean time of an image's runs on two machines. `references_s` are the reference's times beside it.

    A reference's time is None if it was not taken.
    """

    hotkey: str
    times_s: tuple[float, float]
    references_s: tuple[float | None, float | None]

    @property
    def ratio(self) -> float | None:
        """The second time over the first, each in units of its reference; None without a reference.

        >>> ComparedTime("5F", (6.0, 12.0), (1.0, 2.0)).ratio
        1.0
        """
        first, second = self.references_s
        if first is None or second is None or not self.times_s[0]:
            return None
        return (self.times_s[1] / second) / (self.times_s[0] / first)


@dataclass(frozen=True)
class Comparison:
    """Two executors' results of one round: a sentence for each difference, and the times.

    `lone` has a sentence for each image that only one of them ran. An executor keeps the best images of its last
    round, so two executors can differ in that.
    """

    differences: tuple[str, ...]
    times: tuple[ComparedTime, ...]
    lone: tuple[str, ...]


def compared(first: RoundResults, second: RoundResults, judge_of: JudgeOf = ImageJudge) -> Comparison:
    """Compare the results of two executors. Qualities are computed again from the clips' scores.

    Raises:
        UsageError: the results are of different rounds.
        ValueError: results cannot be computed again.
    """
    if first.challenge != second.challenge:
        rounds = " and ".join(f"{r.round_id} of block {r.challenge.seed_block}" for r in (first, second))
        raise UsageError(f"The results are of different rounds: {rounds}", "Give two results of the same round.")
    tables = _by_submission(first, judge_of), _by_submission(second, judge_of)
    shared = sorted(tables[0].keys() & tables[1].keys())
    differences = list(_differences_of_sets(first, second))
    for submission in shared:
        differences += _differences_of_rows(tables[0][submission], tables[1][submission])
    lone = (
        f"{submission.hotkey}: only the {name} results have {submission.image}"
        for place, name in enumerate(("first", "second"))
        for submission in sorted(tables[place].keys() - tables[1 - place].keys())
    )
    return Comparison(tuple(differences), tuple(_times(first, second, tables, shared)), tuple(lone))


def differences_from_rules(results: RoundResults, organiser: CompetitionRules) -> tuple[str, ...]:
    """A sentence for each decision of the organiser that the results do not follow."""
    rules = organiser.executor or ExecutorRules()
    found = []
    if results.judged.rules.digest != rules.digest:
        found.append("the results follow other rules than [executor] of the organiser's file")
    name = results.challenge.competition_id
    competition = next((each for each in organiser.competitions if each.id == name), None)
    if competition is None:
        found.append(f"the round is of the competition {name[:60]}, which the organiser's file lacks")
    elif dict(results.judged.weights) != dict(competition.metric_weights):
        found.append("the results weigh the metrics otherwise than the organiser's file")
    return tuple(found)


_Rows = Mapping[SubmittedImage, ImageRow]


def _by_submission(results: RoundResults, judge_of: JudgeOf) -> _Rows:
    return {row.submission: row for row in recomputed(results, judge_of).rows}


def _differences_of_sets(first: RoundResults, second: RoundResults) -> Iterator[str]:
    """The differences in what the executors judged and by which rules."""
    parts = {
        "set": (first.set_digest, second.set_digest),
        "rules": (first.judged.rules.digest, second.judged.rules.digest),
        "ruleset": (first.judged.ruleset.digest, second.judged.ruleset.digest),
        "weights of metrics": (dict(first.judged.weights), dict(second.judged.weights)),
    }
    for name, (own, other) in parts.items():
        if own != other:
            yield f"the two results have different {name}: {str(own)[:100]} and {str(other)[:100]}"


def _differences_of_rows(first: ImageRow, second: ImageRow) -> Iterator[str]:
    hotkey, own, other = first.submission.hotkey, first.metrics, second.metrics
    if own.error != other.error:
        yield f"{hotkey}: error is {own.error or 'none'} in the first and {other.error or 'none'} in the second"
    elif own.error is None and not abs(own.quality_score - other.quality_score) <= SCORE_TOLERANCE:
        yield (
            f"{hotkey}: quality is {own.quality_score:.7f} in the first and {other.quality_score:.7f} in the second"
        )


def _times(
    first: RoundResults, second: RoundResults, tables: tuple[_Rows, _Rows], shared: list[SubmittedImage]
) -> Iterator[ComparedTime]:
    measured = [{e.row.submission: e.measured for e in results.entries} for results in (first, second)]
    for submission in shared:
        own, other = (table[submission].metrics.inference_time_sec for table in tables)
        if own is not None and other is not None:
            references = _reference_s(measured[0][submission]), _reference_s(measured[1][submission])
            yield ComparedTime(submission.hotkey, (own, other), references)


def _reference_s(measured: MeasuredImage | None) -> float | None:
    return None if measured is None else measured.reference_s
