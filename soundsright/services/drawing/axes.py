"""Ticks and labels that all charts share."""

from __future__ import annotations

import math

from soundsright.services.drawing.texts import MINUS

# This many characters fit beside a plot in the widest of the usual fonts.
_LABEL_CHARACTERS = 19


def shortened(label: str, characters: int = _LABEL_CHARACTERS) -> str:
    """A label that fits beside a plot.

    >>> shortened("a-very-long-namespace/model", 12)
    'a-very-long…'
    """
    return label if len(label) <= characters else label[: characters - 1] + "…"


def ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers between `low` and `high`.

    >>> ticks(0.1, 2.3)
    [0.5, 1.0, 1.5, 2.0]
    """
    smallest_step = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(smallest_step))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= smallest_step)
    first = math.ceil(low / step)
    count = math.ceil((high - first * step) / step)
    # Adding zero turns -0.0 into 0.0.
    return [round((first + i) * step, 10) + 0.0 for i in range(count)]


def tick_text(value: float) -> str:
    """The text of a tick, with a typographic minus.

    >>> tick_text(-0.5)
    '\u22120.5'
    """
    return f"{value:g}".replace("-", MINUS)
