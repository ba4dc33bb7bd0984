"""Measures how long the decision of a round takes on one core, and how often a challenger wins by chance.

    OPENBLAS_NUM_THREADS=1 python benchmarks/decide.py [--null-rounds N]

The first part decides up to 256 entries x 1000 clips x 7 metrics, with intervals and paired tests, and prints the
seconds of processor time. The second part draws rounds in which every challenger is exactly as good as the
champion, with skewed differences as in real scores. It counts how often a challenger would take the title, by the
test alone and by test and margin together, as the rules require.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from soundsright.core.competition import Competition, Task
from soundsright.core.results import ClipResult, Evaluation
from soundsright.core.rulesets import RULESETS, SOUNDSRIGHT_V4, Ruleset
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Submission
from soundsright.ranking.champions import Champion
from soundsright.ranking.leaderboard import decide
from soundsright.ranking.scores import superiority_p_values
from soundsright.ranking.statistics import holm

METRICS = ("PESQ_WB", "ESTOI", "STOI", "SI_SDR", "SI_SIR", "SI_SAR", "DNSMOS")
FLOORS = dict.fromkeys(METRICS, -40.0)


def evaluations(entries: int, clips: int, seed: int = 0) -> list[Evaluation]:
    rng = np.random.default_rng(seed)
    competition = Competition(Task.DENOISING, 16_000, dict.fromkeys(METRICS, 1 / len(METRICS)), 70.0, 30.0)
    hard = rng.normal(0.0, 1.0, (clips, len(METRICS)))
    ids = [f"clip-{i:05d}" for i in range(clips)]
    drawn = []
    for uid in range(entries):
        model = ModelRef("ns", f"m{uid}", f"{uid:040x}")
        scores = 2.0 + 0.002 * uid + hard + rng.normal(0.0, 0.3, hard.shape)
        rows = [
            ClipResult(ids[i], scores=dict(zip(METRICS, row, strict=True))) for i, row in enumerate(scores.tolist())
        ]
        drawn.append(Evaluation(Submission(uid, f"hk{uid}", competition, model, uid), "round", tuple(rows)))
    return drawn


def decision_s(ruleset: Ruleset, entries: int, clips: int) -> float:
    *contest, baseline = evaluations(entries + 1, clips)
    competition = contest[0].submission.competition
    champions = {metric: Champion(contest[0].submission, 2.0, 0) for metric in METRICS}
    started = time.process_time()
    decide(competition, "round", contest, champions, ruleset, baseline, floors=FLOORS, at_block=1_000)
    return time.process_time() - started


def null_rounds(rounds: int, challengers: int, clips: int) -> tuple[int, int]:
    """The rounds that a challenger wins although none is better: by the test alone, and by test and margin."""
    rng = np.random.default_rng(1)
    by_test = by_both = 0
    for _ in range(rounds):
        # A log-normal minus its mean has a long tail, like clips on which one of the two entries fails.
        tails = rng.lognormal(0.0, 1.0, (challengers, clips)) - np.exp(0.5)
        differences = 0.05 * np.where(rng.random((challengers, 1)) < 0.5, tails, -tails)
        adjusted = holm({str(i): float(p) for i, p in enumerate(superiority_p_values(differences))})
        wins = np.array(list(adjusted.values())) <= (SOUNDSRIGHT_V4.alpha or 0.0)
        margin = SOUNDSRIGHT_V4.margin_over("PESQ_WB", 2.0, 0)
        by_test += bool(wins.any())
        by_both += bool((wins & (differences.mean(axis=1) >= margin)).any())
    return by_test, by_both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--null-rounds", type=int, default=2_000)
    options = parser.parse_args()
    print(f"{'rules':<16}{'entries':>9}{'clips':>7}{'metrics':>9}{'CPU s':>9}")
    for ruleset in RULESETS:
        for entries, clips in ((16, 200), (256, 1_000)):
            seconds = decision_s(ruleset, entries, clips)
            print(f"{ruleset.name:<16}{entries:>9}{clips:>7}{len(METRICS):>9}{seconds:>9.2f}")
    rounds = options.null_rounds
    print(f"\nfalse victories in {rounds} rounds without a better challenger, alpha 0.05")
    print(f"{'challengers':>11}{'clips':>7}{'by the test':>13}{'test and margin':>17}")
    for challengers, clips in ((1, 40), (1, 200), (16, 200), (16, 1_000)):
        by_test, by_both = null_rounds(rounds, challengers, clips)
        print(f"{challengers:>11}{clips:>7}{by_test / rounds:>13.2%}{by_both / rounds:>17.2%}")


if __name__ == "__main__":
    main()
