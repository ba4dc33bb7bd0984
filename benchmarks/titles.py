"""Measures how often a challenger that is not better takes a title, and how often a better one does.

    python benchmarks/titles.py [--rounds 4000] [--seed 0]

It compares the tests of soundsright-v4 and soundsright-v5, by simulation: many challengers against one champion,
sets of few clips, failures that are too rare for the set to show, and noises that the set did not have. It also
tries rules that v5 does not have. Differences are in standard deviations of one clip. The margin is left out, so
real rounds have fewer false victories.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from math import exp, log1p
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr

from soundsright.core.rulesets import SOUNDSRIGHT_V4, SOUNDSRIGHT_V5, Ruleset
from soundsright.metrics import floors
from soundsright.ranking import shipped_components
from soundsright.ranking.challengers import adjusted_p_values
from soundsright.ranking.failures import failure_lead, unseen_failures
from soundsright.ranking.leads import lead_test

Float64 = NDArray[np.float64]
RULES = (SOUNDSRIGHT_V4, SOUNDSRIGHT_V5)
ALPHA = SOUNDSRIGHT_V5.alpha or 0.05
CLEAR = 3.29
"""The lead of a challenger that wins 95 % of the rounds if it is alone, in standard errors."""
NOISES = 19


def leads_p_values(
    rng: np.random.Generator, leads: Sequence[float], correlation: float | None, rounds: int
) -> Float64:
    """p-values of challengers with these leads, `(rounds, challengers)`.

    All are compared with one champion, so they are correlated. None is the most negative correlation there is.
    """
    own = rng.standard_normal((rounds, len(leads)))
    if correlation is None:
        own = (own - own.mean(axis=1, keepdims=True)) / np.sqrt(1 - 1 / len(leads))
    else:
        own = np.sqrt(1 - correlation) * own + np.sqrt(correlation) * rng.standard_normal((rounds, 1))
    return np.asarray(ndtr(-(own + np.array(leads))))


def wins(ruleset: Ruleset, p_values: Float64) -> NDArray[np.bool_]:
    """Which challengers pass the corrected test, one row per round."""
    return np.array([adjusted_p_values(ruleset, row) for row in p_values.tolist()]) <= ALPHA


def print_alternatives(rounds: int, seed: int) -> None:
    """Ways to choose the challengers that count, which soundsright-v5 does not use."""
    z = np.random.default_rng([seed, 1]).standard_normal(rounds)
    alone = ndtr(-(z + CLEAR))
    print("\nA clear challenger that is alone wins, if")
    print(f"- it is not corrected: {(alone <= ALPHA).mean():.1%}")
    print(f"- only p <= .5 counts, and p is divided by .5: {(alone / 0.5 <= ALPHA).mean():.1%}")
    p = ndtr(-z)
    smaller, larger = np.minimum(p, 1 - p), np.maximum(p, 1 - p)
    won = (smaller / larger <= ALPHA).mean()
    print("\nTwo equal challengers, each as much better as the other is worse: one of them wins, if")
    print(f"- the smaller p is divided by the larger: {won:.1%}")
    corrected = wins(SOUNDSRIGHT_V5, np.stack([p, 1 - p], axis=1)).any(axis=1).mean()
    print(f"- it is corrected as in {SOUNDSRIGHT_V5.name}: {corrected:.1%}")


def print_families(rounds: int, seed: int) -> None:
    print("\nA challenger with p = .0027 beside others that are clearly worse (p > .999): its corrected p\n")
    print("| others | " + " | ".join(ruleset.name for ruleset in RULES) + " |")
    print("| ---: | ---: | ---: |")
    for others in (0, 15, 63):
        alone = [0.0027, *[0.9999] * others]
        print(f"| {others} | " + " | ".join(f"{adjusted_p_values(r, alone)[0]:.4f}" for r in RULES) + " |")
    print("\nRounds in which one of many equal challengers wins\n")
    print("| challengers | correlation | " + " | ".join(ruleset.name for ruleset in RULES) + " |")
    print("| ---: | ---: | ---: | ---: |")
    for count in (1, 2, 3, 5, 16, 64):
        for correlation in (0.5, 0.0, None) if count > 1 else (0.0,):
            rng = np.random.default_rng([seed, count])
            p_values = leads_p_values(rng, [0.0] * count, correlation, rounds)
            shown = "most negative" if correlation is None else f"{correlation:g}"
            cells = (f"{wins(ruleset, p_values).any(axis=1).mean():.1%}" for ruleset in RULES)
            print(f"| {count} | {shown} | " + " | ".join(cells) + " |")
    print(f"\nRounds that a clear challenger wins, {CLEAR} standard errors better, beside others\n")
    print("| others | their lead, in standard errors | " + " | ".join(ruleset.name for ruleset in RULES) + " |")
    print("| ---: | ---: | ---: | ---: |")
    for count, lead in ((0, 0), (1, 0), (2, 0), (2, -2), (15, 0), (15, -2), (15, -6), (60, -2), (60, -6)):
        rng = np.random.default_rng([seed, count])
        p_values = leads_p_values(rng, [CLEAR, *[float(lead)] * count], 0.5, rounds)
        cells = (f"{wins(ruleset, p_values)[:, 0].mean():.0%}" for ruleset in RULES)
        print(f"| {count} | {lead if count else '-'} | " + " | ".join(cells) + " |")


DRAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Float64]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "skewed left": lambda rng, shape: 1.0 - rng.exponential(size=shape),
    "long tail left": lambda rng, shape: np.exp(0.5) - rng.lognormal(0.0, 1.0, shape),
}


def print_small_sets(rounds: int, seed: int) -> None:
    print("\nSmall sets: rounds that an equal challenger wins, and one that is a standard deviation better\n")
    names = " | ".join(f"{ruleset.name}, {who}" for who in ("equal", "better") for ruleset in RULES)
    print(f"| clips | differences | {names} |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |")
    for clips in (5, 8, 12):
        for name, draw in DRAWS.items():
            x = draw(np.random.default_rng([seed, clips]), (rounds, clips))
            cells = []
            for shift in (0.0, 1.0):
                for ruleset in RULES:
                    p = lead_test(ruleset, {}).p_values(x + shift * x.std())
                    cells.append(f"{(p <= ALPHA).mean():.1%}")
            print(f"| {clips} | {name} | " + " | ".join(cells) + " |")


PER_SET = (0.25, 0.5, 0.9, 1.05, 1.2, 1.5, 2.0, 3.0, 5.0, 8.0, 15.0)
"""Rates of failure, as the expected number of failed clips in a set."""
MORE_UNSEEN = 3
SAFEGUARDS = ("test alone", "v5", f"failures_unseen = {MORE_UNSEEN}", "bound at 10 %", "v5 and veto")


def exact_bound(failed: int, clips: int, alpha: float = 0.1) -> float:
    """The part of new clips that can fail beyond failed / clips (Clopper and Pearson, Biometrika 26, 1934)."""
    return 0.0 if failed >= clips else float(betaincinv(failed + 1, clips - failed, 1 - alpha)) - failed / clips


def is_vetoed(failed: int, clips: int) -> bool:
    """Whether Fisher's exact test finds that it fails more often than a champion that never does."""
    return failed > 0 and exp(sum(log1p(-clips / (2 * clips - k)) for k in range(failed))) <= ALPHA


def rare_failures(
    rng: np.random.Generator, rate: float, cost: float, lead: float, clips: int, rounds: int
) -> list[float]:
    """The rounds that a challenger wins under each of `SAFEGUARDS`.

    It has that lead on the clips that it answers, and loses `cost` on each that it fails.
    """
    fails = rng.random((rounds, clips)) < rate
    x = rng.standard_normal((rounds, clips)) + np.where(fails, -cost, lead)
    passed = lead_test(SOUNDSRIGHT_V5, {}).p_values(x) <= ALPHA
    mean, failed = x.mean(axis=1), fails.sum(axis=1)
    survives = passed & (mean >= cost * unseen_failures(SOUNDSRIGHT_V5.failures_unseen, clips))
    survives_more = passed & (mean >= cost * unseen_failures(MORE_UNSEEN, clips))
    bound = cost * np.array([exact_bound(k, clips) for k in range(clips + 1)])[failed]
    vetoed = np.array([is_vetoed(k, clips) for k in range(clips + 1)])[failed]
    verdicts = (passed, survives, survives_more, passed & (mean >= bound), survives & ~vetoed)
    return [float(won.mean()) for won in verdicts]


def print_rare_failures(rounds: int, seed: int) -> None:
    print("\nRare failures: rounds won by a challenger that is no better, because it fails on 2 % of the clips\n")
    print("| clips | cost of a failure | " + " | ".join(SAFEGUARDS) + " |")
    print("| ---: | ---: |" + " ---: |" * len(SAFEGUARDS))
    worst = []
    for clips in (30, 100, 200, 1_000):
        for cost in (5.0, 20.0, 50.0):
            found = {}
            for rate in (0.02, *(per_set / clips for per_set in PER_SET)):
                rng = np.random.default_rng([seed, clips, int(cost)])
                found[rate] = rare_failures(rng, rate, cost, rate * cost / (1 - rate), clips, rounds)
            print(f"| {clips} | {cost:g} | " + " | ".join(f"{won:.1%}" for won in found[0.02]) + " |")
            rates = [max(found, key=lambda rate: found[rate][side]) for side in range(len(SAFEGUARDS))]
            cells = [f"{found[rate][side]:.1%} ({rate * clips:.2g})" for side, rate in enumerate(rates)]
            worst.append(f"| {clips} | {cost:g} | " + " | ".join(cells) + " |")
    print("\nThe same at the worst rate. In brackets: the failures per set at that rate\n")
    print("| clips | cost of a failure | " + " | ".join(SAFEGUARDS) + " |")
    print("| ---: | ---: |" + " ---: |" * len(SAFEGUARDS))
    print("\n".join(worst))


def print_price_of_failures(rounds: int, seed: int) -> None:
    for rate, who in ((0.0, "never fails"), (0.02, "fails on 2 % of the clips")):
        print(f"\nThe price: rounds won by a better challenger that {who}\n")
        print("| clips | cost of a failure | mean lead | " + " | ".join(SAFEGUARDS) + " |")
        print("| ---: | ---: | ---: |" + " ---: |" * len(SAFEGUARDS))
        for clips in (30, 200, 1_000):
            for cost in (5.0, 20.0, 50.0):
                for lead in (0.1, 0.2, 0.5, 1.0):
                    rng = np.random.default_rng([seed, clips])
                    own = (lead + rate * cost) / (1 - rate)
                    cells = (f"{won:.0%}" for won in rare_failures(rng, rate, cost, own, clips, rounds))
                    print(f"| {clips} | {cost:g} | {lead:g} | " + " | ".join(cells) + " |")


def print_leads_for_failures() -> None:
    """The leads in the metric's unit, and the cost of a failure for pairs of real systems."""
    means = {"PESQ_WB": 2.3, "ESTOI": 0.75, "SI_SDR": 15.0}
    print("\nThe lead for failures, if no clip failed: v5, and with the bound at 10 %\n")
    print("| clips | " + " | ".join(f"{metric}, champion at {mean:g}" for metric, mean in means.items()) + " |")
    print("| ---: | ---: | ---: | ---: |")
    for clips in (30, 200, 1_000):
        parts = (unseen_failures(SOUNDSRIGHT_V5.failures_unseen, clips), exact_bound(0, clips))
        leads = ((failure_lead(floors([m])[m], mean, part) for part in parts) for m, mean in means.items())
        print(f"| {clips} | " + " | ".join(", ".join(f"{lead:.3g}" for lead in pair) for pair in leads) + " |")
    print(
        "\nThe cost of a failure, in standard deviations of the difference of two shipped systems (median pair)\n"
    )
    print("| competition | " + " | ".join(means) + " |")
    print("| --- | ---: | ---: | ---: |")
    for competition, measured in shipped_components().items():
        cells = []
        for metric, mean in means.items():
            pair = measured.get(metric)
            cost = (mean - floors([metric])[metric]) / pair.typical.total**0.5 if pair else 0.0
            cells.append(f"{cost:.0f}" if pair else "-")
        print(f"| {competition} | " + " | ".join(cells) + " |")


def print_new_noises(rounds: int, seed: int) -> None:
    """Intraclass correlations of .4 by noise and .08 by prompt, as in measured differences."""
    print(f"\nNew noises: rounds that an equal challenger wins on sets with {NOISES} noises and 40 prompts\n")
    print("| clips | " + " | ".join(ruleset.name for ruleset in RULES) + " |")
    print("| ---: | ---: | ---: |")
    for clips in (30, 100, 1_000):
        rng = np.random.default_rng([seed, clips])
        won = dict.fromkeys(RULES, 0)
        for _ in range(rounds // 20):
            noise, prompt = np.arange(clips) % NOISES, rng.integers(0, 40, clips)
            own = np.sqrt(0.52) * rng.standard_normal((20, clips))
            shared = np.sqrt(0.4) * rng.standard_normal((20, NOISES))[:, noise]
            shared += np.sqrt(0.08) * rng.standard_normal((20, 40))[:, prompt]
            labels = {"noise": [str(n) for n in noise], "prompt": [str(n) for n in prompt]}
            for ruleset in RULES:
                won[ruleset] += int((lead_test(ruleset, labels).p_values(own + shared) <= ALPHA).sum())
        drawn = 20 * (rounds // 20)
        print(f"| {clips} | " + " | ".join(f"{won[ruleset] / drawn:.1%}" for ruleset in RULES) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{arguments.rounds} rounds each, alpha {ALPHA:g}, seed {arguments.seed}")
    print_alternatives(arguments.rounds, arguments.seed)
    print_families(arguments.rounds, arguments.seed)
    print_small_sets(arguments.rounds, arguments.seed)
    print_rare_failures(arguments.rounds, arguments.seed)
    print_price_of_failures(arguments.rounds, arguments.seed)
    print_leads_for_failures()
    print_new_noises(arguments.rounds, arguments.seed)


if __name__ == "__main__":
    main()
