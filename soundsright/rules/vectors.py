"""Checks whether a ruleset reproduces worked examples of the rules.

A file of examples has up to three lists. `margin`: does a new value beat an old value? `duplicates`: which hotkeys
stay under each rule? `scoring`: how much is each hotkey paid in several competitions? An example of `scoring` has
means but no clips. Under rules that test clip by clip, a challenger can win only if the example has the outcome of
its tests: a metric of an entry can have `gain`, `beats_unprocessed`, `p_value` and `loses_on`, an entry `copy_of`,
a previous winner `since_block` and `same_model`, and a competition `at_block`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from soundsright.copies import DuplicateRule, earliest_of_duplicates
from soundsright.core.errors import UsageError
from soundsright.core.rulesets import Ruleset
from soundsright.ranking import Contender, Loss, LossOver, Title, award
from soundsright.rules.checks import Check
from soundsright.rules.system_vectors import check_system_vectors

FACTOR_TOLERANCE = 1e-12
SCORE_TOLERANCE = 1e-7

_REMEDY = "Compare it with tests/golden/published_rules.json."
_RELATIVE = "any metric with a relative margin"


def check_vectors(ruleset: Ruleset, vectors: Any) -> tuple[Check, ...]:
    """Compare every example of a file with the ruleset, in the file's order.

    A file that is a list has examples of the systems. They name their rules, so the ruleset does not matter.

    Raises:
        UsageError: if the file has another form. The message names the example.
    """
    if isinstance(vectors, list) and vectors:
        return check_system_vectors(vectors)
    if not isinstance(vectors, dict) or not any(isinstance(vectors.get(kind), list) for kind in _KINDS):
        raise UsageError("The file has no list 'margin', 'duplicates' or 'scoring'", _REMEDY)
    checks: list[Check] = []
    for kind, check in _KINDS.items():
        for number, example in enumerate(vectors.get(kind, ())):
            try:
                checks.extend(check(ruleset, number, example))
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                raise UsageError(
                    f"Example {number} of {kind!r} cannot be read: {type(error).__name__} {error}",
                    _REMEDY,
                ) from error
    return tuple(checks)


def _margin(ruleset: Ruleset, number: int, example: Mapping[str, Any]) -> Iterator[Check]:
    age_blocks = example["new_block"] - example["old_block"]
    metric = str(example.get("metric", _RELATIVE))
    old_value, new_value = float(example["old_value"]), float(example["new_value"])
    needed = old_value + ruleset.margin_over(metric, old_value, age_blocks)
    factor = ruleset.margin.at(age_blocks)
    beats = new_value >= needed
    passed = beats == example["expected_beats"]
    passed &= math.isclose(factor, example["expected_factor"], abs_tol=FACTOR_TOLERANCE, rel_tol=0)
    yield Check(
        f"margin {number}",
        passed,
        f"factor {example['expected_factor']:.6f}, beats {example['expected_beats']}",
        f"factor {factor:.6f}, beats {beats}",
    )


def _duplicates(_ruleset: Ruleset, number: int, example: Mapping[str, Any]) -> Iterator[Check]:
    uid_of = {hotkey: uid for uid, hotkey in enumerate(example["hotkeys"])}
    entries = [entry for entry in example["entries"] if entry["hotkey"] in uid_of]
    for rule, expected in example["expected_kept"].items():
        marks = _MARKS[DuplicateRule(rule)]
        kept, _ = earliest_of_duplicates(
            entries, order=lambda e, _mark: (e["block"], uid_of[e["hotkey"]]), marks=marks
        )
        got = sorted(entry["hotkey"] for entry in kept)
        yield Check(f"duplicates {number}, {rule}", got == sorted(expected), str(sorted(expected)), str(got))


_MARKS: Mapping[DuplicateRule, Callable[[Mapping[str, Any]], Sequence[Hashable]]] = {
    DuplicateRule.SAME_CONTENT: lambda e: [e["model_hash"]],
    DuplicateRule.SHARED_CHECKPOINT: lambda e: list(e["ckpt_hash"]),
    DuplicateRule.SAME_REFERENCE: lambda e: [(e["hf_model_namespace"], e["hf_model_name"], e["hf_model_revision"])],
}


def _scoring(ruleset: Ruleset, number: int, example: Mapping[str, Any]) -> Iterator[Check]:
    hotkeys: list[str] = example["hotkeys"]
    overall = [0.0] * len(hotkeys)
    for competition_id, facts in example["competitions"].items():
        winners, scores = _scored(ruleset, hotkeys, facts)
        overall = [total + score for total, score in zip(overall, scores, strict=True)]
        expected_winners = [list(pair) for pair in example["expected"]["winners"][competition_id]]
        expected = example["expected"]["scores"][competition_id]
        yield Check(
            f"scoring {number}, {competition_id}, winners",
            winners == expected_winners,
            str(expected_winners),
            str(winners),
        )
        yield Check(
            f"scoring {number}, {competition_id}, scores", _close(scores, expected), _row(expected), _row(scores)
        )
    expected = example["expected"]["overall"]
    yield Check(f"scoring {number}, overall", _close(overall, expected), _row(expected), _row(overall))


def _scored(
    ruleset: Ruleset, hotkeys: Sequence[str], facts: Mapping[str, Any]
) -> tuple[list[list[str]], list[float]]:
    uid_of = {hotkey: uid for uid, hotkey in enumerate(hotkeys)}
    entries = [e for e in facts["entries"] if e["hotkey"] in uid_of]
    previous = [e for e in facts["previous_winners"] if e["hotkey"] in uid_of]
    at_block = facts.get("at_block", max((e["block"] for e in (*entries, *previous)), default=0))
    winners, scores = [], [0.0] * len(hotkeys)
    for metric, proportion in facts["metric_proportions"].items():
        today = {entry["hotkey"]: _mean(entry, metric) for entry in entries}
        result = award(
            ruleset,
            metric,
            [_contender(entry, metric, uid_of[entry["hotkey"]]) for entry in entries],
            _title(metric, previous, uid_of, today),
            prize=facts["max_score"] * proportion,
            remainder=facts["remainder"] * proportion,
            at_block=at_block,
        )
        if result.winner is not None:
            winners.append([metric, result.winner])
        for hotkey, share in result.shares.items():
            scores[uid_of[hotkey]] += share
    return winners, scores


def _contender(entry: Mapping[str, Any], metric: str, uid: int) -> Contender:
    own = entry["metrics"].get(metric) or {}
    loses_on = own.get("loses_on")
    return Contender(
        entry["hotkey"],
        uid,
        entry["block"],
        _mean(entry, metric),
        gain=own.get("gain"),
        beats_unprocessed=own.get("beats_unprocessed", True),
        p_value=own.get("p_value"),
        loss=None if loses_on is None else Loss(loses_on, LossOver.CHAMPION, 0.0, 0.0),
        copy_of=tuple(entry.get("copy_of", ())),
    )


def _title(
    metric: str, previous: Sequence[Mapping[str, Any]], uid_of: Mapping[str, int], today: Mapping[str, float | None]
) -> Title | None:
    """The champion: the previous winner with the best recorded mean."""
    usable = [entry for entry in previous if _mean(entry, metric) is not None]
    if not usable:
        return None
    best = min(usable, key=lambda e: (-(_mean(e, metric) or 0.0), e["block"], uid_of[e["hotkey"]]))
    hotkey = best["hotkey"]
    mean = today.get(hotkey)
    recorded_mean = _mean(best, metric) or 0.0
    return Title(
        hotkey,
        recorded_mean if mean is None else mean,
        best["block"],
        best.get("since_block", best["block"]),
        took_part=mean is not None,
        same_model=frozenset(best.get("same_model", ())),
    )


def _mean(entry: Mapping[str, Any], metric: str) -> float | None:
    """The entry's mean, or None if it is missing or not finite."""
    value = (entry["metrics"].get(metric) or {}).get("average")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _close(got: Sequence[float], expected: Sequence[float]) -> bool:
    return len(got) == len(expected) and all(
        math.isclose(a, b, rel_tol=0, abs_tol=SCORE_TOLERANCE) for a, b in zip(got, expected, strict=True)
    )


def _row(scores: Sequence[float]) -> str:
    return "[" + ", ".join(f"{score:.6f}" for score in scores) + "]"


_KINDS: Mapping[str, Callable[[Ruleset, int, Mapping[str, Any]], Iterator[Check]]] = {
    "margin": _margin,
    "duplicates": _duplicates,
    "scoring": _scoring,
}
