"""The champions, who hold the titles of the metrics from round to round. Blocks are counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from soundsright.core.results import Leaderboard
from soundsright.core.submission import Submission


@dataclass(frozen=True)
class Champion:
    """The holder of a metric's title: its entry, its mean when last ranked, and the block of the round it won."""

    submission: Submission
    mean: float
    since_block: int


def champions_after(
    leaderboard: Leaderboard, champions: Mapping[str, Champion], *, at_block: int
) -> dict[str, Champion]:
    """The champions after the round, by metric. An absent champion keeps its title if nobody wins it.

    A title keeps its age while it stays with one hotkey, even if the hotkey enters a new model. The new model was
    not compared with the old one, so it has shown no clear improvement. Under rules by which titles follow the
    model, the decision has the age.
    """
    means = {(s.submission.hotkey, s.metric): s.estimate.mean for s in leaderboard.standings}
    after: dict[str, Champion] = {}
    for decision in leaderboard.decisions:
        before = champions.get(decision.metric)
        if decision.winner is None:
            if before is not None and not decision.champion_took_part:
                after[decision.metric] = before
            continue
        hotkey = decision.winner.hotkey
        since_block = decision.title_since_block
        if since_block is None:
            same_holder = before is not None and before.submission.hotkey == hotkey
            since_block = before.since_block if before is not None and same_holder else at_block
        after[decision.metric] = Champion(decision.winner, means[hotkey, decision.metric], since_block)
    return after
