"""Checks whether the systems' rules reproduce worked examples.

A file of examples is a list. Each example names its `system`, `rule` and `profile`, what is `given`, and what to
`expect`. Numbers may differ by 1e-6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.core.executor_rules import REAL_TIME_S
from soundsright.ranking import (
    RankedImage,
    combined_emission,
    efficiency_score,
    quality_of_means,
    ranked_images,
)
from soundsright.rules.checks import Check
from soundsright.rules.federation_vectors import FEDERATION_RULES
from soundsright.rules.tiers_vectors import TIERS_RULES

TOLERANCE = 1e-6

_REMEDY = "Each example has system, rule, profile, given and expect."
_MAX_SHOWN_CHARS = 200
Given = Mapping[str, Any]


def check_system_vectors(examples: Sequence[Any]) -> tuple[Check, ...]:
    """Compare every example with the rule that it names, in the file's order.

    An example of a rule that this version does not have fails.

    Raises:
        UsageError: if an example has another form. The message names it.
    """
    return tuple(_checked(number, example) for number, example in enumerate(examples))


def _checked(number: int, example: Any) -> Check:
    try:
        key = (str(example["system"]), str(example["rule"]), str(example["profile"]))
        title = f"{number}: {key[0]}, {key[1]}, {key[2]}"
        expected = example["expect"]
        rule = _RULES.get(key)
        if rule is None:
            return Check(title, False, _shown(expected), "this version has no such rule")
        got = rule(example["given"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UsageError(f"Example {number} cannot be read: {type(error).__name__} {error}", _REMEDY) from error
    return Check(title, _same(expected, got), _shown(expected), _shown(got))


def _same(expected: Any, got: Any) -> bool:
    """Whether two plain values are equal; numbers may differ by the tolerance."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        return expected.keys() == got.keys() and all(_same(value, got[key]) for key, value in expected.items())
    if isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        return len(expected) == len(got) and all(map(_same, expected, got))
    if isinstance(expected, bool) or isinstance(got, bool) or not isinstance(expected, int | float):
        return bool(expected == got)
    return isinstance(got, int | float) and math.isclose(expected, got, rel_tol=0, abs_tol=TOLERANCE)


def _shown(value: Any) -> str:
    return str(value)[:_MAX_SHOWN_CHARS]


def _combined_emission(given: Given) -> dict[str, Any]:
    emission = combined_emission(given["shares"], given["payees"], burn=given["burn"])
    burned = {"burn": emission.burned} if emission.burned > 0 else {}
    return {"weights": {**burned, **emission.by_hotkey}}


def _final_score(given: Given) -> dict[str, Any]:
    times_s = given.get("times_s") or [factor * REAL_TIME_S for factor in given["real_time_factors"]]
    score = efficiency_score(given["quality"], times_s, given["memory_gb"])
    return {
        "cap_violation": score.over_limit,
        "efficiency_factor": score.factor,
        "final_score": score.score,
    }


def _quality(given: Given) -> dict[str, Any]:
    return {"quality": quality_of_means(given["means"], given["weights"])}


def _rank(given: Given) -> dict[str, Any]:
    rows = [dict(zip(given["columns"], row, strict=True)) for row in given["rows"]]
    images = [
        RankedImage(row["hotkey"], row["final_score"], row["time_s"], row["memory_gb"], row["submitted_at"])
        for row in rows
    ]
    return {"order": list(ranked_images(images))}


_RULES: Mapping[tuple[str, str, str], Callable[[Given], dict[str, Any]]] = {
    ("emission", "combined", "doc"): _combined_emission,
    ("executor", "final_score", "doc"): _final_score,
    ("executor", "final_score", "soundsright"): _final_score,
    ("executor", "quality", "doc"): _quality,
    ("executor", "rank", "doc"): _rank,
    **FEDERATION_RULES,
    **TIERS_RULES,
}
