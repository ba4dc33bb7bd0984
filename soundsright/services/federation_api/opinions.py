"""The validators' reports together: which miners a strict majority finds valid, and which winners it names.

This is for display. Each validator decides by its own checks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from soundsright.services.federation_api.answers import MinerRow, Winner
from soundsright.services.federation_api.samples import MinerReport, Report

T = TypeVar("T", int, str)


def miner_rows(reports: Sequence[Report], blacklist: Mapping[str, str]) -> dict[str, MinerRow]:
    """A row for each miner that a report names, in the order of uids and hotkeys."""
    by_miner: dict[str, list[MinerReport]] = {}
    for report in reports:
        for miner in report.miners:
            by_miner.setdefault(miner.hotkey, []).append(miner)
    rows = [_row(hotkey, votes, len(reports), blacklist) for hotkey, votes in by_miner.items()]
    rows.sort(key=lambda row: (row.uid is None, row.uid, row.hotkey))
    return {row.hotkey: row for row in rows}


def unknown_miner(hotkey: str, uid: int | None, blacklist: Mapping[str, str]) -> MinerRow:
    """The row of a miner that no report names."""
    return MinerRow(
        hotkey=hotkey,
        uid=uid,
        valid=None,
        votes_valid=0,
        votes=0,
        reason="",
        blacklisted=hotkey in blacklist,
    )


def _row(hotkey: str, votes: Sequence[MinerReport], reports: int, blacklist: Mapping[str, str]) -> MinerRow:
    votes_valid = sum(vote.valid for vote in votes)
    against = len(votes) - votes_valid
    valid = True if 2 * votes_valid > reports else False if 2 * against > reports else None
    return MinerRow(
        hotkey=hotkey,
        uid=most_common([vote.uid for vote in votes if vote.uid is not None]),
        valid=valid,
        votes_valid=votes_valid,
        votes=len(votes),
        reason=most_common([vote.reason for vote in votes if not vote.valid]) or "",
        blacklisted=hotkey in blacklist,
    )


def most_common(values: Iterable[T]) -> T | None:
    """The value that comes most often; of several, the lowest. None if there are none."""
    counts = Counter(values)
    most = max(counts.values(), default=0)
    return min((value for value, count in counts.items() if count == most), default=None)


def majority_winners(reports: Sequence[Report], competitions: Sequence[str]) -> list[Winner]:
    """By competition, the winner that more than half of the reports name."""
    winners = []
    for competition in competitions:
        named = [report.winners.get(competition) for report in reports]
        counts = Counter(hotkey for hotkey in named if hotkey is not None)
        hotkey, votes = max(counts.items(), key=lambda item: item[1], default=(None, 0))
        has_majority = 2 * votes > len(reports)
        winners.append(
            Winner(
                competition=competition, hotkey=hotkey if has_majority else None, votes=votes, reports=len(reports)
            )
        )
    return winners
