"""The training loop. A stopped run continues at its next batch; on the CPU it reaches the same weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch.utils.data import DataLoader

from examples.finetune.generated import GeneratedSet
from examples.finetune.losses import enhancement_loss
from examples.finetune.network import Network
from examples.finetune.plan import TrainingPlan, plan_as_json
from soundsright.core.errors import UsageError
from soundsright.data.stream import ClipStream, torch_dataset

FORMAT = "soundsright-baseline/1"
AfterStep = Callable[["Trainer", float, float], None]
"""Is called after each step with the trainer, the loss and the norm of the gradient."""


class Trainer:
    """The loop and its state. `step` counts optimiser steps; each uses `accumulate` batches."""

    def __init__(
        self,
        plan: TrainingPlan,
        network: Network,
        stream: ClipStream | GeneratedSet,
        *,
        device: str = "cpu",
        amp: bool = False,
    ) -> None:
        self.plan, self.device, self.step = plan, device, 0
        self.network = network.to(device)
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, betas=(0.9, 0.98)
        )
        # bfloat16 has the range of float32, so the loss needs no scaling.
        self.amp = amp and device.startswith("cuda")
        self.stream: Any = stream

    def run(
        self, until: int, *, workers: int = 0, after_step: AfterStep = lambda trainer, loss, norm: None
    ) -> None:
        """Train up to step `until`, and call `after_step` after each step."""
        batches = self._batches(workers)
        while self.step < until:
            loss, norm = self._one_step(batches)
            self.step += 1
            after_step(self, loss, norm)

    def _batches(self, workers: int) -> Any:
        dataset = torch_dataset(self.stream)
        dataset.begin(0, self.step * self.plan.accumulate)
        return iter(
            DataLoader(dataset, batch_size=None, num_workers=workers, pin_memory=self.device.startswith("cuda"))
        )

    def _one_step(self, batches: Any) -> tuple[float, float]:
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.learning_rate_at(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        total = 0.0
        self.network.train()
        for _ in range(self.plan.accumulate):
            batch = next(batches)
            clean = batch["clean"].to(self.device, non_blocking=True)
            degraded = batch["degraded"].to(self.device, non_blocking=True)
            mixed = torch.autocast("cuda", dtype=torch.bfloat16) if self.amp else nullcontext()
            with mixed:
                enhanced = self.network.enhance(degraded)
            loss = enhancement_loss(
                enhanced.float(), clean, self.plan.sample_rate_hz, perceptual_weight=self.plan.perceptual
            )
            loss = loss / self.plan.accumulate
            loss.backward()
            total += loss.item()
        norm = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.clip_norm))
        if not math.isfinite(total + norm):
            raise UsageError(
                f"Step {self.step}: the loss or its gradient is not finite",
                "Resume from the last checkpoint with a lower --learning-rate.",
            )
        self.optimiser.step()
        keep = min(self.plan.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)
        return total, norm

    @property
    def state(self) -> dict[str, Any]:
        """The checkpoint: everything that `restore` needs."""
        return {
            "format": FORMAT,
            "plan": plan_as_json(self.plan),
            "network": json.dumps(self.network.config.as_json),
            "step": self.step,
            "weights": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the state of a checkpoint."""
        self.step = int(state["step"])
        self.network.load_state_dict(state["weights"])
        self.average = {name: value.to(self.device) for name, value in state["average"].items()}
        self.optimiser.load_state_dict(state["optimiser"])
