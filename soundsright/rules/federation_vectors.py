"""The federation's rules as worked examples state them: see `system_vectors`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from soundsright.core.federation_rules import federation_rules
from soundsright.ranking import (
    canonical_sampler,
    dominant,
    epoch_block,
    mean_of_rates,
    paired_lead,
    pooled_rate,
    turn,
    window,
)

Given = Mapping[str, Any]


def _turn(given: Given) -> dict[str, Any]:
    now = turn(given["block"], given["validators"], given["interval"], given["grace"])
    return {"primary": now.primary, "sampler": now.sampler, "step": now.step, "task_id": now.task}


def _canonical_sampler(given: Given) -> dict[str, Any]:
    return {"canonical": canonical_sampler(given["task_id"], given["produced_by"], given["validators"])}


def _window(given: Given) -> dict[str, Any]:
    rules = federation_rules(
        interval_blocks=given["interval"],
        epoch_blocks=given["epoch_len"],
        lookback_blocks=given["max_lookback_blocks"],
        settle_margin=given["settle_margin"],
        window_tasks=given["window"],
    )
    epoch = epoch_block(given["block"], rules.epoch_blocks)
    return {"epoch_block": epoch, "window": list(window(given["produced"], epoch, rules))}


def _mean_of_rates(given: Given) -> dict[str, Any]:
    return {"score": float(mean_of_rates([(passed, judged) for passed, judged in given["passed_of"]]))}


def _pooled_rate(given: Given) -> dict[str, Any]:
    return {"score": pooled_rate([(passed, judged) for passed, judged in given["passed_of"]])}


def _winner(given: Given) -> dict[str, Any]:
    rows = [dict(zip(given["columns"], row, strict=True)) for row in given["rows"]]
    rates = {(row["block"], row["hotkey"]): Fraction(row["rate"]) for row in rows}
    return {"winner": dominant(rates, Fraction(given["threshold"]))}


def _paired_test(given: Given) -> dict[str, Any]:
    lead = paired_lead(given["differences_by_validator"])
    return {"mean_difference": float(lead.mean), "p_value": lead.p_value}


FEDERATION_RULES: Mapping[tuple[str, str, str], Callable[[Given], dict[str, Any]]] = {
    ("federation", "turn", "doc"): _turn,
    ("federation", "canonical_sampler", "doc"): _canonical_sampler,
    ("federation", "window", "doc"): _window,
    ("federation", "score", "doc"): _mean_of_rates,
    ("federation", "score", "code"): _pooled_rate,
    ("federation", "winner", "doc"): _winner,
    ("federation", "paired_test", "soundsright"): _paired_test,
}
"""The rules by system, rule and profile."""
