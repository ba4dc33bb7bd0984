"""Measures how often the gates of soundsright-v4 hit an honest entry, and how often they catch the others.

    python benchmarks/honest_scores.py --out scores.json
    python benchmarks/gates.py scores.json [--rounds 1000] [--write]

Rounds are drawn from measured scores: clips with replacement, and a fifth of them at random marked as new.
`--write` makes the calibration of impossible scores that the package ships.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundsright.core.rulesets import SOUNDSRIGHT_V4
from soundsright.ranking import plausible
from soundsright.ranking.memorisation import memorised
from soundsright.ranking.plausible import Ceilings, impossible
from soundsright.ranking.safeguards import losses

Float64 = NDArray[np.float64]

CLIPS = 100
FRESH_SHARE = 0.2
LEVELS_DB = tuple(float(level) for level in range(-30, 31, 5))
WINDOW_DB = 5.0
LEAST_IN_WINDOW = 5
SABOTEUR = "saboteur"
MOST_ESTOI = 0.99
"""Above it, the ceiling is 1: honest scores on easy clips come this close."""


@dataclass(frozen=True)
class Margins:
    """The distance of the ceilings from the best score of honest systems and the oracle mask.

    `rest_of_estoi` is the part of the way from the best ESTOI to 1 that lies above the ceiling.
    """

    si_sdr_db: float
    pesq: float
    rest_of_estoi: float


MARGINS = {"DENOISING": Margins(12.0, 0.5, 1 / 3), "DEREVERBERATION": Margins(20.0, 1.5, 1 / 6)}
"""Models that change the phase exceed a mask. Dereverberation has few honest systems, and a mask is weak there."""


@dataclass(frozen=True)
class Measured:
    """The scores of one competition by system and metric, one value per clip."""

    name: str
    honest: tuple[str, ...]
    systems: dict[str, dict[str, Float64]]

    @property
    def input_db(self) -> Float64:
        return self.systems["unprocessed"]["SI_SDR"]

    @property
    def clips(self) -> int:
        return len(self.input_db)


def measured(path: Path) -> Iterator[Measured]:
    for name, facts in json.loads(path.read_text(encoding="utf-8")).items():
        systems = {s: {m: np.array(v) for m, v in scores.items()} for s, scores in facts["systems"].items()}
        yield Measured(name, tuple(facts["honest"]), systems)


def ceilings_of(scores: Measured, without: str = "") -> Ceilings:
    """The ceilings from all honest systems but one, and from the oracle mask."""
    systems = [scores.systems[name] for name in (*scores.honest, "unprocessed", "oracle mask") if name != without]
    distances = {level: np.abs(scores.input_db - level) for level in LEVELS_DB}
    levels = [level for level, away in distances.items() if np.sum(away <= WINDOW_DB) >= LEAST_IN_WINDOW]
    margins = MARGINS[scores.name.rsplit("_", 1)[0]]
    by_metric: dict[str, tuple[float, ...]] = {}
    for metric in ("PESQ_WB", "ESTOI", "SI_SDR"):
        if metric not in scores.systems["unprocessed"]:
            continue
        found = []
        for level in levels:
            near = distances[level] <= WINDOW_DB
            values = np.array([system[metric][near] for system in systems])
            if metric == "SI_SDR":
                found.append(float((values - scores.input_db[near]).max()) + margins.si_sdr_db)
            elif metric == "PESQ_WB":
                found.append(float(values.max()) + margins.pesq)
            else:
                ceiling = 1.0 - margins.rest_of_estoi * (1.0 - float(values.max()))
                found.append(ceiling if ceiling <= MOST_ESTOI else 1.0)
        by_metric[metric] = tuple(round(value, 4) for value in found)
    return Ceilings(tuple(levels), by_metric)


def held_rate(scores: Measured, system: str, ceilings: Ceilings, rounds: int) -> float:
    """The share of drawn sets on which the system is held."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(rounds):
        drawn = rng.integers(0, scores.clips, CLIPS)
        values = {metric: v[drawn] for metric, v in scores.systems[system].items()}
        held += impossible(values, scores.input_db[drawn], ceilings) is not None
    return held / rounds


def print_held(all_scores: Sequence[Measured], rounds: int) -> None:
    print(f"\nheld, in {rounds} sets of {CLIPS} clips; honest systems are judged by a calibration without them")
    print("| competition | honest, any | oracle mask | parrot | 30 % clean | 10 % clean | 3 % clean |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for scores in all_scores:
        honest = max(held_rate(scores, name, ceilings_of(scores, name), rounds) for name in scores.honest)
        full = ceilings_of(scores)
        names = ("oracle mask", "parrot", "stealth parrot 30%", "stealth parrot 10%", "stealth parrot 3%")
        others = [held_rate(scores, name, full, max(rounds // 10, 10)) for name in names]
        print(f"| `{scores.name}` | {honest:.2%} | " + " | ".join(f"{rate:.0%}" for rate in others) + " |")


def memorised_rates(scores: Measured, attack: str, attackers: int, clips: int, rounds: int) -> tuple[float, float]:
    """The share of rounds that find an honest entry, and the share of attackers that are found.

    An attacker answers used recordings like `attack`, and new ones like the first model. A saboteur gains 30 % less
    on used recordings, so that honest entries stand out.
    """
    rng = np.random.default_rng([2, attackers, clips])
    metrics = [m for m in scores.systems["unprocessed"] if m != "SI_SAR"]
    count = len(scores.honest)
    wrong = caught = 0
    for _ in range(rounds):
        drawn = rng.integers(0, scores.clips, clips)
        fresh = np.zeros(clips, bool)
        fresh[rng.permutation(clips)[: round(FRESH_SHARE * clips)]] = True
        gains = {}
        for metric in metrics:
            noisy = scores.systems["unprocessed"][metric][drawn]
            rows = [scores.systems[name][metric][drawn] - noisy for name in scores.honest]
            used = scores.systems["parrot" if attack == SABOTEUR else attack][metric][drawn]
            parrot = np.where(fresh, rows[0] + noisy, used) - noisy
            if attack == SABOTEUR:
                parrot = np.where(fresh, rows[0], 0.7 * rows[0])
            # Parrots differ a little, as if each had been trained further; otherwise they would be copies.
            spread = 0.02 * float(parrot.std())
            rows += [parrot + rng.normal(0.0, spread, clips) for _ in range(attackers)]
            gains[metric] = np.array(rows)
        found = memorised(
            gains,
            fresh,
            [str(n) for n in range(clips)],
            alpha=SOUNDSRIGHT_V4.memorised_alpha or 0.001,
            groups=range(count + attackers),
            inputs=[scores.systems["unprocessed"][metric][drawn] for metric in ("SI_SDR", "ESTOI")],
        )
        wrong += any(row < count for row in found)
        caught += sum(row >= count for row in found)
    return wrong / rounds, caught / rounds / max(attackers, 1)


def print_memorised(all_scores: Sequence[Measured], rounds: int) -> None:
    print(f"\nmemorised, in {rounds} rounds (for attacks: {rounds // 5}), a fifth of the clips new")
    print("| competition | entries | attackers | clips | rounds with an honest entry found | attackers found |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for scores in all_scores:
        count = len(scores.honest)
        if count < 3:
            continue
        cases = [("parrot", 0, CLIPS), ("parrot", 1, CLIPS), ("parrot", count, CLIPS), ("parrot", count + 2, CLIPS)]
        cases += [(SABOTEUR, attackers, CLIPS) for attackers in (1, count, count + 2)]
        cases += [(f"stealth parrot {p}", 1, n) for p in ("30%", "10%", "3%") for n in (CLIPS, 2 * CLIPS)]
        for attack, attackers, clips in cases:
            times = rounds if attackers == 0 else rounds // 5
            wrong, caught = memorised_rates(scores, attack, attackers, clips, times)
            who = f"{attackers} x {attack}" if attackers else "none"
            shown = f"{caught:.0%}" if attackers else "-"
            print(f"| `{scores.name}` | {count} honest | {who} | {clips} | {wrong:.2%} | {shown} |")


def loss_rate(table: dict[str, Float64], clips: int, rounds: int) -> float:
    """The share of drawn sets on which the second row has a loss against the first, the champion."""
    (no_loss,) = (each for each in SOUNDSRIGHT_V4.no_loss if each.metric == "SI_SIR")
    rng = np.random.default_rng([3, clips])
    lost = 0
    for _ in range(rounds):
        drawn = rng.integers(0, next(iter(table.values())).shape[1], clips)
        tables = {metric: values[:, drawn] for metric, values in table.items()}
        found = losses(
            no_loss, tables, alpha=SOUNDSRIGHT_V4.alpha or 0.05, suspected=[False, False], champion_row=0
        )
        lost += found[1] is not None
    return lost / rounds


def against_champion(
    scores: Measured, entry: dict[str, Float64], shift_db: float | None = None
) -> dict[str, Float64]:
    """The scores of the champion, an entry and the input. With `shift_db` the entry's means are the champion's.

    On SI-SDR it is then worse by `shift_db`.
    """
    champion = scores.systems[scores.honest[0]]
    rows = {}
    for metric in ("SI_SDR", "ESTOI"):
        values = entry[metric]
        if shift_db is not None:
            below = shift_db if metric == "SI_SDR" else 0.0
            values = values + (champion[metric].mean() - values.mean() - below)
        rows[metric] = np.array([champion[metric], values, scores.systems["unprocessed"][metric]])
    return rows


def print_losses(all_scores: Sequence[Measured], rounds: int) -> None:
    """An equal is the second honest system, with its scores shifted to the champion's mean."""
    print(f"\nno loss of SI-SDR and ESTOI, in {rounds} sets; the champion is the first model")
    print("| competition | clips | an equal | 0.5 dB worse | 1 dB worse | subtracting | averaging |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for scores in all_scores:
        if "SI_SIR" not in scores.systems["unprocessed"]:
            continue  # The gate is for SI-SIR and SI-SAR only.
        equal = scores.systems[scores.honest[1]]
        tables = [against_champion(scores, equal, shift_db) for shift_db in (0.0, 0.5, 1.0)]
        tricks = (scores.systems.get(name) for name in ("subtracting", "averaging with the input"))
        tables += [against_champion(scores, trick) for trick in tricks if trick is not None]
        for clips in (20, 50, CLIPS, 2 * CLIPS):
            cells = [f"{loss_rate(table, clips, rounds):.1%}" for table in tables]
            print(f"| `{scores.name}` | {clips} | " + " | ".join(cells) + " |")


def print_cost() -> None:
    rng = np.random.default_rng(4)
    gains = {metric: rng.normal(3.0, 1.0, (64, 200)) for metric in ("PESQ_WB", "ESTOI", "SI_SDR")}
    started = time.process_time()
    fresh = np.arange(200) % 5 == 0
    memorised(gains, fresh, [str(n) for n in range(200)], alpha=0.001, groups=range(64))
    print(f"\nmemorised: 64 entries x 200 clips x 3 metrics in {time.process_time() - started:.2f} s of one core")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--rounds", type=int, default=1_000)
    parser.add_argument("--write", action="store_true", help="write soundsright/ranking/plausible_scores.json")
    arguments = parser.parse_args()
    all_scores = list(measured(arguments.scores))
    print_losses(all_scores, arguments.rounds)
    print_memorised(all_scores, arguments.rounds)
    print_held(all_scores, arguments.rounds)
    print_cost()
    if arguments.write:
        facts: dict[str, Any] = {}
        for scores in all_scores:
            ceilings = ceilings_of(scores)
            facts[scores.name] = {"input_db": ceilings.input_db, "ceilings": ceilings.by_metric}
        target = Path(plausible.__file__).with_name("plausible_scores.json")
        target.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        print(f"\nwritten: {target}")


if __name__ == "__main__":
    main()
