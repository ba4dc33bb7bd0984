"""How `score` and `compare` say what the clips of a set share."""

from __future__ import annotations

from collections.abc import Sequence

INDEPENDENT_CLIPS = (
    "Each clip counts as independent. If clips share a noise, a room or a prompt, give the set's --manifest."
)


def grouped_clips(clips: Sequence[str], groups: str, manifest: str = "") -> str:
    """One sentence: the intervals hold for new groups.

    >>> grouped_clips(["a", "b", "c"], "noise (3 groups)")
    'Intervals hold for new material: 3 clips, grouped by noise (3 groups).'
    """
    source = f", from {manifest}" if manifest else ""
    return f"Intervals hold for new material: {len(clips)} clips, grouped by {groups}{source}."


def clip_counts(n: int, effective_n: float | None, *, grouped: bool) -> tuple[str, ...]:
    """The cells with the number of clips and, if they are grouped, the effective number."""
    if not grouped:
        return (str(n),)
    return str(n), "–" if effective_n is None else f"{effective_n:.1f}"
