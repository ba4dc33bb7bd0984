"""An executor on fakes: a chain, a board, a hub, a sandbox, and a meter whose images score as they are named.

An image `lab/q70-t3` has the quality 0.70 and needs 3 s for each run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.copies import DuplicateRule, Likeness
from soundsright.core.competition import PUBLISHED, Competition
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.entry_rules import EntryRules
from soundsright.core.errors import InfrastructureFault, RequestRefused
from soundsright.core.executor_rules import ExecutorRules, executor_rules
from soundsright.core.image_rounds import image_round_at
from soundsright.core.images import Challenge, ImageMetrics, MeasuredImage, ScoringRun, SubmittedImage
from soundsright.core.material import Material
from soundsright.core.ports import Records, StateStore
from soundsright.core.results import ClipResult, Failure
from soundsright.core.rulesets import SOUNDSRIGHT_V3
from soundsright.core.sources import ImageRef
from soundsright.core.submission import FetchedModel
from soundsright.ranking import ImageLead, efficiency_score
from soundsright.services.executor.checking import ResultsCheck
from soundsright.services.executor.context import ExecutorContext, JudgedSet, JudgeOf
from soundsright.services.executor.redrawing import Redrawing
from soundsright.services.executor.results import RoundResults, open_results
from soundsright.services.executor.run_records import MeasurementLog, RunStep, StepLog
from soundsright.services.executor.service import ExecutorService
from soundsright.services.executor.store import ExecutorStore
from soundsright.services.records import EXECUTOR_RESULTS, sign_document
from soundsright.services.rounds import ClipSet, draw_to_disk, material_digest, score_files
from soundsright.testing import (
    Behaviour,
    FakeChain,
    FakeSandbox,
    InlinePool,
    MemoryRecords,
    MemoryState,
    VirtualClock,
)
from soundsright.testing.image_services import ScriptedBoard
from soundsright.testing.simulation.image_world import ImitatedHub
from soundsright.testing.simulation.world import draw_fake_clips, score_fake_clip

COMPETITION = PUBLISHED[0]
RULES = executor_rules(update_blocks=10, scoring_runs=2, warmup_runs=0, run_audio_s=3, carry_over=2, pull_tries=2)
CLIPS = 4
START_S = 1_000_000.0


def entry(hotkey: str, quality: int, *, time_s: int = 1, at_s: int = 1) -> SubmittedImage:
    """A submission `at_s` seconds after the chain began, whose image has that quality in percent."""
    image = ImageRef(f"lab/q{quality}-t{time_s}", f"{hotkey}{at_s}".encode().hex().ljust(64, "0")[:64])
    return SubmittedImage(int(START_S) + at_s, hotkey, image)


class Account:
    address = "5Executor"

    def sign(self, message: bytes) -> bytes:
        return (message * 64)[:64]


def valid_signature(address: str, message: bytes, signature: bytes) -> bool:
    return address == Account.address and signature == Account().sign(message)


class Board(ScriptedBoard):
    """A coordinator whose rounds follow from the chain."""

    def __init__(self, chain: FakeChain, rules: ExecutorRules, corpus_digest: str) -> None:
        super().__init__()
        self._chain, self._rules, self._corpus_digest = chain, rules, corpus_digest
        self.changes: dict[str, Any] = {}
        self.clips = CLIPS

    def challenge(self) -> Challenge:
        self._answer("challenge")
        due = image_round_at(self._chain.finalized().number, self._rules.update_blocks)
        if due is None:
            raise RequestRefused("not_final", "The block of the seed is not final yet", status=409)
        block_hash = self._chain.block_hash(due.seed_block)
        facts = {
            "round_id": due.id,
            "seed_block": due.seed_block,
            "block_hash": block_hash,
            "competition_id": COMPETITION.id,
            "clips": self.clips,
            "corpus_digest": self._corpus_digest,
        }
        return Challenge(**{**facts, **self.changes})


class Sandbox(FakeSandbox):
    """A sandbox whose pulls fail as the test says: `faults` are by hotkey, one for each try."""

    def __init__(self) -> None:
        super().__init__(lambda _model: Behaviour())
        self.faults: dict[str, list[Exception]] = {}
        self.pulls: list[str] = []

    def prepare(self, model: FetchedModel) -> None:
        hotkey = model.submission.hotkey
        self.pulls.append(hotkey)
        if self.faults.get(hotkey):
            raise self.faults[hotkey].pop(0)


@dataclass
class Meter:
    """A meter that records each run. `failures` and `faults` are by hotkey; `runs` counts every run.

    `luck` has, by hotkey, the part of the image's own time that each run takes, and `unsteady` the hotkeys whose
    runs met a machine that changed its speed.
    """

    rules: ExecutorRules
    failures: dict[str, Failure] = field(default_factory=dict)
    faults: dict[str, list[InfrastructureFault]] = field(default_factory=dict)
    runs: dict[tuple[str, str, int], int] = field(default_factory=dict)
    before_run: Callable[[str, int], object] = lambda _hotkey, _number: None
    luck: dict[str, Sequence[float]] = field(default_factory=dict)
    unsteady: set[str] = field(default_factory=set)

    def measure(self, model: FetchedModel, clips: ClipSet, folder: Path, log: MeasurementLog) -> MeasuredImage:
        hotkey = model.submission.hotkey
        quality, time_s = map(int, re.findall(r"\d+", str(model.submission.source).partition("@")[0]))
        if failure := self.failures.get(hotkey):
            return MeasuredImage((), (), failure)
        if self.faults.get(hotkey):
            raise self.faults[hotkey].pop(0)
        runs = []
        parts = [clips.clip_ids[n :: self.rules.scoring_runs] for n in range(self.rules.scoring_runs)]
        for number, part in enumerate(parts, start=1):
            step = log.run(1, number)
            if step is None:
                assert isinstance(log, StepLog)
                self.before_run(hotkey, number)
                key = log.round_id, hotkey, number
                self.runs[key] = self.runs.get(key, 0) + 1
                part_of_time = self.luck.get(hotkey, [1.0] * self.rules.scoring_runs)[number - 1]
                step = RunStep(ScoringRun(number, part, time_s * part_of_time, 30.0, 1_000_000_000))
                log.record_run(1, number, step)
            assert step.run is not None
            runs.append(step.run)
        scores = {"PESQ_WB": 1 + 3.5 * quality / 100, "ESTOI": quality / 100}
        results = tuple(ClipResult(c, scores=scores) for c in clips.clip_ids)
        return MeasuredImage(tuple(runs), results, unsteady=hotkey in self.unsteady)


@dataclass(frozen=True)
class Judge:
    """A judge that protects the holder from leads up to 0.05."""

    judged: JudgedSet

    def metrics(self, measured: MeasuredImage) -> ImageMetrics:
        if measured.failure is not None:
            return ImageMetrics(0.0, 0.0, error=measured.failure.code, detail=measured.failure.detail)
        quality = sum(clip.scores["ESTOI"] for clip in measured.clips if clip.scores) / len(measured.clips)
        times_s = [run.time_s for run in measured.runs]
        score = efficiency_score(quality, times_s, [run.peak_gb for run in measured.runs], self.judged.rules)
        return ImageMetrics(
            score.score,
            quality,
            score.factor,
            inference_time_sec=score.time_s,
            real_time_factor=score.time_s / 30.0,
            peak_vram_gb=score.memory_gb,
        )

    def winner(self, ranked: Sequence[str], measured: Mapping[str, MeasuredImage], holder: str) -> str | None:
        if holder not in ranked:
            return ranked[0] if ranked else None
        scores = {name: self.metrics(measured[name]).final_score for name in ranked}
        return next((name for name in ranked if scores[name] > scores[holder] + 0.05), holder)

    def copy_leads(self, original: MeasuredImage, copies: Mapping[str, MeasuredImage]) -> dict[str, ImageLead]:
        before = self.metrics(original).final_score
        leads = {name: self.metrics(copy).final_score - before for name, copy in copies.items()}
        return {name: ImageLead(lead, None, lead > 0.05) for name, lead in leads.items()}


@dataclass
class World:
    """An executor and what is around it. A new `World` with the same state and records is a restart."""

    folder: Path
    rules: ExecutorRules = RULES
    state: StateStore = field(default_factory=MemoryState)
    records: Records = field(default_factory=MemoryRecords)
    entry_rules: EntryRules = field(default_factory=EntryRules)
    chain: FakeChain = field(default_factory=lambda: FakeChain(start_s=START_S, unfinal=0))
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(START_S + 100_000))
    competitions: tuple[Competition, ...] = (COMPETITION,)
    only: tuple[str, ...] = ()
    judge_of: JudgeOf = Judge
    clips: int = CLIPS
    material: Material = field(default_factory=Material)

    def __post_init__(self) -> None:
        self.meter, self.sandbox = Meter(self.rules), Sandbox()
        self.board = Board(self.chain, self.rules, material_digest(self.material))
        self.board.clips = self.clips
        self.problems: list[str] = []
        self.alike: list[tuple[str, str]] = []
        self.context = ExecutorContext(
            CompetitionRules(self.competitions, SOUNDSRIGHT_V3, entry_rules=self.entry_rules, executor=self.rules),
            ExecutorStore(self.state, self.records, self.clock),
            self.board,
            self.chain,  # type: ignore[arg-type]
            Account(),
            ImitatedHub(self.folder),
            self.sandbox,
            self.pool(),
            self.clock,
            lambda _competition: self.meter,
            self.judge_of,
            self.folder,
            material=self.material,
            machine={"cpu": "fake"},
            alike=self._alike,
            only=self.only,
        )
        self.service = ExecutorService(self.context, problem=self._problem)

    def _alike(self, _clips: ClipSet, _folder: Path, measured: Mapping[str, MeasuredImage]) -> list[Likeness]:
        """The pairs of `alike` that took part, which are given by hotkey."""
        by_hotkey = {entry_id.rpartition("-")[0]: entry_id for entry_id in measured}
        pairs = [pair for pair in self.alike if by_hotkey.keys() >= set(pair)]
        return [Likeness(by_hotkey[a], by_hotkey[b], DuplicateRule.NEAR_COPY) for a, b in pairs]

    def pool(self) -> InlinePool:
        """A pool that scores fake clips, and draws them too unless the material is private."""
        fakes: dict[Any, Any] = {score_files: score_fake_clip}
        return InlinePool(fakes if self.material.is_private else {draw_to_disk: draw_fake_clips, **fakes})

    def check(self, material: Material | None = None, *, pays_on_public: bool = False) -> ResultsCheck:
        """A validator's check of the executor's results. It has the executor's material, or another one."""
        return ResultsCheck(
            self.context.organiser,
            self.chain,  # type: ignore[arg-type]
            self.material if material is None else material,
            pays_on_public,
            redrawing=Redrawing(self.folder / "check", lambda: nullcontext(self.pool())),
        )

    def results(self, change: Callable[[dict[str, Any]], object] = lambda _document: None) -> RoundResults:
        """The signed results of the last round, with a change that the executor signed."""
        raw = self.service.results(self.service.table().round_id)
        assert raw is not None
        document = json.loads(json.loads(raw)["document"])
        change(document)
        signed = sign_document(EXECUTOR_RESULTS, document, Account())
        return open_results(signed.encode(), valid_signature=valid_signature)

    def _problem(self, sentence: str | None) -> None:
        if sentence is not None:
            self.problems.append(sentence)

    def play(self, *entries: SubmittedImage, blocks: int = 10) -> None:
        """Let these images stand, make blocks, and do what there is to do."""
        self.service.take(entries)
        self.chain.advance(blocks)
        self.clock.sleep(1_000)
        self.service.tick()

    def shown(self) -> list[tuple[str, float | str]]:
        """The hotkeys of the table in their order, each with its score or its error."""
        rows = self.service.table().rows
        return [(row.submission.hotkey, row.metrics.error or round(row.metrics.final_score, 3)) for row in rows]
