"""The titles of a competition: the champion of each metric, round after round.

Every decided round records a row for each metric, in the same transaction as its decision. The latest row counts.
States of soundsright 0.1.0 have no such rows; their titles are read once from the recorded decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from soundsright.core.competition import Competition
from soundsright.core.ports import TitleRow
from soundsright.core.submission import Submission
from soundsright.ranking import Champion
from soundsright.services.rounds import steps
from soundsright.services.rounds.context import RoundContext


@dataclass(frozen=True)
class Titles:
    """The champion of each metric after a round; None if a metric has no champion."""

    by_metric: Mapping[str, steps.RecordedChampion | None]

    def champions(
        self, competition: Competition, uids: Mapping[str, int], *, with_departed: bool = False
    ) -> dict[str, Champion]:
        """The champions whose hotkey is among `uids`, with their present uid, which may have changed.

        `with_departed` adds those that are no longer registered: the age of a title that follows the model does not
        end with a hotkey.
        """
        return {
            metric: replace(champion, uid=uids.get(champion.hotkey, champion.uid)).champion(competition)
            for metric, champion in self.by_metric.items()
            if champion is not None and (with_departed or champion.hotkey in uids)
        }

    def rows_after(self, competition: Competition, round_id: str, decided: steps.DecideStep) -> list[TitleRow]:
        """The rows that a decided round adds. A metric that lost its champion gets a row without one."""
        metrics = {*self.by_metric, *competition.metric_weights, *decided.champions}
        return _rows(competition.id, round_id, decided.champions, sorted(metrics))


def titles_before(context: RoundContext, competition: Competition) -> Titles | None:
    """The titles after the rounds before this one; None if no round has decided the competition yet.

    Raises:
        UsageError: a record is newer than this program, or damaged.
        StateUnavailable: the state does not answer.
    """
    rows = context.state.titles(competition.id, before=context.round_id)
    if not rows:
        _add_rows_of_old_rounds(context, competition)
        rows = context.state.titles(competition.id, before=context.round_id)
    if not rows:
        return None
    return Titles({row.metric: _champion_of(row) for row in rows})


def champions_before(
    context: RoundContext, competition: Competition, entries: Sequence[Submission]
) -> dict[str, Champion]:
    """The champion of each metric: from earlier rounds, or the incumbents if there is none."""
    plan, titles = context.plan, titles_before(context, competition)
    if titles is not None:
        closed = context.chain.snapshot(plan.round.entries_close_block)
        uids = {neuron.hotkey: neuron.uid for neuron in closed.neurons}
        return titles.champions(competition, uids, with_departed=plan.rules.ruleset.title_follows_model)
    hotkey = plan.incumbents.get(competition.id)
    incumbent = next((entry for entry in entries if entry.hotkey == hotkey), None)
    if incumbent is None:
        return {}
    return {m: Champion(incumbent, plan.measures.floors[m], incumbent.block) for m in competition.metric_weights}


def _champion_of(row: TitleRow) -> steps.RecordedChampion | None:
    source = f"Round {row.round_id}, title {row.metric} of {row.competition_id}"
    return None if row.champion is None else steps.RecordedChampion.from_facts(row.champion, source=source)


def _add_rows_of_old_rounds(context: RoundContext, competition: Competition) -> None:
    """Record the titles of the last round that soundsright 0.1.0 decided."""
    key = steps.decide(competition.id)
    rounds = context.state.rounds()
    for round_id in reversed(rounds[: rounds.index(context.round_id)]):
        decided = steps.read(context.state, round_id, key)
        if decided is not None:
            metrics = sorted({*competition.metric_weights, *decided.champions})
            rows = _rows(competition.id, round_id, decided.champions, metrics)
            steps.write(context.state, round_id, key, decided, rows)
            return


def _rows(
    competition_id: str, round_id: str, champions: Mapping[str, steps.RecordedChampion], metrics: Sequence[str]
) -> list[TitleRow]:
    return [
        TitleRow(competition_id, metric, round_id, champions[metric].to_facts() if metric in champions else None)
        for metric in metrics
    ]
