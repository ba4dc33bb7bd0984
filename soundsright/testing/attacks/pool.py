"""A pool of clips with everything that was computed on them: answers, scores, evidence, and the tensors of files.

Signals are float32 `(n,)`. Clips and measurements come from the real functions. Each is computed once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from soundsright.copies import TensorFingerprint, tensor_fingerprint
from soundsright.core.audio import Audio, Samples, on_pcm16_grid
from soundsright.core.errors import ModelFault
from soundsright.core.material import PUBLIC_MATERIAL, Material
from soundsright.core.ports import Answer, DegradedClip
from soundsright.core.results import Failure
from soundsright.data import PUBLISHED_RECIPE, draw_clip, recipe_fields
from soundsright.services.rounds import (
    DrawnClips,
    SetRequest,
    draw_to_disk,
    evidence_of_files,
    opened,
    read_wav,
    score_files,
    write_wav,
)
from soundsright.testing.attacks.systems import System

T = TypeVar("T")

POOL_SEED = 20_261_129


@dataclass(frozen=True)
class ClipPool:
    """`size` clips below `folder`. Rounds take theirs from it, each clip at most once in a round."""

    folder: Path
    size: int
    material: Material = PUBLIC_MATERIAL
    draw: Callable[[SetRequest, Sequence[int]], DrawnClips] = draw_to_disk
    _drawn: list[DrawnClips] = field(default_factory=list)
    _clean: dict[str, Samples] = field(default_factory=dict)
    _answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    _measured: dict[tuple[str, str], Any] = field(default_factory=dict)

    def jobs(self, seed: int, number: int) -> Mapping[Callable[..., Any], Callable[..., Any]]:
        """The replacements of a round's jobs, by job. `seed` and the round's number choose the clips."""

        def draw(request: SetRequest, indices: Sequence[int]) -> DrawnClips:
            return self._taken(request, indices, np.random.default_rng([seed, number]))

        return {
            draw_to_disk: draw,
            score_files: self._once("score", score_files),
            evidence_of_files: self._once("evidence", evidence_of_files),
            tensor_fingerprint: self._fingerprint,
        }

    def clean_of(self, degraded: Samples) -> Samples:
        """The clean speech of a clip, for an attacker who has it from a leak."""
        return self._clean[_digest(degraded)]

    def answer(self, system: System, clip: DegradedClip) -> Answer:
        """The system's answer to a clip, on the 16-bit grid. A fault of the model is a failure of the clip."""
        key = system.name, _digest(clip.audio.samples)
        if key not in self._answers:
            self._answers[key] = _answer(system, clip)
        known = self._answers[key]
        return Answer(clip.clip_id, known.audio, known.failure, elapsed_s=0.0)

    def _taken(self, request: SetRequest, indices: Sequence[int], rng: np.random.Generator) -> DrawnClips:
        """The clips of a round, as links to those of the pool."""
        if not self._drawn:
            for kind in ("clean", "degraded"):
                (self.folder / kind).mkdir(parents=True)
            whole = replace(request, seed=POOL_SEED, count=self.size, folder=self.folder)
            self._drawn.append(self.draw(whole, range(self.size)))
            for clip_id in self._drawn[0].digests:
                clean, degraded = (
                    read_wav(self.folder / kind / f"{clip_id}.wav") for kind in ("clean", "degraded")
                )
                self._clean[_digest(degraded.samples)] = clean.samples
        drawn = self._drawn[0]
        ids = sorted(drawn.digests)
        chosen = rng.choice(len(ids), size=request.count, replace=False).tolist()
        names = {f"{index:06d}": ids[chosen[index]] for index in indices}
        for name, source in names.items():
            for kind in ("clean", "degraded"):
                target = request.folder / kind / f"{name}.wav"
                if not target.exists():
                    os.link(self.folder / kind / f"{source}.wav", target)
        tables: dict[str, Any] = {
            each.name: {name: table[source] for name, source in names.items() if source in table}
            for each in fields(drawn)
            if isinstance(table := getattr(drawn, each.name), dict)
        }
        return replace(drawn, **tables)

    def _once(self, job: str, function: Callable[..., T]) -> Callable[..., T]:
        """The function of three files, computed once for each content."""

        def remembered(clean: Path, degraded: Path, enhanced: Path, *rest: object) -> T:
            content = hashlib.sha256(b"".join(path.read_bytes() for path in (degraded, clean, enhanced)))
            key = job, f"{content.hexdigest()} {rest}"
            if key not in self._measured:
                self._measured[key] = function(clean, degraded, enhanced, *rest)
            known: T = self._measured[key]
            return known

        return remembered

    def _fingerprint(self, paths: Sequence[Path]) -> TensorFingerprint:
        key = "tensors", " ".join(map(str, paths))  # The cache of the hub names folders by their content.
        if key not in self._measured:
            self._measured[key] = tensor_fingerprint(paths)
        known: TensorFingerprint = self._measured[key]
        return known


def draw_without_variation(request: SetRequest, indices: Sequence[int]) -> DrawnClips:
    """Replaces `draw_to_disk`: whole recordings, as rounds had them before the defences.

    No clip is drawn again, because rounds did not do so then either.
    """
    corpus = opened(request.material).corpus
    recipe = replace(PUBLISHED_RECIPE, variation=False)
    drawn = DrawnClips({}, {}, {}, 0.0)
    for index in indices:
        clip = draw_clip(request.competition, request.seed, index, corpus=corpus, recipe=recipe)
        write_wav(request.folder / "clean" / f"{clip.id}.wav", clip.clean)
        write_wav(request.folder / "degraded" / f"{clip.id}.wav", clip.degraded)
        drawn.digests[clip.id] = clip.digest
        drawn.recipes[clip.id] = recipe_fields(clip.recipe)
        drawn.durations_s[clip.id] = clip.clean.duration_s
    return drawn


def _digest(samples: Samples) -> str:
    return hashlib.sha256(samples.tobytes()).hexdigest()


def _answer(system: System, clip: DegradedClip) -> Answer:
    try:
        samples = system.answer(clip.audio.samples, clip.audio.sample_rate_hz)
    except ModelFault as fault:
        return Answer(clip.clip_id, failure=Failure("crashed", str(fault)))
    return Answer(clip.clip_id, Audio(on_pcm16_grid(samples), clip.audio.sample_rate_hz))
