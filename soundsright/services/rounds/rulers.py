"""The condition to rule entries out before the end of a set: the champion surely defends its title itself.

A look knows the scores, and not which entries have one model. So it must be sure before the first look who defends
each title. Where it is not, the competition runs every entry on the whole set.
"""

from __future__ import annotations

from collections.abc import Collection

from soundsright.copies import Unique
from soundsright.core.competition import Competition
from soundsright.core.stopping import Stopping
from soundsright.ranking import Champion, TitleModel
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.examine import title_models_of
from soundsright.services.rounds.titles import champions_before


def reasons_to_run_whole(context: RoundContext, unique: Unique) -> dict[str, str]:
    """Why entries of a competition that may stop early all run on the whole set, by competition id.

    Everything here follows from steps that are recorded before the first model runs, so a restart finds the same.
    """
    found = {}
    for competition in context.plan.rules.competitions:
        if competition.stopping is Stopping.FULL:
            continue
        why = _why_whole(context, competition, unique)
        if why:
            found[competition.id] = why
    return found


def _why_whole(context: RoundContext, competition: Competition, unique: Unique) -> str:
    entries = [m.submission for m in unique.kept if m.submission.competition.id == competition.id]
    champions = champions_before(context, competition, entries)
    models: dict[str, TitleModel] = {}
    if context.plan.rules.ruleset.title_follows_model:
        models = title_models_of(context, competition, unique, champions)
    for metric in competition.metric_weights:
        champion = champions.get(metric)
        if champion is None:
            return f"{metric} has no champion, and only a champion rules others out."
        refused = context.plan.rules.entry_rules.refused
        why = _why_unsure(champion, models.get(metric, TitleModel()), unique, refused)
        if why:
            return f"{metric}: {why}"
    return ""


def _why_unsure(champion: Champion, model: TitleModel, unique: Unique, refused: Collection[str]) -> str:
    """Why the champion's own entry, as it was, may not be the one that defends; empty if it is.

    `refused` are the hotkeys and contents that the organiser ranks apart.
    """
    own = champion.submission
    entry = next(
        (
            m
            for m in unique.kept
            if (m.submission.hotkey, m.submission.source, m.submission.competition.id)
            == (own.hotkey, own.source, own.competition.id)
        ),
        None,
    )
    if entry is None:
        return "the champion did not enter its model as it was, and only such a champion rules others out."
    if model.hotkeys - {own.hotkey}:
        return "another entry has the champion's model, and could defend the title too."
    if own.hotkey in refused or entry.content_hash in refused:
        return "the organiser does not rank the champion's entry."
    if unique.copies_of(entry.submission):
        return "the champion has copies, which widen its margin."
    return ""
