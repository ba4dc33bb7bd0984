"""A small round's outcome, made by hand. `python -m tests.services.records.outcome` writes the golden files again.

Run it after a change that is meant to change results.json, scores.jsonl or the feedback documents.
"""

from __future__ import annotations

import json
from pathlib import Path

from soundsright.copies.duplicates import Duplicate, DuplicateRule
from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.entry_rules import remedy_of
from soundsright.core.results import (
    ClipResult,
    Decision,
    Evaluation,
    Failure,
    Leaderboard,
    PrizeReason,
    Refusal,
    Standing,
    Timing,
    Weights,
)
from soundsright.core.rulesets import SOUNDSRIGHT_V3
from soundsright.core.schedule import Round
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Submission
from soundsright.metrics import floors, metric
from soundsright.ranking.gaming import Flag
from soundsright.ranking.statistics import mean_estimate
from soundsright.services.records import feedback_of, results_of, scores_of, scores_text
from soundsright.services.rounds.clipset import ClipSet
from soundsright.services.rounds.outcome import RoundOutcome
from soundsright.services.rounds.plan import RoundPlan

GOLDEN = Path(__file__).parent / "golden"
COMPETITION = PUBLISHED[0]
METRICS = ("PESQ_WB", "ESTOI", "SI_SDR")
CLIPS = ("clip-00000", "clip-00001", "clip-00002")
VERSIONS = {"soundsright": "0.0.0", "python": "3.11.0"}


def _entry(uid: int, name: str) -> Submission:
    return Submission(uid, f"{name}{'-hotkey' * 3}", COMPETITION, ModelRef(name, "model", f"{uid:040x}"), 10 + uid)


def _evaluation(submission: Submission, quality: float, failed: tuple[str, ...] = (), log: str = "") -> Evaluation:
    clips = tuple(
        ClipResult(clip_id, failure=Failure("timeout", "enhance took longer than 5 s"))
        if clip_id in failed
        else ClipResult(
            clip_id,
            {"PESQ_WB": 1.5 + quality + n / 8, "ESTOI": 0.5 + quality / 10 + n / 64, "SI_SDR": 5 + quality + n / 4},
        )
        for n, clip_id in enumerate(CLIPS)
    )
    return Evaluation(submission, "trial", clips, Timing(0.5, 1.5, 12.0, 10**8, 2.0, 2**30, 0.25), log)


def _board(entries: tuple[Evaluation, ...], refusals: tuple[Refusal, ...]) -> Leaderboard:
    alice, bob = (e.submission for e in entries)
    standings = []
    for evaluation, shares in zip(entries, ((6.0, 4.0), (1.5, 1.5)), strict=True):
        for name, share in zip(COMPETITION.metric_weights, shares, strict=True):
            values = [c.scores[name] if c.scores else floors([name])[name] for c in evaluation.clips]
            needed = None if evaluation.submission == alice else 2.75
            standings.append(
                Standing(evaluation.submission, name, mean_estimate(values), share, 1, needed, f"{name}: why")
            )
    evidence: dict[str, float | str | bool] = {
        "champion": bob.hotkey,
        "dethroned": True,
        "clips": 3.0,
        "mean_to_win": 2.5,
        "p_value_holm": 0.01,
    }
    decisions = (
        Decision("PESQ_WB", alice, PrizeReason.TAKEN, True, "alice takes PESQ_WB.", evidence),
        Decision("ESTOI", None, PrizeReason.NO_USABLE_SCORE, False, "Nobody takes ESTOI.", {"clips": 3.0}),
    )
    return Leaderboard(COMPETITION, "trial", tuple(standings), decisions, refusals)


def small_outcome(folder: Path = Path("set")) -> RoundOutcome:
    """Two entries, one of them with a failed clip and a flag; two refusals and a suspected copy."""
    alice, bob = _entry(1, "alice"), _entry(2, "bob")
    evaluations = (
        _evaluation(alice, 1.0),
        _evaluation(bob, 0.25, failed=CLIPS[1:2], log="loading\nslow"),
    )
    unprocessed = _evaluation(
        Submission(-1, "unprocessed", COMPETITION, ModelRef("unprocessed", "degraded-input", "0" * 40), 0), 0.0
    )
    refusals = (
        Refusal("carol" * 4, 3, "carol/model", COMPETITION.id, "no_licence", "There is no licence", {"files": "2"}),
        Refusal("dave" * 5, None, "dave", None, "not_registered", "The hotkey is not registered"),
    )
    recipes: dict[str, dict[str, object]] = {
        c: {"speech": f"speech-{n}", "speaker": "s1", "noise": f"noise-{n}", "snr_db": 2.5 * n, "rir": None}
        for n, c in enumerate(CLIPS)
    }
    clips = ClipSet(
        COMPETITION, 2**63 + 5, folder, dict.fromkeys(CLIPS, "ab" * 32), recipes, dict.fromkeys(CLIPS, 4.0)
    )
    plan = RoundPlan(
        Round("trial", 30, 500),
        CompetitionRules((COMPETITION,), SOUNDSRIGHT_V3),
        Measures(len(CLIPS), METRICS, floors(METRICS)),
    )
    return RoundOutcome(
        plan=plan,
        block_hash="0x" + "cd" * 32,
        sets={COMPETITION.id: clips},
        evaluations={COMPETITION.id: evaluations},
        unprocessed={COMPETITION.id: unprocessed},
        leaderboards=(_board(evaluations, refusals),),
        refusals=refusals,
        fetched=(),
        suspected=(Duplicate(bob, alice, DuplicateRule.NEAR_COPY, {"likeness_db": "41.0"}, 7),),
        flags={bob.entry_id: (Flag("copy_of_input", "The output is the input again", 100.0, 60.0),)},
        weights=Weights({1: 0.75, 2: 0.25}),
        weights_block=501,
        busy_s={"load": 1.0, "score": 2.5},
    )


def golden_files() -> dict[str, str]:
    """The text of each file that the outcome gives, by name."""
    outcome = small_outcome()
    results = results_of(outcome)
    document = results.with_cost(wall_s=3.5, peak_memory_bytes=10**9).as_json() | {"versions": VERSIONS}
    files = {"results.json": document} | {
        f"feedback-{name}.json": feedback.as_json() for name, feedback in feedback_of(outcome, results).items()
    }
    texts = {name: json.dumps(value, indent=1, allow_nan=False) + "\n" for name, value in files.items()}
    # Other rooms can change the words of their sentences and titles, so these are replaced.
    words = {metric(name).title: f"TITLE {name}" for name in METRICS}
    words |= {remedy_of(code): f"REMEDY {code}" for code in ("no_licence", "not_registered", "near_copy")}
    words |= {copy.sentence: f"SENTENCE {copy.rule.value}" for copy in outcome.suspected}
    for name, text in texts.items():
        for word, stand_in in words.items():
            texts[name] = text = text.replace(json.dumps(word)[1:-1], stand_in)
    return texts | {"scores.jsonl": scores_text(scores_of(outcome))}


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for file_name, text in golden_files().items():
        (GOLDEN / file_name).write_text(text, encoding="utf-8")
