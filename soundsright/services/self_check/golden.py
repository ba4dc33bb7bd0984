"""A machine's own values of the golden clips: their digests, the scores of one answer, and traces of the libraries.

Scores are in their metric's unit, rounded as rounds decide on them.
"""

from __future__ import annotations

import numpy as np

from soundsright.core.audio import Audio
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import printable
from soundsright.data import Rendered, golden_clips, library_traces
from soundsright.services.rounds import DECIDED_DECIMALS, decided_scores

SCORED_CLIP = "both_16000/000000"
METRICS = tuple(dict.fromkeys(name for competition in PUBLISHED for name in competition.metric_weights))
"""The metrics that decide the published competitions."""

Measured = dict[str, dict[str, str]]


def measured() -> Measured:
    """The values of this machine: `clips`, `scores` and `traces`, each by name, as text.

    If something cannot be computed, the name `error` has the reason.
    """
    parts: Measured = {"clips": {}, "scores": {}, "traces": library_traces()}
    try:
        for name, item in golden_clips():
            parts["clips"][name] = item.digest
            if name == SCORED_CLIP:
                parts["scores"] = _scores(item)
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001 (A library that fails here is one that differs.)
        parts["clips"]["error"] = printable(f"{type(error).__name__}: {error}")[:200]
    return parts


def _scores(item: Rendered) -> dict[str, str]:
    """The scores of an answer that is three quarters of the clean signal, mixed by integers."""
    clean, degraded = item.grid["clean"].astype(np.int32), item.grid[item.degraded].astype(np.int32)
    answer = (3 * clean + degraded) >> 2
    reference, enhanced, noisy = (
        Audio(each.astype(np.float32) / np.float32(32_768.0), item.sample_rate_hz)
        for each in (clean, answer, degraded)
    )
    scores = decided_scores(reference, enhanced, noisy, METRICS)
    return {name: f"{score:.{DECIDED_DECIMALS}f}" for name, score in scores.items()}
