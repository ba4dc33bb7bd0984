"""Simulates rounds that may stop early: the clips that they save, their decisions, and how often a champion falls.

    python benchmarks/stopping.py SCORES.json [--competition DENOISING_16000HZ] [--rounds 300] [--clips 60 120]
    python benchmarks/stopping.py --null [--rounds 1000] [--clips 30 100 300]

The scores are those of `benchmarks/honest_scores.py --honest-only`. Each round draws noises anew, each time with
other clips of that noise, so that a noise that comes twice counts as two. The entries are the honest systems, one
that returns its input and one that fails on every clip. The champion is the demo's, or drawn anew for each round.
`saved` is the part of all runs of a model on a clip that a round does not need.

With --null, all entries are equal: their scores differ by noise, by prompt and by clip. No margin protects the
champion, so that only the tests do.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Set these before the next lines import NumPy, which reads them once.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
import numpy as np
from numpy.typing import NDArray

from soundsright.core.competition import Competition, competition_by_id
from soundsright.core.groups import ClipGroups
from soundsright.core.results import ClipResult, Evaluation, Leaderboard
from soundsright.core.rulesets import DEFAULT_RULESET, Margin, Ruleset, ruleset_by_name
from soundsright.core.sources import ModelRef
from soundsright.core.stopping import EarlyStop, Stops
from soundsright.core.submission import Submission
from soundsright.core.tasks import Task
from soundsright.ranking import Champion, WholeSet, decide, look_at, look_ends, looks

FLOORS = {"PESQ_WB": 1.0, "ESTOI": -1.0, "SI_SDR": -40.0, "SI_SIR": -40.0, "SI_SAR": -40.0}
INCUMBENTS = {Task.DENOISING: "spectral-gate", Task.DEREVERBERATION: "wpe"}
AT_BLOCK = 30_000
MOST_LOOKS = 16
BY_NOISE, BY_PROMPT = 0.4, 0.07
"""The parts of the variance of paired differences that noises and prompts have, in null rounds."""
NULL = Competition(Task.DENOISING, 16_000, {"PESQ_WB": 1.0}, 10.0, 3.0)

Rng = np.random.Generator
Table = dict[str, NDArray[np.float64]]
"""One array `(entries, clips)` per metric; the unprocessed input has the last row."""


@dataclass(frozen=True)
class Simulated:
    """One simulated round: the scores, the entry that is champion, and what the clips share, in their order."""

    competition: Competition
    names: tuple[str, ...]
    table: Table
    champion: int
    noises: tuple[str, ...]
    prompts: tuple[str, ...]

    @property
    def clip_ids(self) -> tuple[str, ...]:
        return tuple(f"clip{number:05d}" for number in range(len(self.noises)))

    @property
    def groups(self) -> ClipGroups:
        return ClipGroups(self.clip_ids, {"noise": self.noises, "prompt": self.prompts})

    def evaluation(self, row: int, clips: int) -> Evaluation:
        uid = row % len(self.table[next(iter(self.table))])
        name = self.names[row] if 0 <= row < len(self.names) else "unprocessed"
        entry = Submission(uid, name, self.competition, ModelRef("bench", name, f"{uid:040x}"), 100 + uid)
        scores = ({m: float(rows[row, i]) for m, rows in self.table.items()} for i in range(clips))
        results = (ClipResult(i, scores=each) for i, each in zip(self.clip_ids[:clips], scores, strict=True))
        return Evaluation(entry, "bench", tuple(results))

    def champions(self) -> dict[str, Champion]:
        entry = self.evaluation(self.champion, 1).submission
        return {metric: Champion(entry, 0.0, 10_000) for metric in self.competition.metric_weights}

    def board(self, ruleset: Ruleset, rows: Mapping[int, int], stops: Stops | None) -> Leaderboard:
        """The leaderboard of entries that ran on so many clips, by row."""
        return decide(
            self.competition,
            "bench",
            [self.evaluation(row, clips) for row, clips in rows.items()],
            self.champions(),
            ruleset,
            self.evaluation(-1, len(self.noises)),
            floors=FLOORS,
            at_block=AT_BLOCK,
            groups=self.groups,
            stops=stops,
        )


@dataclass(frozen=True)
class Outcome:
    """The outcome of a round: the part of the clips that it saved, and both decisions by metric."""

    saved: float
    early: tuple[str | None, ...]
    whole: tuple[str | None, ...]
    won_before_the_end: bool = False


def played(round_: Simulated, ruleset: Ruleset) -> Outcome:
    """Play a round on its whole set, and once more with early stops."""
    count, clips = len(round_.names), len(round_.noises)
    starts = [i for i in range(clips) if i == 0 or round_.noises[i] != round_.noises[i - 1]]
    ran = dict.fromkeys(range(count), clips)
    stopped: dict[int, EarlyStop] = {}
    running, evidence, done, witnesses = list(range(count)), {}, clips, len(starts)
    for end in look_ends(len(starts))[:-1]:
        done, witnesses = starts[end], end
        look = look_at(
            round_.competition,
            [round_.evaluation(row, done) for row in running],
            round_.champions(),
            ruleset,
            round_.evaluation(-1, clips),
            round_.clip_ids[:done],
            round_.noises[:done],
            floors=FLOORS,
            at_block=AT_BLOCK,
            challengers=count,
            whole=WholeSet(clips, len(starts)),
            groups=round_.groups,
            stopped=[(each, round_.evaluation(row, ran[row])) for row, each in stopped.items()],
        )
        for row in [row for row in running if round_.names[row] in look.ruled_out]:
            running.remove(row)
            ran[row] = done
            stopped[row] = EarlyStop(round_.names[row], done, clips, end, look.ruled_out[round_.names[row]])
        if look.is_decided:
            evidence = dict(look.evidence)
            break
    else:
        done, witnesses = clips, len(starts)
    ran |= dict.fromkeys(running, done)
    stops = Stops(clips, len(starts), done, witnesses, tuple(stopped.values()), evidence)
    saved = 1.0 - sum(ran.values()) / (count * clips)
    whole = round_.board(ruleset, dict.fromkeys(range(count), clips), None)
    early = _winners(round_.board(ruleset, ran, stops))
    return Outcome(saved, early, _winners(whole), won_before_the_end=bool(evidence))


def _winners(board: Leaderboard) -> tuple[str | None, ...]:
    return tuple(None if d.winner is None else d.winner.hotkey for d in board.decisions)


def resampled(
    scores: Mapping[str, Any], competition: Competition, rounds: int, clips: int, champion: str | None, seed: int
) -> Iterator[Simulated]:
    """Rounds that are drawn from scored clips. Without a champion's name, each round draws one."""
    rng = np.random.default_rng([seed, clips])
    systems: Mapping[str, Mapping[str, Sequence[float]]] = scores["systems"]
    names = (*scores["honest"], "degraded", "crasher")
    metrics = tuple(systems["unprocessed"])
    pool: Table = {
        metric: np.array(
            [
                *(systems[name][metric] for name in scores["honest"]),
                systems["unprocessed"][metric],
                np.full(len(scores["recordings"]), FLOORS[metric]),
                systems["unprocessed"][metric],
            ]
        )
        for metric in metrics
    }
    labels = scores["noises"] if any(scores["noises"]) else scores["rooms"]
    members = [[i for i, own in enumerate(labels) if own == label] for label in dict.fromkeys(labels)]
    per_noise = -(-clips // len(members))
    for _ in range(rounds):
        drawn = rng.integers(0, len(members), -(-clips // per_noise))
        columns = np.array([int(rng.choice(members[noise])) for noise in drawn for _ in range(per_noise)])
        yield Simulated(
            competition,
            names,
            {metric: values[:, columns] for metric, values in pool.items()},
            names.index(champion) if champion else int(rng.integers(0, len(scores["honest"]))),
            tuple(f"noise {number // per_noise}" for number in range(len(columns))),
            tuple(str(scores["recordings"][column]) for column in columns),
        )


def equal_rounds(rounds: int, clips: int, noises: int, challengers: int, seed: int) -> Iterator[Simulated]:
    """Rounds in which all entries are equally good for new noises and prompts."""
    rng = np.random.default_rng([seed, clips, challengers])
    noise = np.sort(np.arange(clips) % noises)
    for _ in range(rounds):
        prompt = rng.integers(0, 41, clips)
        own = np.sqrt(BY_NOISE) * rng.standard_normal((challengers + 1, noises))[:, noise]
        own += np.sqrt(BY_PROMPT) * rng.standard_normal((challengers + 1, 41))[:, prompt]
        own += np.sqrt(1 - BY_NOISE - BY_PROMPT) * rng.standard_normal((challengers + 1, clips))
        values = np.vstack([2.5 + 0.2 * own, np.full(clips, 1.5)]) + 0.4 * rng.standard_normal(clips)
        yield Simulated(
            NULL,
            tuple(f"entry-{number}" for number in range(challengers + 1)),
            dict.fromkeys(("PESQ_WB", "ESTOI", "SI_SDR"), values),
            0,
            tuple(f"noise {number}" for number in noise),
            tuple(f"prompt {number}" for number in prompt),
        )


def print_savings(
    scores: Mapping[str, Any], competition: Competition, ruleset: Ruleset, a: argparse.Namespace
) -> None:
    assert isinstance(competition.task, Task)
    incumbent = INCUMBENTS[competition.task]
    print(f"\n{competition.title}: {a.rounds} rounds from {len(scores['recordings'])} clips, {ruleset.name}\n")
    print("| champion | clips | saved, median | saved, a tenth of rounds at most | same winners |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for champion, title in ((incumbent, f"the demo's, {incumbent}"), (None, "any")):
        for clips in a.clips or (60, 120):
            rounds = resampled(scores, competition, a.rounds, clips, champion, a.seed)
            outcomes = [played(each, ruleset) for each in rounds]
            saved = [outcome.saved for outcome in outcomes]
            same = np.mean([outcome.early == outcome.whole for outcome in outcomes])
            low = np.quantile(saved, 0.1)
            print(f"| {title} | {clips} | {np.median(saved):.0%} | {low:.0%} | {same:.1%} |", flush=True)


def print_falls(ruleset: Ruleset, a: argparse.Namespace) -> None:
    bare = replace(ruleset, name="bench", margin=Margin(0.0, 0.0, 1), additive_db=None)
    print(f"\n{a.rounds} rounds of equal entries, {a.noises} noises, {ruleset.name} without a margin\n")
    print("| challengers | clips | champion falls, stopping early | before the end | on the whole set | saved |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for challengers in (1, 8):
        for clips in a.clips or (30, 100, 300):
            rounds = equal_rounds(a.rounds, clips, min(a.noises, clips), challengers, a.seed)
            outcomes = [played(each, bare) for each in rounds]
            early, whole = (
                np.mean([winners[0] not in ("entry-0", None) for winners in each])
                for each in ([o.early for o in outcomes], [o.whole for o in outcomes])
            )
            saved = np.median([outcome.saved for outcome in outcomes])
            looked = np.mean([outcome.won_before_the_end for outcome in outcomes])
            print(
                f"| {challengers} | {clips} | {early:.1%} | {looked:.1%} | {whole:.1%} | {saved:.0%} |", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path, nargs="?", help="a file of honest_scores.py")
    parser.add_argument("--null", action="store_true", help="simulate equal entries")
    parser.add_argument("--competition", default="DENOISING_16000HZ")
    parser.add_argument("--rules", default=DEFAULT_RULESET)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--clips", type=int, nargs="+")
    parser.add_argument("--noises", type=int, default=31, help="noises of a set of equal entries")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--uncorrected",
        action="store_true",
        help="let each look have the level of all looks, to see what that costs",
    )
    arguments = parser.parse_args()
    if arguments.uncorrected:
        vars(looks)["HOPELESS_ALPHA"] *= MOST_LOOKS
    ruleset = ruleset_by_name(arguments.rules)
    if arguments.null:
        print_falls(ruleset, arguments)
    elif arguments.scores is None:
        parser.error("give a file of scores, or --null")
    else:
        competition = competition_by_id(arguments.competition)
        scores = json.loads(arguments.scores.read_text(encoding="utf-8"))[competition.id]
        print_savings(scores, competition, ruleset, arguments)


if __name__ == "__main__":
    main()
