"""What a round leaves behind for others: results.json, one line of scores per clip, one feedback file per miner.

Each file is written complete or not at all. Where a number could not be measured it is null.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from soundsright import __version__
from soundsright.core.entry_rules import remedy_of
from soundsright.core.results import Estimate, Evaluation, Refusal
from soundsright.metrics import metric
from soundsright.services.records.summary import Row, Table
from soundsright.services.rounds import RoundOutcome, write_text

RESULTS_SCHEMA = "soundsright.results/1"
FEEDBACK_SCHEMA = "soundsright.feedback/1"
_SCORING_PACKAGES = ("numpy", "scipy", "numba", "pesq", "soundfile", "soxr")


def results_document(outcome: RoundOutcome, tables: Sequence[Table], cost: Mapping[str, Any]) -> dict[str, Any]:
    """The round as one JSON object. `cost` holds what differs from run to run: times and memory."""
    plan = outcome.plan
    return {
        "schema": RESULTS_SCHEMA,
        "round": {
            "id": plan.round.id,
            "entries_close_block": plan.round.entries_close_block,
            "seed_block": plan.round.seed_block,
            "seed_block_hash": outcome.block_hash,
            "ruleset": plan.ruleset.name,
            "ruleset_digest": plan.ruleset.digest,
            "clips": plan.clips,
        },
        "metrics": {name: _metric(name) for name in plan.metrics},
        "competitions": [_competition(table) for table in tables],
        "weights": {str(uid): weight for uid, weight in outcome.weights.by_uid.items()},
        "weights_block": outcome.weights_block,
        "cost": dict(cost),
        "versions": scoring_versions(),
    }


def score_lines(outcome: RoundOutcome) -> Iterator[str]:
    """One line of JSON per entry and clip, with the clip's recipe; the unprocessed input comes first."""
    for competition in outcome.plan.competitions:
        clips = outcome.sets[competition.id]
        for evaluation in (outcome.unprocessed[competition.id], *outcome.evaluations[competition.id]):
            for result in evaluation.clips:
                line = {
                    "competition": competition.id,
                    "entry": evaluation.submission.hotkey,
                    "model": str(evaluation.submission.source),
                    **_clip(result.clip_id, result.scores, result.failure),
                    "recipe": clips.recipes[result.clip_id],
                }
                yield json.dumps(line, sort_keys=True, allow_nan=False)


def feedback_documents(outcome: RoundOutcome, tables: Sequence[Table]) -> dict[str, dict[str, Any]]:
    """What each miner is told, by a name for the file: `uid-hotkey`."""
    documents: dict[str, dict[str, Any]] = {}
    refused: set[str] = set()
    for table in tables:
        evaluations = {e.submission.entry_id: e for e in outcome.evaluations[table.competition.id]}
        for row in table.rows:
            documents[row.submission.entry_id] = {
                **_feedback_head(outcome, table),
                "hotkey": row.submission.hotkey,
                "uid": row.submission.uid,
                "refusal": None,
                **_row(row),
                "needed": dict(row.needed),
                "reasons": dict(row.reasons),
                "clips": _clips(evaluations[row.submission.entry_id]),
                "log": evaluations[row.submission.entry_id].log,
            }
        for refusal in table.refusals:
            if refusal.hotkey in refused:
                continue
            refused.add(refusal.hotkey)
            known = refusal.uid is not None
            documents[f"{refusal.uid}-{refusal.hotkey[:12]}" if known else f"x-{refusal.hotkey}"] = {
                **_feedback_head(outcome, table),
                "hotkey": refusal.hotkey,
                "uid": refusal.uid,
                "refusal": _refusal(refusal),
                "needed": _needed_by_one_more(table),
            }
    return documents


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(document, indent=1, sort_keys=False, allow_nan=False) + "\n")


def _feedback_head(outcome: RoundOutcome, table: Table) -> dict[str, Any]:
    best = table.best
    rows = {row.submission.entry_id: row for row in table.rows}
    winners = {d.metric: rows.get(d.winner.entry_id) for d in table.decisions if d.winner is not None}
    return {
        "schema": FEEDBACK_SCHEMA,
        "round": outcome.plan.round.id,
        "competition": table.competition.id,
        "seed": table.seed,
        "set_digest": table.set_digest,
        "unprocessed": {m: _estimate(e) for m, e in table.unprocessed.estimates.items()},
        "best": _row(best) if best else None,
        "winners": {metric: _row(row) for metric, row in winners.items() if row is not None},
        "decisions": {d.metric: d.sentence for d in table.decisions},
    }


def _competition(table: Table) -> dict[str, Any]:
    competition = table.competition
    return {
        "id": competition.id,
        "title": competition.title,
        "metric_weights": dict(competition.metric_weights),
        "max_score": competition.max_score,
        "remainder": competition.remainder,
        "seed": table.seed,
        "set_digest": table.set_digest,
        "entries": [{**_row(row), "reasons": dict(row.reasons), "needed": dict(row.needed)} for row in table.rows],
        "unprocessed": _row(table.unprocessed),
        "decisions": [
            {
                "metric": d.metric,
                "winner": d.winner.hotkey if d.winner else None,
                "sentence": d.sentence,
                "evidence": dict(d.evidence),
            }
            for d in table.decisions
        ],
        "refused": [{**_refusal(refusal), "needed": _needed_by_one_more(table)} for refusal in table.refusals],
        "suspected": [_refusal(found.refusal()) for found in table.suspected],
    }


def _row(row: Row) -> dict[str, Any]:
    submission = row.submission
    return {
        "rank": row.rank,
        "entry": row.label,
        "hotkey": submission.hotkey if row.rank is not None else None,
        "uid": submission.uid if row.rank is not None else None,
        "model": str(submission.source) if row.rank is not None else None,
        "block": submission.block if row.rank is not None else None,
        "ranks": {name: [ranks.best, ranks.worst] for name, ranks in row.ranks.items()},
        "share": row.share,
        "metrics": {name: _estimate(estimate) for name, estimate in row.estimates.items()},
        "clips": row.clips,
        "failures": dict(row.failures),
        "flags": [asdict(flag) for flag in row.flags],
        "timing": asdict(row.timing) | {"real_time_factor": row.timing.real_time_factor},
    }


def _clips(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [_clip(clip.clip_id, clip.scores, clip.failure) for clip in evaluation.clips]


def _clip(clip_id: str, scores: Mapping[str, float] | None, failure: Any) -> dict[str, Any]:
    return {
        "id": clip_id,
        "scores": None if scores is None else dict(scores),
        "failure": None if failure is None else {"code": failure.code, "detail": failure.detail},
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _refusal(refusal: Refusal) -> dict[str, Any]:
    return {
        "entry": refusal.label,
        "hotkey": refusal.hotkey,
        "uid": refusal.uid,
        "code": refusal.code,
        "sentence": refusal.sentence,
        "remedy": remedy_of(refusal.code),
        "evidence": dict(refusal.evidence),
    }


def _needed_by_one_more(table: Table) -> dict[str, float]:
    """By metric, the mean that an entry would have needed to win had it not been refused."""
    found = {d.metric: d.evidence.get("mean_to_win") for d in table.decisions}
    return {metric: float(mean) for metric, mean in found.items() if mean is not None}


def _metric(name: str) -> dict[str, Any]:
    facts = metric(name)
    return {
        "title": facts.title,
        "unit": facts.unit,
        "direction": facts.direction.value,
        "low": facts.low,
        "high": facts.high,
        "floor": facts.floor,
    }


def scoring_versions() -> dict[str, str]:
    """Of this program and of the packages that scores depend on."""
    found = {"soundsright": __version__, "python": platform.python_version()}
    for package in _SCORING_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
