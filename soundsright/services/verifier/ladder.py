"""The ladder: where each prover stands, from the record of the last interval and the attempts since.

Blocks are counted. A record of the stream `tiers.intervals` has the standings after an interval under its number:

    {"interval": 7, "end_block": 2880, "standings": [...], "moves": {HOTKEY: [before, after, reason, 40, 39]},
     "contents": {HOTKEY: CONTENT_HASH}, "to_blame": [HOTKEY, ...]}

The last two numbers of a move are the attempts and successes that decided. A prover that did not move is there too.
`contents` has the model that each score belongs to, and `to_blame` the provers that could not be asked by their own
doing. Old records lack both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from soundsright.core.errors import UsageError
from soundsright.core.ports import Record, Records
from soundsright.core.tiers import INTERVALS_STREAM, Standing, standing_of
from soundsright.core.tiers_rules import TIER_NAMES
from soundsright.services.verifier.verifier_steps import CountedAttempt


@dataclass
class Ladder:
    """The standings by hotkey after interval `interval`, which is -1 before the first one.

    `contents` and `to_blame` are those of the record.
    """

    interval: int = -1
    standings: dict[str, Standing] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    to_blame: frozenset[str] = frozenset()

    def standing(self, hotkey: str, uid: int) -> Standing:
        """The standing of a prover. A new one begins in the lowest tier; with a new uid its score begins at 0."""
        found = self.standings.get(hotkey)
        if found is None:
            return Standing(hotkey, TIER_NAMES[0], uid=uid)
        return found if found.uid == uid else replace(found, uid=uid, score=0.0)

    def take_over(self, hotkey: str, content_hash: str) -> None:
        """Take over the model that a prover is asked about. With another one its score begins at 0."""
        found = self.standings.get(hotkey)
        if found is not None and self.contents.get(hotkey, content_hash) != content_hash:
            self.standings[hotkey] = replace(found, score=0.0)
        self.contents[hotkey] = content_hash

    def pays(self, hotkey: str, content_hash: str) -> bool:
        """Whether a prover with this model is paid for its score while its bank is not made yet."""
        return hotkey not in self.to_blame and self.contents.get(hotkey, content_hash) == content_hash

    def add(self, attempts: Iterable[CountedAttempt]) -> None:
        """Take over the scores of attempts since the last interval, in their order."""
        for each in attempts:
            hotkey = each.attempt.hotkey
            self.standings[hotkey] = replace(self.standing(hotkey, each.uid), score=each.score)


def ladder_after(record: Record) -> Ladder:
    """The ladder that a record of `tiers.intervals` has.

    Raises:
        UsageError: the record is damaged.
    """
    try:
        facts: Mapping[str, object] = record.facts
        rows = facts["standings"]
        assert isinstance(rows, list)
        standings = {row["hotkey"]: standing_of(row) for row in rows}
        contents, to_blame = facts.get("contents", {}), facts.get("to_blame", [])
        assert isinstance(contents, dict)
        assert isinstance(to_blame, list)
        return Ladder(int(str(facts["interval"])), standings, dict(contents), frozenset(to_blame))
    except (KeyError, ValueError, TypeError, AssertionError) as error:
        raise UsageError(
            f"The record {record.key[:20]} of {INTERVALS_STREAM} is damaged ({type(error).__name__}: {error})",
            "Restore the last backup of the state database.",
        ) from error


def last_ladder(records: Records) -> Ladder:
    """The ladder after the last interval that was closed; an empty one before the first.

    Raises:
        UsageError: the record is damaged.
        StateUnavailable: the records do not answer.
    """
    record = records.latest(INTERVALS_STREAM)
    return Ladder() if record is None else ladder_after(record)
