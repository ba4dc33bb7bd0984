"""How `score` and `compare` say what the clips of a set share."""

from __future__ import annotations

from collections.abc import Iterator

from soundsright.core.groups import ClipGroups

INDEPENDENT_CLIPS = (
    "Each clip counts as independent. If clips share a noise, a room or a prompt, give the set's --manifest."
)


def grouped_clips(groups: ClipGroups, manifest: str = "") -> Iterator[str]:
    """The sentences on groups: intervals hold for new ones, or why there is no interval.

    >>> for noises in (("rain", "wind", "train"), ("rain", "wind", "rain")):
    ...     print(*grouped_clips(ClipGroups(("a", "b", "c"), {"noise": noises})))
    Intervals hold for new material: 3 clips, grouped by noise (3 groups).
    3 clips, grouped by noise (2 groups). There is no interval: the clips have only 2 groups by noise, which say \
nothing about new ones.
    """
    from soundsright.services.scoring import group_words, too_few_groups

    source = f", from {manifest}" if manifest else ""
    clips = f"{counted_clips(len(groups.clip_ids))}, grouped by {group_words(groups)}{source}."
    why_not = too_few_groups(groups)
    yield clips if why_not else f"Intervals hold for new material: {clips}"
    if why_not:
        yield why_not


def independent_clips(n: int) -> str:
    """The sentence on `n` clips of which each counts as independent.

    >>> independent_clips(1)
    'There is no interval: 1 clip says nothing about others.'
    """
    return INDEPENDENT_CLIPS if n > 1 else "There is no interval: 1 clip says nothing about others."


def counted_clips(n: int) -> str:
    """A number of clips in words.

    >>> counted_clips(1), counted_clips(2)
    ('1 clip', '2 clips')
    """
    return f"{n} clip{'' if n == 1 else 's'}"


def p_value_text(value: float) -> str:
    """A p-value with four decimals. A smaller one than these show is not 0.

    >>> p_value_text(0.00004), p_value_text(0.0001), p_value_text(1.0)
    ('<0.0001', '0.0001', '1.0000')
    """
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def clip_counts(n: int, effective_n: float | None, *, grouped: bool) -> tuple[str, ...]:
    """The cells with the number of clips and, if they are grouped, the effective number."""
    if not grouped:
        return (str(n),)
    return str(n), "–" if effective_n is None else f"{effective_n:.1f}"
