"""The entries of a competition that are ranked apart: memorised, held, or refused by the organiser.

Scores are in the metric's unit, higher is better. Nothing here uses chance or a clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from soundsright.core.competition import Competition, metric_name
from soundsright.core.results import Apart, ApartReason, Evaluation
from soundsright.core.rulesets import Ruleset
from soundsright.core.submission import Submission
from soundsright.ranking.cut import cut
from soundsright.ranking.memorisation import Memorised, memorised, why_unmeasurable
from soundsright.ranking.plausible import Impossible, impossible, shipped_ceilings
from soundsright.ranking.scores import ScoreTable, score_table

_INPUT = "SI_SDR"
"""The metric that gives the level of the unprocessed input."""

_HARDNESS = "ESTOI"
"""With that level, this metric of the unprocessed input tells best how much can be gained on a clip."""


@dataclass(frozen=True)
class Speech:
    """The speech of a set's clips, by clip id: the recording, and whether no set had used it before.

    The mark is None where the corpus does not know.
    """

    recordings: Mapping[str, str]
    fresh: Mapping[str, bool | None]


@dataclass(frozen=True)
class OrganiserDecisions:
    """The hotkeys of the entries on which the organiser has decided: they are never held, or never paid."""

    released: Collection[str] = ()
    refused: Collection[str] = ()


@dataclass(frozen=True)
class SetApart:
    """The entries that are ranked apart, and why a test was not possible, by reason."""

    apart: tuple[Apart, ...] = ()
    unmeasured: Mapping[ApartReason, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Held:
    """The entries with impossible scores, by row. If they cannot be found, `unmeasured` says why."""

    by_row: Mapping[int, Impossible] = field(default_factory=dict)
    unmeasured: str = ""


@dataclass(frozen=True)
class _Found:
    """The entries that memorised recordings, by row. If they cannot be found, `unmeasured` says why."""

    by_row: Mapping[int, Memorised] = field(default_factory=dict)
    unmeasured: str = ""


def set_apart(
    competition: Competition,
    entries: Sequence[Evaluation],
    unprocessed: Evaluation,
    ruleset: Ruleset,
    *,
    floors: Mapping[str, float],
    speech: Speech,
    suspected: Mapping[str, Sequence[str]],
    decisions: OrganiserDecisions = OrganiserDecisions(),
) -> SetApart:
    """The entries that the ruleset and the organiser rank apart.

    `suspected` has, by hotkey, the earlier entries that an entry is suspected to copy. An entry with several
    reasons has the first of: refused, memorised, held. An entry that stopped early is examined over the clips that
    it ran, with all entries that ran them too.
    """
    apart: dict[str, Apart] = {}
    unmeasured: Mapping[ApartReason, str] = {}
    for clips in sorted({len(each.clips) for each in entries}, reverse=True) or [len(unprocessed.clips)]:
        longer = [each for each in entries if len(each.clips) >= clips]
        common = frozenset(c.clip_id for each in longer if len(each.clips) == clips for c in each.clips)
        found = _set_apart(
            competition,
            [cut(each, common) for each in longer],
            cut(unprocessed, common) if longer else unprocessed,
            ruleset,
            floors=floors,
            speech=speech,
            suspected=suspected,
            decisions=decisions,
        )
        own = {each.submission.hotkey for each in longer if len(each.clips) == clips}
        apart |= {each.submission.hotkey: each for each in found.apart if each.submission.hotkey in own}
        unmeasured = unmeasured or found.unmeasured
    in_order = (apart.get(each.submission.hotkey) for each in entries)
    return SetApart(tuple(each for each in in_order if each is not None), unmeasured)


def _set_apart(
    competition: Competition,
    entries: Sequence[Evaluation],
    unprocessed: Evaluation,
    ruleset: Ruleset,
    *,
    floors: Mapping[str, float],
    speech: Speech,
    suspected: Mapping[str, Sequence[str]],
    decisions: OrganiserDecisions,
) -> SetApart:
    """The entries that are set apart, among entries with the same clips."""
    metrics = dict.fromkeys((*competition.metric_weights, _INPUT))
    table = score_table(
        [*entries, unprocessed], [m for m in metrics if _is_measured(unprocessed, m, floors)], floors
    )
    held = _held(competition, entries, ruleset, table, decisions)
    found = _memorised(entries, ruleset, table, speech, _groups(entries, suspected), held.by_row)
    apart = [
        each
        for row, evaluation in enumerate(entries)
        if (
            each := _apart(
                evaluation.submission, found.by_row.get(row), held.by_row.get(row), ruleset, decisions, table
            )
        )
    ]
    unmeasured = {ApartReason.MEMORISED: found.unmeasured, ApartReason.HELD: held.unmeasured}
    return SetApart(tuple(apart), {reason: why for reason, why in unmeasured.items() if why})


def _is_measured(unprocessed: Evaluation, metric: str, floors: Mapping[str, float]) -> bool:
    return metric in floors and any(metric in (clip.scores or {}) for clip in unprocessed.clips)


def _held(
    competition: Competition,
    entries: Sequence[Evaluation],
    ruleset: Ruleset,
    table: ScoreTable,
    decisions: OrganiserDecisions,
) -> _Held:
    if not ruleset.holds_impossible:
        return _Held()
    ceilings = shipped_ceilings(competition)
    if ceilings is None:
        return _Held(unmeasured="There is no calibration for this task and rate.")
    if _INPUT not in table.by_metric:
        return _Held(unmeasured="SI-SDR is not measured, so the level of the input is unknown.")
    held = {}
    for row, evaluation in enumerate(entries):
        scores = {metric: values[row] for metric, values in table.by_metric.items()}
        evidence = impossible(scores, table.by_metric[_INPUT][-1], ceilings)
        if evidence is not None and evaluation.submission.hotkey not in decisions.released:
            held[row] = evidence
    return _Held(held)


def _memorised(
    entries: Sequence[Evaluation],
    ruleset: Ruleset,
    table: ScoreTable,
    speech: Speech,
    groups: Sequence[int],
    held: Collection[int],
) -> _Found:
    if ruleset.memorised_alpha is None:
        return _Found()
    marks = [speech.fresh.get(clip_id) for clip_id in table.clip_ids]
    names = [speech.recordings.get(clip_id, clip_id) for clip_id in table.clip_ids]
    if len(entries) < 2:
        return _Found(unmeasured="There is no other entry to compare with.")
    if why := why_unmeasurable(marks, names):
        return _Found(unmeasured=why)
    found = memorised(
        {metric: scores[: len(entries)] - scores[-1] for metric, scores in table.by_metric.items()},
        np.array([bool(mark) for mark in marks]),
        names,
        alpha=ruleset.memorised_alpha,
        groups=groups,
        unreliable=held,
        inputs=[table.by_metric[metric][-1] for metric in (_INPUT, _HARDNESS) if metric in table.by_metric],
    )
    return _Found(found)


def _groups(entries: Sequence[Evaluation], suspected: Mapping[str, Sequence[str]]) -> list[int]:
    """A number per entry: that of the earliest entry that it is suspected to copy, or its own."""
    rows = {evaluation.submission.hotkey: row for row, evaluation in enumerate(entries)}
    groups = []
    for row, evaluation in enumerate(entries):
        originals = [rows[hotkey] for hotkey in suspected.get(evaluation.submission.hotkey, ()) if hotkey in rows]
        groups.append(originals[0] if originals else row)
    return groups


def _apart(
    submission: Submission,
    found: Memorised | None,
    held: Impossible | None,
    ruleset: Ruleset,
    decisions: OrganiserDecisions,
    table: ScoreTable,
) -> Apart | None:
    if submission.hotkey in decisions.refused:
        return Apart(submission, ApartReason.REFUSED, "The organiser refused it. It is not paid.")
    if found is not None:
        return Apart(
            submission, ApartReason.MEMORISED, _memorised_sentence(found), {**vars(found), "alpha": _alpha(ruleset)}
        )
    if held is not None:
        evidence = {**vars(held), "set_clips": len(table.clip_ids)}
        return Apart(submission, ApartReason.HELD, _held_sentence(held, len(table.clip_ids)), evidence)
    return None


def _alpha(ruleset: Ruleset) -> float:
    assert ruleset.memorised_alpha is not None
    return ruleset.memorised_alpha


def _memorised_sentence(found: Memorised) -> str:
    return (
        f"Is not paid: it gains {found.used_gain:.4f} of {metric_name(found.metric)} on {found.used_recordings}"
        f" recordings that were used before, and {found.new_gain:.4f} on {found.new_recordings} new ones. That is"
        f" {found.excess:.4f} more than the other entries show (p = {found.p_value:.2g})."
    )


def _held_sentence(held: Impossible, clips: int) -> str:
    return (
        f"Payment is held: {held.clips} of {clips} clips have scores that no enhancer reaches. One has a"
        f" {metric_name(held.metric)} of {held.score:.2f}, where at most {held.ceiling:.2f} is plausible for an"
        f" input of {held.input_db:.1f} dB. The organiser decides."
    )
