"""Finds what scores.jsonl lacks: lines, metrics of a line, and lines that contradict another one.

A clip is complete for an entry if its line has either a failure or a score in every metric of the entry's row.
Other clips of the entry are unknown: no page counts them, neither as failed nor at the floor of a metric.
"""

from __future__ import annotations

from collections.abc import Sequence

from soundsright.services.records.results import CompetitionDoc, RowDoc, ScoreLine


def complete_lines(row: RowDoc, lines: Sequence[ScoreLine]) -> tuple[list[ScoreLine], list[str]]:
    """The complete lines of an entry, one per clip, and a sentence for each kind of fault in the others."""
    by_clip: dict[str, ScoreLine] = {}
    repeated: list[str] = []
    unclear: list[str] = []
    without: dict[str, list[str]] = {}
    for line in lines:
        lacking = [] if line.scores is None else [name for name in row.metrics if name not in line.scores]
        if line.id in by_clip:
            repeated.append(line.id)
        elif (line.scores is None) == (line.failure is None):
            unclear.append(line.id)
        elif lacking:
            for name in lacking:
                without.setdefault(name, []).append(line.id)
        else:
            by_clip[line.id] = line
    faults = [
        *([f"more than one line for {_named(repeated)}. The first one counts"] if repeated else []),
        *([f"both or neither of scores and a failure for {_named(unclear)}"] if unclear else []),
        *(f"no {name} for {_named(clips)}" for name, clips in without.items()),
    ]
    if lines and len(by_clip) < row.clips:
        faults.append(
            f"complete scores of {len(by_clip)} of {row.clips} clips. Plots and comparisons leave out the others"
        )
    elif not lines and row.clips:
        faults.append("no line. Pages show its means only")
    return list(by_clip.values()), [f"scores.jsonl, {row.entry}: {fault}." for fault in faults]


def faults_of_set(doc: CompetitionDoc, lines: Sequence[ScoreLine]) -> list[str]:
    """A sentence for each fault in what the lines of a competition say about its set."""
    rows = (*doc.entries, doc.unprocessed)
    most = max((row.clips for row in rows), default=0) if doc.stopping is None else doc.stopping.set_clips
    if not lines:
        return [f"scores.jsonl has no usable line of {doc.id}. Pages show its means only."] if most else []
    faults = []
    clips = len({line.id for line in lines})
    if clips > most:
        faults.append(f"scores.jsonl names {clips} clips of {doc.id}, but its set has {most}.")
    factors = {frozenset(line.groups) for line in lines}
    if len(factors) > 1:
        faults.append(
            f"The lines of {doc.id} in scores.jsonl disagree on what clips share. Intervals that pages compute"
            " count each clip as independent."
        )
    return faults


def _named(clips: Sequence[str]) -> str:
    """The clips in words: the first three, and the number of the others."""
    shown = ", ".join(clips[:3])
    more = len(clips) - 3
    return f"clip{'s' if len(clips) > 1 else ''} {shown}" + (f" and {more} more" if more > 0 else "")
