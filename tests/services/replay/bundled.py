"""A small real round with its bundle: real clips and scores, and models that are functions in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from soundsright.core.audio import Audio, Samples, on_pcm16_grid
from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.material import PUBLIC_MATERIAL
from soundsright.core.ports import Answer, DegradedClip, SandboxLimits
from soundsright.core.results import Timing
from soundsright.core.rulesets import RULESETS
from soundsright.core.submission import FetchedModel
from soundsright.metrics import floors
from soundsright.services.records import (
    ScoreLine,
    results_of,
    round_record,
    scores_of,
    write_bundle,
    write_record,
)
from soundsright.services.replay import ReplayReport, RunPorts
from soundsright.services.rounds import RoundOutcome
from soundsright.testing import InlinePool
from tests.services.rounds.subnet import COMPETITION, Subnet

CLIPS = 2
METRICS = tuple(COMPETITION.metric_weights)
Model = Callable[[Samples], Samples]


def soft(threshold: float) -> Model:
    """A model that takes off the smallest samples: crude, and the same on every machine."""

    def enhance(samples: Samples) -> Samples:
        kept = np.sign(samples) * np.maximum(np.abs(samples) - threshold, 0.0)
        return kept.astype(np.float32)

    return enhance


class FunctionModels:
    """A sandbox in which models are functions, by content hash."""

    name = "functions"
    isolated = False

    def __init__(self, models: Mapping[str, Model]) -> None:
        self.models = dict(models)

    def prepare(self, model: FetchedModel) -> None:
        """Do nothing."""

    @contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[RunningFunction]:
        yield RunningFunction(self.models[model.content_hash])

    def stop(self) -> None:
        """Do nothing."""


class RunningFunction:
    timing = Timing()

    def __init__(self, model: Model) -> None:
        self._model = model

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        return tuple(
            Answer(
                clip.clip_id,
                Audio(on_pcm16_grid(self._model(clip.audio.samples)), clip.audio.sample_rate_hz),
                elapsed_s=0.0,
            )
            for clip in batch
        )


MODELS = {"content-alice": soft(0.001), "content-bob": soft(0.004), "content-carol": soft(0.012)}


class Bundled:
    """A round that was run in `folder`. `bundle` writes its bundle, with lies if a test wants some."""

    def __init__(
        self, folder: Path, *, models: Mapping[str, Model] = MODELS, exclude_near_copies: bool = False
    ) -> None:
        self.folder = folder
        self.subnet = Subnet(folder)
        self.sandbox = FunctionModels(models)
        self.subnet.sandbox = self.sandbox  # type: ignore[assignment]
        self.subnet.pool = InlinePool()  # type: ignore[assignment]
        self.outcome: RoundOutcome = self.subnet.run(
            rules=CompetitionRules((COMPETITION,), RULESETS[0], exclude_near_copies=exclude_near_copies),
            measures=Measures(CLIPS, METRICS, floors(METRICS)),
        )

    def bundle(
        self,
        name: str,
        *,
        scores: Callable[[ScoreLine], ScoreLine] = lambda line: line,
        steps: Callable[[str, Any], Any] = lambda _name, facts: facts,
        audio: bool = True,
    ) -> Path:
        run = self.folder / "run"
        lines: Iterable[ScoreLine] = map(scores, scores_of(self.outcome))
        state = _Told(self.subnet.state, steps)
        write_record(round_record(self.outcome, results_of(self.outcome), lines, state, run), run, None)
        path = self.folder / f"{name}.zip"
        write_bundle(run, path, audio=audio)
        return path

    def ports(self, folder: Path, **changes: Any) -> RunPorts:
        """The ports of another machine, which has the models and the recordings."""
        sandbox = FunctionModels({**MODELS, **changes.pop("models", {})})
        ports = RunPorts(self.subnet.hub, sandbox, InlinePool(), PUBLIC_MATERIAL, folder)
        return replace(ports, **changes)


def answers_of(report: ReplayReport) -> set[int]:
    """The numbers of answers that were given again, and of those that are equal by their digest."""
    return {report.checked["answers given again"], report.checked["of them equal by their digest"]}


class _Told:
    """A state in which a test changes the recorded steps."""

    def __init__(self, state: Any, steps: Callable[[str, Any], Any]) -> None:
        self._state = state
        self._change = steps

    def steps(self, round_id: str) -> dict[str, Any]:
        return {name: self._change(name, dict(facts)) for name, facts in self._state.steps(round_id).items()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)
