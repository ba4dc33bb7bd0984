"""Computes the rows of a verdict again from published audio, and from sets that were drawn again.

Everything comes from the validator's bucket, which may be hostile: what is read is bounded, and audio counts only
if it has the digest that the signed verdict stands for. Means must come out equal after rounding. Sizes are in
bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from soundsright.core.errors import BucketMissing, BundleRefused, ModelFault
from soundsright.core.federation import JudgedRow, Verdict, has_passed, rounded_means
from soundsright.core.ports import Bucket, ModelHub, Pool, Runner
from soundsright.services.federation.audit_files import ListedFile, TaskList
from soundsright.services.federation.judging import sha256_of_wav
from soundsright.services.federation.task import TaskSettings
from soundsright.services.federation.task_files import clip_numbers, generated_stem, original_stem
from soundsright.services.records import wav_of
from soundsright.services.rounds import (
    ClipSet,
    Difference,
    make_folder,
    read_wav,
    result_of,
    start_scoring,
    start_unprocessed,
)

MAX_STORED_BYTES = 64 << 20
"""The most bytes of a stored signal."""


@dataclass(frozen=True)
class AuditPorts:
    """The ports of an audit. `folder` receives sets and audio. With hub and sandbox, models are run again.

    `progress` receives the number of rows that are done, and of all rows.
    """

    bucket: Bucket
    pool: Pool
    folder: Path
    workers: int = 1
    hub: ModelHub | None = None
    sandbox: Runner | None = None
    progress: Callable[[int, int], None] = lambda _done, _total: None


@dataclass
class Findings:
    """The findings so far."""

    scores: int = 0
    answers: int = 0
    equal: int = 0
    unchecked: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class Differs(Exception):
    """The first difference was found."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference))
        self.difference = difference


def differs(competition: str, step: str, name: str, recorded: object, audited: object) -> NoReturn:
    """End the audit with a difference.

    Raises:
        Differs: always.
    """
    raise Differs(Difference(competition, step, name, recorded, audited))


@dataclass(frozen=True)
class Audit:
    """The scores of one verdict, computed again from sets that were drawn again."""

    verdict: Verdict
    settings: TaskSettings
    listed: TaskList
    sets: Mapping[str, ClipSet]
    ports: AuditPorts
    findings: Findings

    @property
    def numbers(self) -> Mapping[tuple[str, str], str]:
        return clip_numbers({competition: clips.clip_ids for competition, clips in self.sets.items()})

    def check_inputs(self) -> None:
        """Check that the published inputs are those of the sets."""
        for (competition, clip_id), number in self.numbers.items():
            own = sha256_of_wav(self.sets[competition].folder / "degraded" / f"{clip_id}.wav")
            listed = self.listed.inputs.get((competition, clip_id))
            if listed is None or listed.sha256 != own:
                differs(competition, "inputs", f"clip {clip_id}", listed and listed.sha256, own)
            if listed.kind:
                self.stored(competition, original_stem(self.verdict.task, number), listed)

    def check_unprocessed(self) -> None:
        """Check the means of the input itself."""
        for competition_id, clips in self.sets.items():
            jobs = start_unprocessed(clips, self.settings.metrics, self.ports.pool)
            means = self._means([job.result().scores for job in jobs])
            self._check_means(competition_id, "the unprocessed input", means)

    def check_row(self, row: JudgedRow) -> None:
        """Check one row: its means, its failures, and whether it passed."""
        clips, answers = self.sets[row.competition], self.listed.answers.get(row.hotkey, {})
        if sorted(answers) != list(clips.clip_ids):
            differs(row.competition, "answers", f"clips of {row.hotkey}", sorted(answers), list(clips.clip_ids))
        failed = sum(isinstance(answer, str) for answer in answers.values())
        if failed != row.failures:
            differs(row.competition, "rows", f"failures of {row.hotkey}", row.failures, failed)
        paths = self.stored_answers(row)
        if paths is None:
            why = "Its audio is not all in the bucket."
            self.findings.unchecked.append((f"{row.competition}: scores of {row.hotkey}", why))
            return
        jobs = [
            start_scoring(clips, clip_id, path, self.settings.metrics, self.ports.pool)
            for clip_id, path in paths.items()
        ]
        scores: list[Mapping[str, float]] = [{} for _ in range(failed)]
        for job in jobs:
            try:
                scores.append(result_of(job).scores)
            except ModelFault:
                scores.append({})
        means = self._means(scores)
        self._check_means(row.competition, row.hotkey, means, row.means)
        passed = has_passed(means, self.verdict.unprocessed[row.competition], failed)
        if passed != row.passed:
            differs(row.competition, "rows", f"passed of {row.hotkey}", row.passed, passed)
        self.findings.scores += len(clips.clip_ids)

    def stored_answers(self, row: JudgedRow) -> dict[str, Path] | None:
        """The WAV files of a row's answers by clip id, without those that failed. None if one is not stored."""
        folder = self.ports.folder / "published" / row.hotkey
        make_folder(folder)
        paths: dict[str, Path] = {}
        for clip_id, answer in sorted(self.listed.answers.get(row.hotkey, {}).items()):
            if isinstance(answer, str):
                continue
            stem = generated_stem(self.verdict.task, row.hotkey, self.numbers[row.competition, clip_id])
            wav = self.stored(row.competition, stem, answer) if answer.kind else None
            if wav is None:
                return None
            paths[clip_id] = folder / f"{clip_id}.wav"
            paths[clip_id].write_bytes(wav)
            self._check_form(row, clip_id, paths[clip_id])
        return paths

    def _check_form(self, row: JudgedRow, clip_id: str, path: Path) -> None:
        """Check that an answer has the rate and the length of its input."""
        own, given = self.sets[row.competition].degraded(clip_id).audio, read_wav(path)
        forms = [(audio.sample_rate_hz, audio.samples.shape) for audio in (given, own)]
        if forms[0] != forms[1]:
            differs(row.competition, "answers", f"form of {row.hotkey}, clip {clip_id}", *map(str, forms))

    def stored(self, competition: str, stem: str, listed: ListedFile) -> bytes | None:
        """The WAV file of a stored signal; None if the bucket does not have it."""
        key = f"{stem}.{listed.kind}"
        try:
            return wav_of(self.ports.bucket.get(key, MAX_STORED_BYTES), listed.kind, listed.sha256)
        except BucketMissing:
            return None
        except BundleRefused:
            differs(competition, "audio", key, listed.sha256, "other audio")

    def _means(self, scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
        floors = self.settings.floors()
        return rounded_means(
            {m: math.fsum(clip.get(m, floors[m]) for clip in scores) / len(scores) for m in self.settings.metrics}
        )

    def _check_means(
        self,
        competition: str,
        name: str,
        means: Mapping[str, float],
        recorded: Mapping[str, float] | None = None,
    ) -> None:
        said = self.verdict.unprocessed[competition] if recorded is None else recorded
        for metric, mean in means.items():
            if said.get(metric) != mean:
                differs(competition, "means", f"{metric} of {name}", said.get(metric), mean)
        if len(said) != len(means):
            differs(competition, "means", f"metrics of {name}", sorted(said), sorted(means))
