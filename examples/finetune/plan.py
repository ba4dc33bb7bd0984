"""The settings that decide the weights of a run: levels in dB, times in seconds, rates in Hz."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from examples.finetune.generated import GeneratedSet
from examples.finetune.material import sources_of
from soundsright.core.competition import competition_by_id
from soundsright.core.errors import UsageError
from soundsright.data.recipe import AnySetTask, SetRecipe, SetTask
from soundsright.data.splits import Split
from soundsright.data.stream import ClipStream

SCHEDULE_END = 0.03
"""The learning rate falls along half a cosine to this share of its maximum."""


@dataclass(frozen=True)
class TrainingPlan:
    """The settings that, with the sources and the network, decide the weights of a run.

    Raises:
        UsageError: a number is out of range.
    """

    competition: str = "DENOISING_16000HZ"
    steps: int = 4_000
    batch_size: int = 8
    accumulate: int = 1
    crop_s: float = 2.0
    learning_rate: float = 1.5e-3
    warmup_steps: int = 100
    weight_decay: float = 1e-3
    clip_norm: float = 1.0
    ema: float = 0.998
    seed: int = 1
    snr_db: tuple[float, float] = (-5.0, 15.0)
    rt60_s: tuple[float, float] = (0.2, 2.0)
    perceptual: float = 0.0
    speech: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()
    generated: str | None = None

    def __post_init__(self) -> None:
        competition_by_id(self.competition)
        if min(self.steps, self.batch_size, self.accumulate) < 1 or self.seed < 0:
            raise UsageError("Steps, batch size and accumulation must be at least 1", "Give larger numbers.")
        if not 0.0 <= self.ema < 1.0 or self.learning_rate <= 0.0 or self.crop_s <= 0.0:
            raise UsageError(
                f"ema {self.ema:g}, learning rate {self.learning_rate:g} or crop {self.crop_s:g} s is out of range",
                "Choose ema in [0, 1) and the others above 0.",
            )
        SetRecipe(snr_db=self.snr_db, rt60_s=self.rt60_s)  # This checks the ranges.

    @property
    def task(self) -> AnySetTask:
        return SetTask.of(competition_by_id(self.competition).task)

    @property
    def sample_rate_hz(self) -> int:
        return competition_by_id(self.competition).sample_rate_hz

    @property
    def recipe(self) -> SetRecipe:
        return SetRecipe(
            snr_db=self.snr_db,
            rt60_s=self.rt60_s,
            duration_s=(self.crop_s, self.crop_s),
            speech_level_db=(-35.0, -20.0),
        )

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step: a linear rise over at most a tenth of the run, then half a cosine."""
        rise = max(1, min(self.warmup_steps, self.steps // 10))
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        done = (step - rise) / max(1, self.steps - rise)
        return self.learning_rate * (
            SCHEDULE_END + (1 - SCHEDULE_END) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        )


def stream_of(plan: TrainingPlan) -> ClipStream | GeneratedSet:
    """The source of the run's batches: clips made during training, or a generated set.

    Raises:
        UsageError: sources are missing or cannot be used, or the set is for another task or rate.
    """
    batches = plan.steps * plan.accumulate
    if plan.generated is not None:
        return GeneratedSet(
            Path(plan.generated), plan.task, plan.sample_rate_hz, plan.seed, plan.crop_s, plan.batch_size, batches
        )
    sources = sources_of(
        plan.task, plan.sample_rate_hz, plan.recipe, split=Split.TRAIN,
        speech=tuple(map(Path, plan.speech)), noise=tuple(map(Path, plan.noise)),
    )  # fmt: skip
    return ClipStream(
        sources, task=plan.task, sample_rate_hz=plan.sample_rate_hz, seed=plan.seed, recipe=plan.recipe,
        crop_s=plan.crop_s, batch_size=plan.batch_size, epoch_clips=batches * plan.batch_size,
    )  # fmt: skip


def plan_from_json(text: str) -> TrainingPlan:
    """The plan from the text of `plan_as_json`.

    Raises:
        UsageError: it cannot be read.
    """
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(text).items()}
    try:
        return TrainingPlan(**values)
    except TypeError as error:
        raise UsageError(f"The checkpoint's plan cannot be read: {error}", "Train again.") from error


def plan_as_json(plan: TrainingPlan) -> str:
    """The plan as JSON, for checkpoints."""
    return json.dumps(asdict(plan))
