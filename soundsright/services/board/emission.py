"""The content of the page of the emission. Shares and weights are fractions."""

from __future__ import annotations

from typing import Any

from soundsright.services.records import RecordedEmission, emission_sentence, unpaid_lines


def shown_emission(emission: RecordedEmission | None) -> dict[str, Any]:
    """The values of the page `emission.html.j2`; without an emission, the page shows only its problem."""
    if emission is None:
        return {"emission": None}
    return {
        "emission": emission,
        "sentence": emission_sentence(emission),
        "unpaid": unpaid_lines(emission),
    }
