"""Where attacks are played: a stage, and what the attacker knows of the recordings behind its clips.

Before, a round drew its clips from recordings that everybody had, as they were, under the ruleset v3. Now the
recordings are private, and the default ruleset and the default recipe apply. The private half of the shipped
recordings stands for a validator's own corpus; the attacker knows the other half.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundsright.core.audio import Samples
from soundsright.core.competition import Competition
from soundsright.core.material import PUBLIC_MATERIAL, Material
from soundsright.core.rulesets import Ruleset
from soundsright.corpus import Origin, Plan, build_corpus, recordings_in
from soundsright.data import Corpus
from soundsright.services.rounds import opened
from soundsright.testing.attacks.parrots import Library
from soundsright.testing.attacks.pool import ClipPool, draw_without_variation
from soundsright.testing.attacks.stage import Stage

_USES = 3
"""Rounds for which a recording of the private corpus lives."""


@dataclass(frozen=True)
class World:
    """A stage and the recordings that an attacker knows at the start. `is_before`: the defences are missing."""

    stage: Stage
    public: Library
    is_before: bool

    @property
    def workshop(self) -> Path:
        """A folder in which an attack builds the files of its entries."""
        return self.stage.folder / "workshop"

    @property
    def live(self) -> dict[str, Samples]:
        """The recordings from which the stage draws its clips, by id."""
        return _recordings(opened(self.stage.pool.material).corpus, self.stage.competition.sample_rate_hz)


def world_of(
    ruleset: Ruleset, competition: Competition, folder: Path, *, clips: int, pool_size: int, seed: int
) -> World:
    """The present world, or the world before the defences if the ruleset has none against known recordings.

    Raises:
        UsageError: the recordings are not installed.
    """
    is_before = ruleset.memorised_alpha is None
    shipped = _recordings(Corpus.open(), competition.sample_rate_hz)
    if is_before:
        pool = ClipPool(folder / "pool", pool_size, PUBLIC_MATERIAL, draw=draw_without_variation)
        library = Library("all recordings", shipped)
    else:
        private, others = _private_half(folder, seed)
        pool = ClipPool(folder / "pool", pool_size, private)
        library = Library("public recordings", {i: shipped[i] for i in others if i in shipped})
    stage = Stage(competition, ruleset, pool, folder / "stage", clips, seed, pays_on_public=is_before)
    return World(stage, library, is_before)


def _recordings(corpus: Corpus, rate_hz: int) -> dict[str, Samples]:
    speech = corpus.speech_for(rate_hz)
    return {speech.utterance_id(i): speech.samples(i, rate_hz) for i in range(len(speech))}


def _private_half(folder: Path, seed: int) -> tuple[Material, list[str]]:
    """A private corpus of half of the shipped speech, with all noise and rooms, and the ids of the other half."""
    material = {kind: recordings_in("shipped", kind, Origin()).usable for kind in ("speech", "noise", "rir")}
    private = [*material["speech"][1::2], *material["noise"], *material["rir"]]
    root, key = folder / "corpus", folder / "corpus.key"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    build_corpus(root, key, private, plan=Plan(uses=_USES, token=lambda size: rng.bytes(size).hex()))
    return Material(corpus=root, key_file=key, round_number=0), [each.name for each in material["speech"][::2]]
