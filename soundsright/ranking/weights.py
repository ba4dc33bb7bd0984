"""From leaderboards to the weights that a validator sets.

Shares are percent of a round's emission; weights are fractions and sum to one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from soundsright.core.results import Leaderboard, Weights


def weights_of(leaderboards: Sequence[Leaderboard], *, burn_uid: int | None = None) -> Weights:
    """One weight per uid: its shares on all leaderboards, as a fraction of what the leaderboards can pay.

    The unpaid part goes to `burn_uid`: a prize that nobody won, the decayed part of a champion's prize, the capped
    part of a remainder. Without `burn_uid`, the paid shares are scaled to sum to 1.

    If nothing is paid, everything goes to `burn_uid`. Without `burn_uid`, or without a leaderboard, the weights are
    empty. They are never uniform.

    Raises:
        ValueError: if a share is negative or not finite, or `burn_uid` is negative.
    """
    if burn_uid is not None and burn_uid < 0:
        raise ValueError(f"burn_uid {burn_uid} is negative")
    paid: defaultdict[int, list[float]] = defaultdict(list)
    for board in leaderboards:
        for standing in board.standings:
            if not math.isfinite(standing.share) or standing.share < 0:
                where = f"{standing.submission.entry_id}, {standing.metric}"
                raise ValueError(f"{where}: the share {standing.share} is negative or not finite")
            if standing.share > 0:
                paid[standing.submission.uid].append(standing.share)
    by_uid = {uid: math.fsum(shares) for uid, shares in paid.items()}
    if burn_uid is not None:
        payable = math.fsum(b.competition.max_score + b.competition.remainder for b in leaderboards)
        unpaid = payable - math.fsum(by_uid.values())
        if unpaid > 1e-9 * payable:
            by_uid[burn_uid] = math.fsum((by_uid.get(burn_uid, 0.0), unpaid))
    total = math.fsum(by_uid.values())
    if total <= 0:
        return Weights({})
    return Weights({uid: by_uid[uid] / total for uid in sorted(by_uid)})
