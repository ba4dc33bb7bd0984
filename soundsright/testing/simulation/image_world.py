"""A made-up subnet of images: the executor's real services in one process, on imitated images and an own clock.

An image `sim/q70-t3` has the quality 0.70 and needs three ticks of 2^-16 s for a clip. With `-crashes` it ends in
each run, with `-truncates` it loses audio, and with `-missing` it cannot be pulled. Times are in seconds, blocks
are counted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.emission import EmissionRules
from soundsright.core.errors import ImageNotPulled, ModelCrashed
from soundsright.core.executor_rules import executor_rules
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.images import Challenge, PublishedTable, SubmittedImage, submitted_image
from soundsright.core.material import Material
from soundsright.core.ports import (
    AcceptedImage,
    Account,
    Answer,
    Clock,
    DegradedClip,
    LiveChain,
    Records,
    SandboxLimits,
    ScoreTable,
    StateStore,
    SubmissionBoard,
    TakenSubmissions,
)
from soundsright.core.results import Failure, Timing
from soundsright.core.rulesets import SOUNDSRIGHT_V5
from soundsright.core.sources import ImageRef
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.executor import (
    ExecutorContext,
    ExecutorService,
    ExecutorStore,
    ExecutorSubsystem,
    ImageJudge,
    ImageMeter,
    ImageOrder,
    ResultsCheck,
    SeenRounds,
    SignedOrder,
)
from soundsright.services.http import Health
from soundsright.services.rounds import draw_to_disk, material_digest, score_files
from soundsright.services.subnet_api import Coordinator, CoordinatorContext
from soundsright.services.validator import PayingService, PaymentContext
from soundsright.testing import Behaviour, FakeSandbox, InlinePool
from soundsright.testing.fakes import FakeRunningModel
from soundsright.testing.simulation.world import draw_fake_clips, score_fake_clip

EXECUTOR_HOTKEY = "executor"
BURNS = "owner"
RULES = executor_rules(
    update_blocks=60,
    weight_blocks=60,
    scoring_runs=4,
    warmup_runs=1,
    run_audio_s=6,
    carry_over=2,
    pull_tries=2,
    cooldown_s=1_200,
)
CLIPS = 32
"""Enough clips of one second for one warm-up run and four scoring runs of 6 s."""
ORGANISER = CompetitionRules((PUBLISHED[0],), SOUNDSRIGHT_V5, executor=RULES)

_TICK_S = 2.0**-16
"""Sums of it are exact, so the time of a run does not depend on the runs before it in its process."""
_MEMORY_BYTES = 1_000_000_000
_SETTLE_S = 60.0


def image_reference(quality: int, ticks: int, number: int, kind: str = "") -> ImageRef:
    """An image of that quality in percent, which needs that many ticks for a clip. `number` makes its digest."""
    name = f"sim/q{quality}-t{ticks}" + (f"-{kind}" if kind else "")
    return ImageRef(name, hashlib.sha256(f"{name}:{number}".encode()).hexdigest())


@dataclass(frozen=True)
class SimulatedKey:
    """An account whose signatures anybody can compute, so that they are the same in every process."""

    address: str

    def sign(self, message: bytes) -> bytes:
        return hashlib.sha512(self.address.encode() + b":" + message).digest()


def is_simulated_signature(address: str, message: bytes, signature: bytes) -> bool:
    """Whether a `SimulatedKey` with this address made the signature."""
    return SimulatedKey(address).sign(message) == signature


class ImitatedHub:
    """The `ModelHub` port of images. All of them exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        assert isinstance(submission.source, ImageRef)
        return FetchedModel(submission, self._folder, submission.source.sha256, ())

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        return self.fetch(submission, limits=FetchLimits())

    def forget(self, keep: Collection[str]) -> int:
        return 0


class ImitatedImages(FakeSandbox):
    """The `Runner` port. Images behave as their names say.

    `observe` gets `before` or `after`, hotkey and clip ids at each run. A start has no clips.
    """

    name = "imitated"

    def __init__(self, observe: Callable[[str, str, tuple[str, ...]], None] = lambda *_: None) -> None:
        super().__init__(_behaviour)
        self._observe = observe

    def prepare(self, model: FetchedModel) -> None:
        if _kind(model) == "missing":
            raise ImageNotPulled("the registry has no such image")

    @contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[_TimedImage]:  # type: ignore[override]
        self._observe("before", model.submission.hotkey, ())
        with super().run(model, limits=limits) as running:
            yield _TimedImage(running, model, self._observe)


class _TimedImage:
    """A running image. The time of a run follows from its clips, so a restart does not change it."""

    def __init__(
        self, running: FakeRunningModel, model: FetchedModel, observe: Callable[[str, str, tuple[str, ...]], None]
    ) -> None:
        self._running, self._observe = running, observe
        self._hotkey = model.submission.hotkey
        self._clip_s = int(_parts(model)[2]) * _TICK_S
        self.timing = Timing(load_s=1.0, peak_memory_bytes=_MEMORY_BYTES)

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        clip_ids = tuple(clip.clip_id for clip in batch)
        self._observe("before", self._hotkey, clip_ids)
        answers = self._running.enhance(batch)
        self.timing = replace(self.timing, enhance_s=self.timing.enhance_s + self._clip_s * len(batch))
        self._observe("after", self._hotkey, clip_ids)
        return answers


def _parts(model: FetchedModel) -> re.Match[str]:
    parts = re.match(r"sim/q(\d+)-t(\d+)(?:-(\w+))?@", str(model.submission.source))
    assert parts is not None, f"{model.submission.source} is not an image of the simulation"
    return parts


def _kind(model: FetchedModel) -> str:
    return _parts(model)[3] or ""


def _behaviour(model: FetchedModel) -> Behaviour:
    quality = int(_parts(model)[1]) / 100
    if _kind(model) == "crashes":
        return Behaviour(quality, batch_fault=ModelCrashed("The process ended", 139))
    if _kind(model) == "truncates":
        return Behaviour(quality, clip_failure=Failure("length", "half a second short"))
    return Behaviour(quality)


class _Steady:
    """The `Reference` of a machine whose speed never changes."""

    def time_s(self) -> float:
        return 1.0


@dataclass(frozen=True)
class BoardOf:
    """The `SubmissionBoard` port of one hotkey, which asks a coordinator in this process."""

    coordinator: Coordinator
    hotkey: str

    def submit(self, image: ImageRef) -> AcceptedImage:
        return self.coordinator.submit(self.hotkey, self.hotkey, str(image))

    def submissions(self) -> tuple[SubmittedImage, ...]:
        return tuple(map(submitted_image, json.loads(self.coordinator.submissions(self.hotkey).body)))

    def challenge(self) -> Challenge:
        return self.coordinator.challenge(self.hotkey)

    def burn_ratio(self) -> float:
        return self.coordinator.burn_ratio(self.hotkey)


@dataclass(frozen=True)
class TableOf:
    """The `ScoreTable` port, which asks an executor in this process."""

    service: ExecutorService

    def update(self, submissions: Sequence[SubmittedImage]) -> TakenSubmissions:
        return self.service.take(submissions)

    def table(self) -> PublishedTable:
        return self.service.table()

    def results(self, round_id: str) -> bytes | None:
        return self.service.results(round_id)


def image_coordinator(
    chain: LiveChain,
    records: Records,
    clock: Clock,
    *,
    burn_ratio: float = 0.0,
    executor: str = EXECUTOR_HOTKEY,
) -> Coordinator:
    """The coordinator of the simulated subnet, before it has read its chain."""
    return Coordinator(
        CoordinatorContext(
            chain,
            records,
            clock,
            Health(clock),
            RULES,
            ORGANISER.competitions,
            CLIPS,
            material_digest(Material()),
            burn_ratio,
            executors=frozenset({executor}),
        )
    )


@dataclass(frozen=True)
class ExecutorParts:
    """Everything around the simulated executor. A new service on the same parts is a restart."""

    chain: LiveChain
    state: StateStore
    records: Records
    clock: Clock
    board: SubmissionBoard
    folder: Path
    runner: ImitatedImages = field(default_factory=ImitatedImages)
    account: Account = field(default_factory=lambda: SimulatedKey(EXECUTOR_HOTKEY))

    def service(self, problem: Callable[[str | None], None] = lambda _sentence: None) -> ExecutorService:
        """An executor that measures, judges and signs as a real one does."""
        pool = InlinePool({draw_to_disk: draw_fake_clips, score_files: score_fake_clip})
        metrics = tuple(ORGANISER.competitions[0].metric_weights)
        return ExecutorService(
            ExecutorContext(
                ORGANISER,
                ExecutorStore(self.state, self.records, self.clock),
                self.board,
                self.chain,
                self.account,
                ImitatedHub(self.folder),
                self.runner,
                pool,
                self.clock,
                lambda _competition: ImageMeter(self.runner, pool, RULES, metrics, _Steady()),
                ImageJudge,
                self.folder,
                machine={"cpus": "imitated"},
                kept_rounds=1,
                alike=lambda _clips, _folder, _measured: (),  # The clips are too short to compare.
            ),
            problem=problem,
        )


class ImageValidator:
    """A validator that pays images and nothing else. A new one with the same state is a restart.

    `order_view` changes how it ranks images.
    """

    def __init__(
        self,
        hotkey: str,
        chain: LiveChain,
        state: StateStore,
        records: Records,
        clock: Clock,
        board: SubmissionBoard,
        table: ScoreTable,
        order_view: Callable[[ImageOrder], ImageOrder] = lambda order: order,
    ) -> None:
        self.hotkey = hotkey
        self.health = Health(clock)
        account: Any = SimulatedKey(hotkey)
        context = PaymentContext(
            EmissionRules({"executor": 1.0}), BURNS, chain, account, state, records, clock, self.health
        )
        check = ResultsCheck(ORGANISER, chain, Material(), pays_on_public=True)
        order = SignedOrder(table, EXECUTOR_HOTKEY, ORGANISER, is_simulated_signature, check, SeenRounds(records))
        self.system = ExecutorSubsystem(
            board, table, RULES, clock=clock, health=self.health, order=order_view(order), records=records
        )
        self.service = PayingService(context, [self.system])

    def tick(self) -> None:
        """Look at the chain, ask both services, and set weights with what they answer.

        Raises:
            InfrastructureFault: the chain or the state does not answer.
        """
        self.service.tick()
        assert self.system.settle(_SETTLE_S), "a call does not end"
        self.service.tick()
