"""Runs a model of a verdict again, and compares its answers with those that were published. Levels are in dB."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from soundsright.core.errors import EntryRefused
from soundsright.core.federation import JudgedRow
from soundsright.core.results import Failure
from soundsright.core.submission import Submission
from soundsright.services.federation.audit_files import ListedAnswer
from soundsright.services.federation.audit_rows import Audit, differs
from soundsright.services.replay import LEAST_AGREEMENT_DB, GivenAnswers, RunPorts, match_of
from soundsright.services.rounds import read_wav


def run_again(audit: Audit, row: JudgedRow) -> None:
    """Run the model of a row on its set, and a second time on the clips that it answered differently.

    Raises:
        Differs: an answer is another one.
        InfrastructureFault: the hub or the sandbox failed.
    """
    name = f"{row.competition}: answers of {row.hotkey}"
    answers = _answers(audit, row, 1)
    if answers is None:
        audit.findings.unchecked.append((name, "The hub does not give its model."))
        return
    listed = audit.listed.answers[row.hotkey]
    given = dict(answers.to(audit.sets[row.competition].clip_ids))
    other = []
    for clip_id, answer in given.items():
        recorded = listed[clip_id]
        if _text(answer) == _text(recorded):
            audit.findings.answers += 1
            audit.findings.equal += 1
        elif not isinstance(recorded, str) and isinstance(answer, str):
            other.append(clip_id)
        elif isinstance(answer, Failure) and answer.is_limit:
            why = "The model reached a limit of time or memory, which depends on the machine."
            audit.findings.unchecked.append((name, why))
        else:
            differs(row.competition, "answers", f"{row.hotkey}, clip {clip_id}", _text(recorded), _text(answer))
    if other:
        _check_agreement(audit, row, {clip_id: given[clip_id] for clip_id in other}, answers)


def _answers(audit: Audit, row: JudgedRow, run: Literal[1, 2]) -> GivenAnswers | None:
    """The answers of the row's model, which is fetched by its revision. None if the hub refuses it."""
    ports, clips = audit.ports, audit.sets[row.competition]
    assert ports.hub is not None
    assert ports.sandbox is not None
    entry = Submission(row.uid, row.hotkey, clips.competition, row.model, row.block)
    try:
        model = ports.hub.fetch(entry, limits=audit.settings.organiser.fetch_limits)
    except EntryRefused:
        return None
    again = RunPorts(ports.hub, ports.sandbox, ports.pool, audit.settings.material, ports.folder)
    return GivenAnswers(audit.settings.plan(audit.verdict.task), model, clips, again, run)


def _check_agreement(audit: Audit, row: JudgedRow, given: Mapping[str, str | Failure], first: GivenAnswers) -> None:
    """Compare answers that differ in bits with the published audio, as a replay of a round does.

    `given` are these answers of the first run, by clip id.
    """
    name = f"{row.competition}: answers of {row.hotkey}"
    paths = audit.stored_answers(row)
    second = _answers(audit, row, 2)
    if paths is None or second is None:
        why = "The answers have other digests, and there is no audio or no model to compare them with."
        audit.findings.unchecked.append((name, why))
        return
    repeated = dict(second.to(tuple(sorted(given))))
    levels: list[float] = []
    for clip_id, answer in given.items():
        level_db = _level_db(audit, row, clip_id, first, paths[clip_id])
        if level_db is not None:
            audit.findings.answers += 1
            levels.append(level_db)
        elif repeated[clip_id] != answer:
            audit.findings.unchecked.append((name, "The model does not agree with itself from run to run."))
        else:
            least = f"at least {LEAST_AGREEMENT_DB:g} dB of agreement"
            differs(row.competition, "answers", f"{row.hotkey}, clip {clip_id}", least, "less")
    if levels:
        audit.findings.remarks.append(
            f"{name} differ in bits on {len(levels)} clips, and agree to {min(levels):.1f} dB or more."
        )


def _level_db(audit: Audit, row: JudgedRow, clip_id: str, own: GivenAnswers, published: Path) -> float | None:
    """The level to which an answer agrees with the published one; None if that is too low."""
    clips = audit.sets[row.competition]
    match = match_of(
        clips.clean(clip_id).samples,
        clips.degraded(clip_id).audio.samples,
        own.samples(clip_id),
        read_wav(published).samples,
        clips.competition.sample_rate_hz,
    )
    return match.level_db if match.agrees else None


def _text(answer: ListedAnswer | str | Failure) -> str:
    """The SHA-256 of an answer, or its failure. A listed failure is a code, and a given answer a digest."""
    if isinstance(answer, Failure):
        return f"the failure {answer.code}"
    if isinstance(answer, str):
        return answer if len(answer) == 64 else f"the failure {answer}"
    return answer.sha256
