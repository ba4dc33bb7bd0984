"""The judge of a round's images: the ranking's rules on what was measured on one set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from soundsright.core.images import ImageMetrics, MeasuredImage
from soundsright.ranking import (
    ImageLead,
    QualityRules,
    clip_scores,
    copy_leads,
    image_metrics,
    protected_winner,
)
from soundsright.services.executor.context import JudgedSet


@dataclass(frozen=True)
class ImageJudge:
    """Decides scores and the first place from what was measured. It has no state: anyone can decide the same."""

    judged: JudgedSet

    def metrics(self, measured: MeasuredImage) -> ImageMetrics:
        """The metrics of an image, without the time of their update.

        Raises:
            ValueError: the image was measured on other clips than the set's.
        """
        wanted = {clip.clip_id for clip in measured.clips}
        unprocessed = [clip for clip in self.judged.unprocessed if clip.clip_id in wanted]
        return image_metrics(measured, unprocessed, self.judged.rules, self._quality_rules)

    def winner(self, ranked: Sequence[str], measured: Mapping[str, MeasuredImage], holder: str) -> str | None:
        """The first image: the best of `ranked`, or `holder`, the first one before, if no lead over it is certain.

        `ranked` are the entry ids of the images that can be paid, best first; `measured` is by entry id.

        Raises:
            ValueError: the images were measured on different clips.
        """
        scores = {
            name: clip_scores(measured[name], self.judged.rules, self._quality_rules, self.metrics(measured[name]))
            for name in ranked
        }
        return protected_winner(ranked, scores, holder or None, self._quality_rules)

    def copy_leads(self, original: MeasuredImage, copies: Mapping[str, MeasuredImage]) -> dict[str, ImageLead]:
        """The lead of each suspected copy, by entry id, over the image that it is suspected to copy.

        Raises:
            ValueError: the images were measured on different clips.
        """
        wanted = {clip.clip_id for clip in original.clips}
        unprocessed = [clip for clip in self.judged.unprocessed if clip.clip_id in wanted]
        return copy_leads(original, copies, unprocessed, self.judged.rules, self._quality_rules)

    @cached_property
    def _quality_rules(self) -> QualityRules:
        from soundsright.metrics import floors

        judged = self.judged
        return QualityRules(judged.weights, floors(tuple(judged.weights)), judged.ruleset, judged.groups)
