"""A round of an executor that was really judged: its table, and its results with the executor's signature."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.competition import PUBLISHED
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.images import Challenge, ImageRow, MeasuredImage, PublishedTable, ScoringRun, SubmittedImage
from soundsright.core.results import ClipResult
from soundsright.rules import organiser_of_toml
from soundsright.services.executor.context import JudgedSet
from soundsright.services.executor.judging import ImageJudge
from soundsright.services.executor.publishing import Table
from soundsright.services.executor.results import MeasuredEntry, RoundResults, signed_results

CLIPS = 24
SEED_BLOCK = 180 * len(PUBLISHED)
"""A block in which it is the turn of the first competition."""
ROUND = f"images-{SEED_BLOCK}"


def signed_round(
    qualities: Mapping[SubmittedImage, float],
    key: Hotkey,
    *,
    speed: float = 1.0,
    reference_s: float | None = None,
    block_hash: str = "0x" + "5" * 64,
) -> tuple[PublishedTable, bytes]:
    """The table and the signed results of a round whose images have these qualities, from 0 to 1.

    On a machine of twice the speed, runs take half as long. `block_hash` is that of the seed's block.
    """
    published = files("soundsright").joinpath("rulesets/published.toml").read_text()
    organiser = organiser_of_toml(published, source="published.toml", now_s=0.0)
    competition = PUBLISHED[0]
    judged = JudgedSet(ExecutorRules(), organiser.ruleset, competition.metric_weights, _clips(0.2))
    judge = ImageJudge(judged)
    challenge = Challenge(ROUND, SEED_BLOCK, block_hash, competition.id, CLIPS, "c" * 64)
    measured = {
        submission: _measured(quality, 6.0 / speed, reference_s) for submission, quality in qualities.items()
    }
    entries = tuple(
        MeasuredEntry(ImageRow(submission, judge.metrics(one)), one) for submission, one in measured.items()
    )
    results = RoundResults(challenge, judged, {"cpu": "test"}, "d" * 64, "", entries)
    rows = results.ranked(judge)
    table = Table(rows, tuple(row.submission.entry_id for row in rows), ())
    return PublishedTable(ROUND, rows, "v1"), signed_results(results, table, key).encode()


def _measured(quality: float, time_s: float, reference_s: float | None) -> MeasuredImage:
    names = tuple(clip.clip_id for clip in _clips(quality))
    runs = tuple(ScoringRun(n, names[n::2], time_s, 24.0, 5_000_000_000) for n in range(2))
    return MeasuredImage(runs, _clips(quality), reference_s=reference_s)


def _clips(quality: float) -> tuple[ClipResult, ...]:
    """One result for each clip. The clips differ a little, as real ones do."""
    own = {f"clip{n:02}": quality + 0.001 * (n % 5) for n in range(CLIPS)}
    return tuple(ClipResult(name, scores={"PESQ_WB": 1 + 3.5 * q, "ESTOI": q}) for name, q in own.items())
