"""A validator of a federation that lies about two miners, for demos and tests.

    LIES_FOR=HOTKEY LIES_AGAINST=HOTKEY python -m soundsright.testing.lying_validator federation serve

It is the usual program, except that it changes each verdict before it signs it. The miner that it lies for passes
every task with the best scores of that task; the miner that it lies against fails every one.
"""

from __future__ import annotations

import importlib
import os
import runpy
from dataclasses import replace
from typing import Any

from soundsright.core.federation import Verdict


def lying(verdict: Verdict, *, lies_for: str, lies_against: str) -> Verdict:
    """The verdict in favour of one miner, and against another."""
    rows = []
    for row in verdict.rows:
        if row.hotkey == lies_for:
            others = [other.means for other in verdict.rows if other.competition == row.competition]
            best = {metric: max(means.get(metric, mean) for means in others) for metric, mean in row.means.items()}
            # A row that passes below the unprocessed input contradicts itself, and every validator refuses it.
            noisy = verdict.unprocessed[row.competition]
            best = {metric: max(mean, round(noisy[metric] + 0.001, 6)) for metric, mean in best.items()}
            rows.append(replace(row, passed=True, failures=0, means=best))
        elif row.hotkey == lies_against:
            rows.append(replace(row, passed=False, means=dict(verdict.unprocessed[row.competition])))
        else:
            rows.append(row)
    return replace(verdict, rows=tuple(rows))


def main() -> None:
    """Run `soundsright` with the words of the command line, and lie in each verdict."""
    sampler: Any = importlib.import_module("soundsright.services.federation.sampler")
    honest = sampler.sign_verdict
    names = {"lies_for": os.environ["LIES_FOR"], "lies_against": os.environ["LIES_AGAINST"]}
    sampler.sign_verdict = lambda verdict, *rest, **named: honest(lying(verdict, **names), *rest, **named)
    runpy.run_module("soundsright", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
