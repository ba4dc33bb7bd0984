"""The metrics on which an entry must not lose, and the references of the gates.

Scores are in the metric's unit, higher is better. Rows are entries in the order of the evaluations. An honest entry
beats the unprocessed input and is not suspected to be a copy. Entries that are ranked apart are in no table here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from soundsright.core.rulesets import NoLoss, Reference, Ruleset
from soundsright.ranking.awards import Loss, LossOver
from soundsright.ranking.leads import OVER_CLIPS, LeadTest
from soundsright.ranking.scores import Scores, superiority_p_values


def required_gain(
    ruleset: Ruleset,
    fraction: float,
    gains: Sequence[float],
    *,
    honest: Sequence[bool],
    champion_row: int | None,
) -> float:
    """The least gain over the unprocessed input that a gate with this `fraction` requires.

    `gains` are by row. `champion_row` is the row of the champion if it takes part and beats the unprocessed input.
    """
    if ruleset.reference is Reference.BEST:
        return fraction * max(gains)
    if champion_row is not None:
        return fraction * gains[champion_row]
    of_honest = [gain for gain, is_honest in zip(gains, honest, strict=True) if is_honest]
    return fraction * float(np.median(of_honest)) if of_honest else 0.0


def losses(
    no_loss: NoLoss,
    tables: Mapping[str, Scores],
    *,
    alpha: float,
    suspected: Sequence[bool],
    champion_row: int | None,
    gain_test: LeadTest = OVER_CLIPS,
) -> list[Loss | None]:
    """The loss of each entry on the metrics that the rule protects; None if it keeps what it has.

    `tables` are by metric, with the unprocessed input in the last row. An entry must beat that row at the level
    `alpha`, on every metric, by `gain_test`. Then it is compared with the reference: the champion, or the median of
    the honest entries if no champion takes part or the champion has a loss itself. A loss is tested over these
    clips alone: an entry that gives up speech for another score does so on the clips that it is paid for.

    On fewer clips than the rule needs, every entry but the champion has a loss.
    """
    count = len(suspected)
    found: list[Loss | None] = [None] * count
    if (clips := tables[no_loss.on[0]].shape[1]) < no_loss.least_clips:
        unseen = Loss(no_loss.on[0], LossOver.TOO_FEW_CLIPS, float(no_loss.least_clips - clips), 1.0)
        found = [None if row == champion_row else unseen for row in range(count)]
    for metric in no_loss.on:
        differences = tables[metric][:count] - tables[metric][-1]
        for row, p_value in enumerate(gain_test.p_values(differences).tolist()):
            if found[row] is None and p_value > alpha:
                amount = -float(differences[row].mean())
                found[row] = Loss(metric, LossOver.UNPROCESSED, amount, p_value)
    able = [row for row in range(count) if found[row] is None]
    honest = [row for row in able if not suspected[row]]
    if not honest:
        return found
    has_champion = champion_row is not None and found[champion_row] is None
    over = LossOver.CHAMPION if has_champion else LossOver.MEDIAN
    for metric in no_loss.on:
        scores = tables[metric][:count]
        reference = scores[champion_row] if has_champion else np.median(scores[honest], axis=0)
        deficits = reference - scores
        # So few clips that no test reaches the level: then a loss on every clip counts.
        level = max(no_loss.alpha, 2.0 ** -scores.shape[1])
        p_values = superiority_p_values(deficits).tolist()
        for row in able:
            if found[row] is None and p_values[row] <= level:
                found[row] = Loss(metric, over, float(deficits[row].mean()), p_values[row])
    return found
