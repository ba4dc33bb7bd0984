"""Audits one task of a validator: draws the sets again, scores the published audio again, and runs models again."""

from __future__ import annotations

from soundsright.core.errors import BucketMissing, RequestRefused
from soundsright.core.federation import Verdict
from soundsright.core.ports import Bucket
from soundsright.services.federation.audit_files import TaskList, read_task_list
from soundsright.services.federation.audit_rows import Audit, AuditPorts, Differs, Findings, differs
from soundsright.services.federation.audit_runs import run_again
from soundsright.services.federation.judging import answers_root
from soundsright.services.federation.task import TaskSettings, drawn_sets
from soundsright.services.replay import ANSWERS, SCORES, Depth, ReplayReport, counted
from soundsright.services.rounds import (
    ClipSet,
    Difference,
    material_digest,
)


def audited(verdict: Verdict, settings: TaskSettings, block_hash: str, ports: AuditPorts) -> ReplayReport:
    """Compare a verdict whose signature was verified with what its seed, its audio and its models give here.

    `block_hash` is the hash of the task's first block, as this machine's chain has it.

    Raises:
        BucketForbidden, BucketUnavailable: the bucket could not be read.
        InfrastructureFault: the disk, a worker, the hub or the sandbox failed.
        UsageError: the recordings here cannot be read.
    """
    findings = Findings()
    difference: Difference | None = None
    runs_models = ports.hub is not None and ports.sandbox is not None
    try:
        _check_header(verdict, settings, block_hash)
        listed = _listed(verdict, ports.bucket)
        _check_answers(verdict, listed)
        sets = _sets(verdict, settings, ports, findings)
        if sets is not None:
            audit = Audit(verdict, settings, listed, sets, ports, findings)
            audit.check_inputs()
            audit.check_unprocessed()
            for done, row in enumerate(verdict.rows, start=1):
                audit.check_row(row)
                if runs_models:
                    run_again(audit, row)
                ports.progress(done, len(verdict.rows))
    except Differs as found:
        difference = found.difference
    checked = {SCORES: findings.scores}
    if runs_models:
        checked |= {ANSWERS: findings.answers, "of them equal by their digest": findings.equal}
    depth = Depth.RUN if runs_models else Depth.SCORE
    return ReplayReport(depth, checked, difference, counted(findings.unchecked), remarks=tuple(findings.remarks))


def _check_header(verdict: Verdict, settings: TaskSettings, block_hash: str) -> None:
    own_hash = block_hash.removeprefix("0x")
    if verdict.block_hash.removeprefix("0x") != own_hash:
        differs("", "seed", "block_hash", verdict.block_hash, block_hash)
    if verdict.rules != settings.rules_digest:
        differs("", "rules", "digest", verdict.rules, settings.rules_digest)
    own = sorted(competition.id for competition in settings.competitions)
    if sorted(verdict.sets) != own:
        differs("", "sets", "competitions", sorted(verdict.sets), own)


def _listed(verdict: Verdict, bucket: Bucket) -> TaskList:
    try:
        return read_task_list(bucket, verdict.task)
    except BucketMissing:
        differs("", "files", "metadata.json", "a list of the task's files", "no such object")
    except RequestRefused as refused:
        differs("", "files", "metadata.json", "a list of the task's files", refused.sentence)


def _check_answers(verdict: Verdict, listed: TaskList) -> None:
    """Check that the listed answers are those that the signed verdict stands for."""
    for row in verdict.rows:
        own = listed.answers.get(row.hotkey, {})
        lines = [
            {"clip": clip, "failure": answer}
            if isinstance(answer, str)
            else {"clip": clip, "sha256": answer.sha256}
            for clip, answer in sorted(own.items())
        ]
        root = answers_root(lines)
        if root != row.answers:
            differs(row.competition, "answers", f"the listed answers of {row.hotkey}", row.answers, root)


def _sets(
    verdict: Verdict, settings: TaskSettings, ports: AuditPorts, findings: Findings
) -> dict[str, ClipSet] | None:
    """The sets, drawn again. None if this machine has other recordings."""
    own, stated = material_digest(settings.material), verdict.material
    if stated is None or own != stated.digest:
        said = "none" if stated is None else stated.digest[:12]
        why = f"The recordings here have the digest {own[:12]}, and those of the task {said}."
        findings.unchecked.append(("sets and scores", why))
        return None
    speech = {} if settings.material.speech is None else dict(settings.material.speech.facts)
    if speech != stated.speech:
        findings.unchecked.append(("sets and scores", "Its speech is spoken by another program than here."))
        return None
    sets = drawn_sets(settings, verdict.task, verdict.block_hash, ports.folder, ports.pool, jobs=ports.workers)
    for competition_id, clips in sets.items():
        if clips.digest == verdict.sets[competition_id]:
            continue
        is_spoken = settings.material.speech_for(clips.competition.sample_rate_hz) is not None
        if is_spoken and not speech.get("sound"):
            findings.unchecked.append(("sets and scores", "Its speech never sounds the same twice."))
            return None
        differs(competition_id, "set", "digest", verdict.sets[competition_id], clips.digest)
    return sets
