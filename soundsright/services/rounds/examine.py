"""What a round finds out about its entries beside their ranks: copies, the champion's model, entries ranked apart.

Blocks are those of the chain. Everything here follows from recorded steps, so a restart finds the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from soundsright.copies import Unique, sketch_holds
from soundsright.core.competition import Competition
from soundsright.core.results import Apart, ApartReason
from soundsright.core.sources import Source
from soundsright.core.submission import Submission
from soundsright.ranking import Champion, Examined, OrganiserDecisions, Speech, TitleModel, set_apart
from soundsright.services.rounds import steps
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.run_models import EvaluatedEntries


def examined(
    context: RoundContext,
    competition: Competition,
    evaluated: EvaluatedEntries,
    unique: Unique,
    champions: Mapping[str, Champion],
) -> Examined:
    """The findings about the entries of a competition. The entries that are ranked apart are recorded."""
    suspected = _suspected(competition, unique)
    apart: tuple[Apart, ...] = ()
    unmeasured: dict[ApartReason, str] = {}
    if _ranks_apart(context, competition):
        apart, unmeasured = _ranked_apart(context, competition, evaluated, unique, suspected)
    title_models: dict[str, TitleModel] = {}
    if context.plan.rules.ruleset.title_follows_model:
        title_models = title_models_of(context, competition, unique, champions, apart)
    return Examined(suspected, title_models, apart, unmeasured)


def _ranks_apart(context: RoundContext, competition: Competition) -> bool:
    """Whether entries can be ranked apart in this round.

    A round that is decided stays as it is, whatever the organiser has changed since.
    """
    if steps.read(context.state, context.round_id, steps.apart(competition.id)) is not None:
        return True
    if steps.read(context.state, context.round_id, steps.decide(competition.id)) is not None:
        return False
    ruleset, entry_rules = context.plan.rules.ruleset, context.plan.rules.entry_rules
    return ruleset.memorised_alpha is not None or ruleset.holds_impossible or bool(entry_rules.refused)


def _ranked_apart(
    context: RoundContext,
    competition: Competition,
    evaluated: EvaluatedEntries,
    unique: Unique,
    suspected: Mapping[str, tuple[str, ...]],
) -> tuple[tuple[Apart, ...], dict[ApartReason, str]]:
    """The entries that are ranked apart, and why a test for them was not possible."""
    plan = context.plan
    entries = evaluated.evaluations[competition.id]
    rules = plan.rules.entry_rules
    content = {model.submission.hotkey: model.content_hash for model in unique.kept}

    def compute() -> steps.ApartStep:
        recipes = evaluated.sets[competition.id].recipes
        result = set_apart(
            competition,
            entries,
            evaluated.unprocessed[competition.id],
            plan.rules.ruleset,
            floors=plan.measures.floors,
            speech=Speech(
                {clip_id: str(recipe.get("speech", clip_id)) for clip_id, recipe in recipes.items()},
                {clip_id: _mark(recipe.get("fresh")) for clip_id, recipe in recipes.items()},
            ),
            suspected=suspected,
            decisions=OrganiserDecisions(*(_hotkeys(content, names) for names in (rules.released, rules.refused))),
        )
        return steps.ApartStep(
            {
                each.submission.entry_id: steps.RecordedApart(
                    each.reason,
                    each.sentence,
                    {**each.evidence, "content_hash": content[each.submission.hotkey]},
                )
                for each in result.apart
            },
            {reason.value: why for reason, why in result.unmeasured.items()},
        )

    record = context.step(steps.apart(competition.id), compute)
    apart = tuple(
        Apart(e.submission, each.reason, each.sentence, each.evidence)
        for e in entries
        if (each := record.by_entry.get(e.submission.entry_id)) is not None
    )
    return apart, {ApartReason(reason): why for reason, why in record.unmeasured.items()}


def _mark(fresh: object) -> bool | None:
    return fresh if isinstance(fresh, bool) else None


def _hotkeys(content: Mapping[str, str], names: Collection[str]) -> frozenset[str]:
    """The hotkeys that the organiser named, themselves or by the content of their entry."""
    return frozenset(hotkey for hotkey, digest in content.items() if hotkey in names or digest in names)


def _suspected(competition: Competition, unique: Unique) -> dict[str, tuple[str, ...]]:
    """By hotkey, the earlier entries that an entry is suspected to copy."""
    originals: dict[str, list[str]] = {}
    for copy in unique.suspected:
        if copy.duplicate.competition.id == competition.id:
            originals.setdefault(copy.duplicate.hotkey, []).append(copy.original.hotkey)
    return {hotkey: tuple(found) for hotkey, found in originals.items()}


@dataclass(frozen=True)
class _Marks:
    """What identifies a model: its content hash, and the sketch of its tensors. Either is None if it is unknown."""

    content_hash: str | None = None
    sketch: str | None = None

    def is_same(self, other: _Marks) -> bool:
        if self.content_hash is not None and self.content_hash == other.content_hash:
            return True
        return bool(self.sketch and other.sketch) and sketch_holds(other.sketch or "", self.sketch or "")


def title_models_of(
    context: RoundContext,
    competition: Competition,
    unique: Unique,
    champions: Mapping[str, Champion],
    apart: Collection[Apart] = (),
) -> dict[str, TitleModel]:
    """By metric, the entries of today that have the model of the champion, or of an earlier one."""
    today = _marks_of_today(context, competition, unique)
    holders = [champion.submission for champion in champions.values()]
    first_titles = _first_titles(context, competition)
    wanted = {_model(entry) for entry in holders}.union(*(set(each) for each in first_titles.values()))
    recorded = _recorded_marks(context, wanted)
    result: dict[str, TitleModel] = {}
    for metric, champion in champions.items():
        marks = _marks_of(champion.submission, today, recorded)
        exact = frozenset(h for h, each in today.items() if _is_exact(champion.submission, marks, each))
        hotkeys = exact | _with_model_of(champion.submission, marks, today, exact, unique)
        reigns: dict[str, int] = {}
        for model, since_block in first_titles.get(metric, {}).items():
            own = recorded.get(model, _Marks())
            for hotkey, (entry, other) in today.items():
                if model == _model(entry) or own.is_same(other):
                    reigns[hotkey] = min(since_block, reigns.get(hotkey, since_block))
        is_apart = any(each.submission.hotkey in exact for each in apart)
        result[metric] = TitleModel(hotkeys, is_apart, exact, reigns)
    return result


def _model(entry: Submission | steps.RecordedChampion) -> tuple[str, Source]:
    return entry.hotkey, entry.source


def _first_titles(context: RoundContext, competition: Competition) -> dict[str, dict[tuple[str, Source], int]]:
    """By metric, the models that held the title before this round, and since when each held it first."""
    found: dict[str, dict[tuple[str, Source], int]] = {}
    rounds = context.state.rounds()
    for round_id in rounds[: rounds.index(context.round_id)]:
        context.raise_if_cancelled()
        decided = steps.read(context.state, round_id, steps.decide(competition.id))
        for metric, champion in (decided.champions if decided else {}).items():
            blocks = found.setdefault(metric, {})
            blocks[_model(champion)] = min(champion.since_block, blocks.get(_model(champion), champion.since_block))
    return found


def _marks_of_today(
    context: RoundContext, competition: Competition, unique: Unique
) -> dict[str, tuple[Submission, _Marks]]:
    """The entries of today with their marks, by hotkey."""
    duplicates = steps.read(context.state, context.round_id, steps.DUPLICATES)
    sketches = duplicates.sketches if duplicates else {}
    return {
        m.submission.hotkey: (m.submission, _Marks(m.content_hash, sketches.get(m.submission.entry_id)))
        for m in unique.kept
        if m.submission.competition.id == competition.id
    }


def _marks_of(
    champion: Submission,
    today: Mapping[str, tuple[Submission, _Marks]],
    recorded: Mapping[tuple[str, Source], _Marks],
) -> _Marks:
    """The marks of the champion's model: of today if it takes part, otherwise those of the latest earlier round."""
    own = today.get(champion.hotkey)
    if own is not None and own[0].source == champion.source:
        return own[1]
    return recorded.get(_model(champion), _Marks())


def _is_exact(champion: Submission, marks: _Marks, other: tuple[Submission, _Marks]) -> bool:
    """Whether an entry of today has the champion's own source, or its content."""
    if _model(champion) == _model(other[0]):
        return True
    return marks.content_hash is not None and marks.content_hash == other[1].content_hash


def _with_model_of(
    champion: Submission,
    marks: _Marks,
    today: Mapping[str, tuple[Submission, _Marks]],
    exact: frozenset[str],
    unique: Unique,
) -> frozenset[str]:
    """The hotkeys of today's entries that have the champion's model, by source, content, tensors or behaviour."""
    found = exact | {hotkey for hotkey, (_, other) in today.items() if marks.is_same(other)}
    alike = [(copy.duplicate, copy.original) for copy in unique.suspected]
    pairs = [(a.hotkey, b.hotkey) for a, b in alike if a.competition.id == champion.competition.id]
    behaving = {hotkey for pair in pairs if not found.isdisjoint(pair) for hotkey in pair}
    return frozenset(found | behaving)


def _recorded_marks(
    context: RoundContext, models: Collection[tuple[str, Source]]
) -> dict[tuple[str, Source], _Marks]:
    """The marks of models by hotkey and source, each from the latest earlier round in which it took part."""
    found: dict[tuple[str, Source], _Marks] = {}
    rounds = context.state.rounds()
    for round_id in reversed(rounds[: rounds.index(context.round_id)]):
        if len(found) == len(models):
            break
        context.raise_if_cancelled()
        entries = steps.read(context.state, round_id, steps.ENTRIES)
        wanted = {
            model: entry.entry_id
            for entry in (entries.submissions if entries else ())
            if (model := (entry.hotkey, entry.source)) in models and model not in found
        }
        duplicates = steps.read(context.state, round_id, steps.DUPLICATES) if wanted else None
        for model, entry_id in wanted.items():
            fetched = steps.read(context.state, round_id, steps.fetch(entry_id))
            sketch = duplicates.sketches.get(entry_id) if duplicates else None
            found[model] = _Marks(fetched.content_hash if fetched else None, sketch)
    return found
