"""Validation on clips of other speakers, noises and rooms. Signals float32 `(n,)`, full scale ±1."""

from __future__ import annotations

from typing import Any

import torch

from examples.finetune.material import sources_of
from examples.finetune.network import Network
from examples.finetune.plan import TrainingPlan
from soundsright.core.audio import Audio
from soundsright.data.recipe import SetRecipe
from soundsright.data.render import render
from soundsright.data.splits import Split
from soundsright.metrics.suite import score_clip

METRICS = ("PESQ_WB", "ESTOI", "SI_SDR")
SEED = 20_261


class Validation:
    """A fixed set of clips of the validation split, scored as in a competition."""

    def __init__(self, plan: TrainingPlan, count: int) -> None:
        recipe = SetRecipe(duration_s=(3.0, 4.0), snr_db=(-2.5, 7.5))
        sources = sources_of(plan.task, plan.sample_rate_hz, recipe, split=Split.VALID)
        self.rate = plan.sample_rate_hz
        self.clips = []
        for index in range(count):
            made = render(plan.task, self.rate, SEED, index, sources=sources, recipe=recipe, skipped={})
            clip = made.as_clip()
            self.clips.append((clip.clean, clip.degraded, self._scores(clip.clean, clip.degraded)))

    def _scores(self, clean: Audio, enhanced: Audio) -> dict[str, float]:
        return dict(score_clip(clean, enhanced, names=METRICS))

    def gains(self, network: Any, weights: dict[str, Any]) -> dict[str, float]:
        """The mean gain of the enhanced over the unprocessed clips, by metric."""
        averaged = Network(network.config)
        averaged.load_state_dict(weights)
        averaged.eval()
        gains = dict.fromkeys(METRICS, 0.0)
        for clean, degraded, before in self.clips:
            with torch.no_grad():
                enhanced = averaged.enhance(torch.from_numpy(degraded.samples.copy())[None])[0].numpy()
            after = self._scores(clean, Audio(enhanced.clip(-1.0, 1.0), self.rate))
            for name in METRICS:
                gains[name] += (after[name] - before[name]) / len(self.clips)
        return gains
