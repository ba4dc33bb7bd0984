"""The part of `results.json` about a round that may stop early: which entries stopped, when, and on what evidence.

Leads are in the metric's unit. Evidence is a capital: 100 decides at 1 % (`ranking/sequential.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from soundsright.core.results import Evaluation, Leaderboard
from soundsright.services.records.fields import Count, LongText, SafeName, ShortText

if TYPE_CHECKING:
    from soundsright.ranking import RankSet

_MAX_STOPPED = 4096


class RuledOutDoc(BaseModel):
    """Why an entry cannot win a metric: see `core.stopping.RuledOut`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    by: ShortText
    chance: FiniteFloat
    lead: FiniteFloat
    needed: FiniteFloat


class StoppedDoc(BaseModel):
    """An entry that stopped early, and the evidence by metric."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    hotkey: ShortText
    clips: Count
    witnesses: Count
    ruled_out: dict[SafeName, RuledOutDoc]


class StoppingDoc(BaseModel):
    """The decisions of the looks at a competition's clips: see `core.stopping.Stops`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    set_clips: Count
    set_witnesses: Count
    clips: Count
    witnesses: Count
    stopped: Annotated[tuple[StoppedDoc, ...], Field(max_length=_MAX_STOPPED)] = ()
    evidence: dict[SafeName, FiniteFloat] = {}
    whole: LongText = ""
    without: ShortText = ""

    @property
    def sentence(self) -> str:
        """The outcome in a sentence, for the board and the report."""
        if self.whole:
            return f"All entries ran on the whole set. {self.whole}"
        if self.without:
            return (
                f"{self.without} is not ranked, so the entries that it had ruled out count again. All entries are"
                f" compared on the {self.clips} of {self.set_clips} clips that all of them ran."
            )
        stopped = len(self.stopped)
        who = "1 entry" if stopped == 1 else f"{stopped} entries"
        early = f"{who} stopped early, because no prize was left to win." if stopped else ""
        if self.clips == self.set_clips:
            return early or "No entry stopped early: each could still win a prize."
        end = f"Every prize was decided after {self.clips} of {self.set_clips} clips."
        return f"{end} {early}".rstrip()


def stopping_field(board: Leaderboard) -> dict[str, Any]:
    """The field `stopping` of a competition, if its entries may stop early."""
    return {} if board.stops is None else {"stopping": StoppingDoc.model_validate(asdict(board.stops))}


def ranks_of(entry_id: str, ranks: Mapping[str, Mapping[str, RankSet]]) -> dict[str, RankSet]:
    """The possible ranks of an entry by metric. A stopped entry has none."""
    return {metric: sets[entry_id] for metric, sets in ranks.items() if entry_id in sets}


def deciding(board: Leaderboard, evaluations: list[Evaluation]) -> list[Evaluation]:
    """The evaluations of the entries that ran as long as any, over the clips that all of these ran."""
    kept = [e for e in evaluations if board.stops is None or board.stops.of(e.submission.hotkey) is None]
    clips = [frozenset(clip.clip_id for clip in e.clips) for e in kept]
    common = frozenset.intersection(*clips) if clips else frozenset[str]()
    return [replace(e, clips=tuple(c for c in e.clips if c.clip_id in common)) for e in kept]
