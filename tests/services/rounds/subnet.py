"""A small subnet on fakes, and a validator's round in it. Tests of rounds disturb it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from soundsright.adapters.state.store import SqlState
from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.errors import EngineUnavailable
from soundsright.core.ports import Chain, SandboxLimits
from soundsright.core.rulesets import SOUNDSRIGHT_V3
from soundsright.core.schedule import Round
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Reveal
from soundsright.services.rounds import DrawnClips, RoundOutcome
from soundsright.services.rounds.clipset import draw_to_disk
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.plan import RoundPlan
from soundsright.services.rounds.run import RoundService
from soundsright.services.rounds.scoring import score_files
from soundsright.testing import (
    Behaviour,
    FakeChain,
    FakeHub,
    FakeRepository,
    FakeSandbox,
    InlinePool,
    VirtualClock,
    salted_reveal,
)
from soundsright.testing.fakes import FakeRunningModel
from soundsright.testing.simulation.world import draw_fake_clips, score_fake_clip
from soundsright.testing.state import MemoryState

COMPETITION = PUBLISHED[0]
VALIDATOR = "validator"
ROUND_ID = "round-1"
CLIPS = 8


T = TypeVar("T")


def replace_method(port: object, name: str, method: Callable[..., Any]) -> None:
    """Give this one object another method."""
    setattr(port, name, method)


class Subnet:
    """Three miners in one competition: `alice`, `bob` and `carol`, better from one to the next.

    Every port can be replaced before `run`, which continues the round that is recorded in `state`. A validator sees
    `chain_view` in place of `chain` if there is one.
    """

    def __init__(self, folder: Path, qualities: tuple[float, ...] = (0.4, 0.6, 0.8)) -> None:
        self.folder = folder
        self.chain = FakeChain()
        self.chain.register("owner")
        self.chain.register(VALIDATOR, permit=True)
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "Dockerfile").write_text("FROM base\n")
        self.hub = FakeHub(folder / "model")
        self.reveals: dict[str, Reveal] = {}
        self.models: dict[str, ModelRef] = {}
        for number, quality in enumerate(qualities):
            self.enter(("alice", "bob", "carol")[number], quality)
        self.round = Round(ROUND_ID, self.chain.head().number, self.chain.advance(5).number)
        self.chain.advance(5)
        self.chain_view: Chain | None = None
        self.sandbox = StuckSandbox(self.hub)
        self.state: MemoryState | SqlState = MemoryState()
        self.pool = FuturePool()
        self.clock = VirtualClock(1e9)
        self.events: list[str] = []

    def enter(self, name: str, quality: float) -> None:
        self.enter_content(name, quality, f"content-{name}")

    def enter_content(self, name: str, quality: float, content: str) -> None:
        """Register, and commit to a model with that content hash."""
        self.chain.register(name)
        model = ModelRef(name, "model", f"{len(self.models):040x}")
        self.models[name] = model
        self.hub.repositories[model] = FakeRepository(content, behaviour=Behaviour(quality))
        self.reveals[name] = salted_reveal(model, name, COMPETITION.id, content)
        self.chain.publish(name, self.reveals[name].digest(name))

    def plan(self, **changes: Any) -> RoundPlan:
        options: dict[str, Any] = {
            "round": self.round,
            "rules": CompetitionRules((COMPETITION,), SOUNDSRIGHT_V3),
            "measures": Measures(CLIPS, ("PESQ_WB", "ESTOI"), {"PESQ_WB": 0.0, "ESTOI": -1.0}),
            "batch_audio_s": 3.0,
            "burn_uid": 0,
            "pay_on_public_corpus": True,
        }
        return RoundPlan(**(options | changes))

    def service(self, **changes: Any) -> RoundService:
        context = RoundContext(
            self.plan(**changes),
            chain=self.chain_view or self.chain,
            hub=self.hub,
            sandbox=self.sandbox,
            state=self.state,
            pool=self.pool,
            clock=self.clock,
            folder=self.folder / "run",
            validator=VALIDATOR,
            slots=1,
            workers=1,
            observe=lambda event: self.events.append(event.progress.note if event.progress else event.stage),
        )
        return RoundService(context, self.reveals)

    def run(self, **changes: Any) -> RoundOutcome:
        return self.service(**changes).run()

    def steps(self, prefix: str) -> dict[str, Mapping[str, Any]]:
        return {name: facts for name, facts in self.state.steps(ROUND_ID).items() if name.startswith(prefix)}


class StuckSandbox(FakeSandbox):
    """A sandbox that fails for the contents in `stuck`. `started` lists each content that a test tried to run."""

    def __init__(self, hub: FakeHub) -> None:
        super().__init__(hub.behaviour)
        self.stuck: set[str] = set()
        self.started: list[str] = []

    @contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[FakeRunningModel]:
        self.started.append(model.content_hash)
        if model.content_hash in self.stuck:
            raise EngineUnavailable("The base image cannot be pulled", "Check the engine's network.")
        with super().run(model, limits=limits) as running:
            yield running


class FuturePool(InlinePool):
    """A pool without workers. The future of a failed job carries its error. `deadlines_s` are by the job's name."""

    def __init__(self, draw: Callable[..., DrawnClips] = draw_fake_clips) -> None:
        super().__init__({draw_to_disk: draw, score_files: score_fake_clip})
        self.deadlines_s: dict[str, float | None] = {}

    def submit(self, function: Callable[..., T], /, *args: Any, deadline_s: float | None = None) -> Future[T]:
        self.deadlines_s[function.__name__] = deadline_s
        try:
            return super().submit(function, *args)
        except Exception as error:  # noqa: BLE001 - the caller that waits for the job gets it
            failed: Future[T] = Future()
            failed.set_exception(error)
            return failed
