"""The rules of tiers as worked examples state them: see `system_vectors`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from soundsright.core.profiles import Profile
from soundsright.core.tiers_rules import tiers_rules
from soundsright.ranking import (
    AttemptCounts,
    attempt_reward,
    correlation_db,
    cosine_si_sdr_db,
    pcm_sha256,
    score_after,
    score_weights,
    speed_bonus,
    tier_move,
)

Given = Mapping[str, Any]


def _move(profile: Profile, given: Given) -> dict[str, Any]:
    counts = AttemptCounts(given["attempts"], given["successes"])
    move = tier_move(
        tiers_rules(profile),
        given["tier"],
        counts,
        total_successes=given["total_successes"],
        peak=given["peak"],
    )
    return {"tier": move.tier}


def _reward(profile: Profile, given: Given) -> dict[str, Any]:
    rules = tiers_rules(profile, timeout_s=given["timeout_s"])
    return {"reward": attempt_reward(rules, given["base"], given["time_s"], given["times_s"])}


def _weights(profile: Profile, given: Given) -> dict[str, Any]:
    return {"weights": score_weights(profile, given["scores"])}


def _bonus(profile: Profile, given: Given) -> dict[str, Any]:
    rules = tiers_rules(profile, timeout_s=given["timeout_s"])
    return {"bonus": [speed_bonus(rules, time_s, given["times_s"]) for time_s in given["times_s"]]}


def _score(profile: Profile, given: Given) -> dict[str, Any]:
    return {"score": score_after(tiers_rules(profile), given["score"], given["reward"])}


def _bound(_profile: Profile, given: Given) -> dict[str, Any]:
    return {"bound": AttemptCounts(given["attempts"], given["successes"]).low}


def _scales(_profile: Profile, given: Given) -> dict[str, Any]:
    return {
        "agreement_db": [correlation_db(value) for value in given["correlations"]],
        "si_sdr_db": [cosine_si_sdr_db(value) for value in given["cosines"]],
    }


def _digest(_profile: Profile, given: Given) -> dict[str, Any]:
    import numpy as np

    return {"sha256": pcm_sha256(np.array(given["samples"], np.int16), given["rate"])}


_BY_NAME: Mapping[str, Callable[[Profile, Given], dict[str, Any]]] = {
    "move": _move,
    "reward": _reward,
    "weights": _weights,
    "bonus": _bonus,
    "score": _score,
    "bound": _bound,
    "scales": _scales,
    "digest": _digest,
}
TIERS_RULES: Mapping[tuple[str, str, str], Callable[[Given], dict[str, Any]]] = {
    ("tiers", name, profile.value): partial(rule, profile) for name, rule in _BY_NAME.items() for profile in Profile
}
"""The rules by system, rule and profile."""
