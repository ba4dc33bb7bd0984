"""The time that deciding an epoch takes beside reading it, for a validator that has the window's verdicts.

    OPENBLAS_NUM_THREADS=1 python benchmarks/federation_window.py
    OPENBLAS_NUM_THREADS=1 python benchmarks/federation_window.py --tasks 100 --miners 256 --turns 5

A cold epoch verifies the signature of every verdict, reads its document and decides; the bytes are at hand, so no
network is in it. A warm epoch decides again from the same verdicts. Both run in turns, so that their ratio does not
depend on the machine. It is printed with its limit, and the exit code is 1 if it is missed.

In the first window every miner is judged in every task. In the second, each misses a tenth of the tasks, each
others: then no two have the same tasks in common with the incumbent, which is the most work. In the third, the
recordings of one competition are public, so only the other one pays, and each verdict is cut.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.competition import PUBLISHED
from soundsright.core.federation import (
    GATED_METRICS,
    JudgedRow,
    StatedMaterial,
    Verdict,
    allowlist_digest,
    has_passed,
    rounded_means,
    row_order,
)
from soundsright.core.federation_rules import FederationRules
from soundsright.core.rulesets import SOUNDSRIGHT_V5
from soundsright.core.sources import ModelRef
from soundsright.ranking import federation_decisions
from soundsright.services.federation import open_verdict, sign_verdict

RULES = FederationRules()
COMPETITIONS = [competition for competition in PUBLISHED if competition.id in RULES.competitions]
DIGEST = hashlib.sha256(b"benchmark").hexdigest()
LIMIT = 0.1
EPOCH = 18_000


def signed_verdicts(tasks: int, miners: int, missing: float, public: tuple[str, ...]) -> list[bytes]:
    """The envelopes of a window: five validators in turn."""
    rng = np.random.default_rng(0)
    accounts = sorted((Hotkey.of_seed(f"laboratory {n}") for n in range(5)), key=lambda account: account.address)
    allowlist = allowlist_digest([account.address for account in accounts], RULES.interval_blocks)
    addresses = [Hotkey.of_seed(f"miner {n}").address for n in range(miners)]
    metrics = {
        c.id: (*GATED_METRICS, *(m for m in c.metric_weights if m not in GATED_METRICS)) for c in COMPETITIONS
    }
    unprocessed = {name: dict.fromkeys(own, 1.5) for name, own in metrics.items()}
    found = []
    for task in range(tasks):
        account = accounts[task % len(accounts)]
        rows = []
        for competition in COMPETITIONS:
            for uid, hotkey in enumerate(addresses):
                if rng.random() < missing:
                    continue
                ease = rng.normal(0.6, 0.4)
                means = rounded_means(
                    {m: 1.5 + ease + uid / 20_000 + rng.normal(0, 0.1) for m in metrics[competition.id]}
                )
                model = ModelRef("laboratory", f"model-{uid}", f"{uid:040x}")
                passed = has_passed(means, unprocessed[competition.id], 0)
                rows.append(JudgedRow(competition.id, hotkey, uid, model, 1_000 + uid, passed, 0, means, DIGEST))
        verdict = Verdict(
            task=task,
            validator=account.address,
            block=task * RULES.interval_blocks,
            block_hash=DIGEST,
            allowlist=allowlist,
            rules=DIGEST,
            sets=dict.fromkeys(RULES.competitions, DIGEST),
            unprocessed=unprocessed,
            rows=tuple(sorted(rows, key=row_order)),
            material=StatedMaterial(DIGEST, public),
        )
        found.append(sign_verdict(verdict, account))
    return found


def decision_s(verdicts: Sequence[Verdict]) -> float:
    """The processor time of a decision against the first miner."""
    first = verdicts[0].rows[0].hotkey
    started_s = time.process_time()
    paying = [verdict.private for verdict in verdicts]
    decisions = federation_decisions(
        RULES, SOUNDSRIGHT_V5, COMPETITIONS, paying, dict.fromkeys(RULES.competitions, first), epoch_block=EPOCH
    )
    taken_s = time.process_time() - started_s
    assert {name for name, decision in decisions.items() if decision.winner} == {
        row.competition for row in paying[0].rows
    }
    return taken_s


def main() -> int:
    """Measure, print the ratios, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--miners", type=int, default=256)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    print(f"{options.tasks} tasks x {options.miners} miners x {len(COMPETITIONS)} competitions, processor time")
    print(f"{'rows missing':<14}{'public':>7}{'cold s':>9}{'warm s':>9}{'ratio':>8}{'limit':>8}")
    missed = False
    for missing, public in ((0.0, ()), (0.1, ()), (0.0, RULES.competitions[:1])):
        signed = signed_verdicts(options.tasks, options.miners, missing, public)
        cold_s, warm_s = [], []
        for _ in range(options.turns):
            started_s = time.process_time()
            verdicts = [open_verdict(raw, valid_signature=valid_signature).verdict for raw in signed]
            cold_s.append(time.process_time() - started_s + decision_s(verdicts))
            warm_s.append(decision_s(verdicts))
        cold, warm = statistics.median(cold_s), statistics.median(warm_s)
        missed |= warm / cold > LIMIT
        print(f"{missing:<14.0%}{len(public):>7}{cold:>9.3f}{warm:>9.3f}{warm / cold:>8.3f}{LIMIT:>8.2f}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
