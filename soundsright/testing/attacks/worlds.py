"""Where attacks are played: a stage, and what the attacker knows of the recordings behind its clips.

Before, a round drew its clips from recordings that everybody had, as they were, under the ruleset v3. Now the
recordings are private, and the default ruleset and the default recipe apply. The private half of the shipped
recordings stands for a validator's own corpus; the attacker knows the other half.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.audio import Samples
from soundsright.core.competition import Competition
from soundsright.core.material import PUBLIC_MATERIAL, Material
from soundsright.core.rulesets import RULESETS, SOUNDSRIGHT_V3, Ruleset
from soundsright.core.shipped import datasets_folder
from soundsright.data import Corpus
from soundsright.testing.attacks.parrots import Library
from soundsright.testing.attacks.pool import ClipPool, draw_as_published
from soundsright.testing.attacks.stage import Stage


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

    def library(self, name: str, ids: Collection[str]) -> Library:
        """What an attacker knows who has heard the recordings with these ids."""
        corpus = Corpus.open(self.stage.pool.material.corpus)
        known = _recordings(corpus, self.stage.competition.sample_rate_hz)
        return Library(name, {i: samples for i, samples in known.items() if i in ids})


def world_of(
    ruleset: Ruleset, competition: Competition, folder: Path, *, clips: int, pool_size: int, seed: int
) -> World:
    """The world before the defences if the ruleset is not the default one, otherwise the present one.

    Raises:
        UsageError: the recordings are not installed.
    """
    is_before = ruleset != RULESETS[0] or ruleset == SOUNDSRIGHT_V3
    public = Corpus.open()
    known = _recordings(public, competition.sample_rate_hz)
    if is_before:
        pool = ClipPool(folder / "pool", pool_size, PUBLIC_MATERIAL, draw=draw_as_published)
        library = Library("all recordings", known)
    else:
        private, others = _split(folder / "corpus")
        pool = ClipPool(folder / "pool", pool_size, private)
        library = Library("public recordings", {i: known[i] for i in others if i in known})
    return World(Stage(competition, ruleset, pool, folder / "stage", clips, seed), library, is_before)


def _recordings(corpus: Corpus, rate_hz: int) -> dict[str, Samples]:
    speech = corpus.speech_for(rate_hz)
    return {speech.utterance_id(i): speech.samples(i, rate_hz) for i in range(len(speech))}


def _split(folder: Path) -> tuple[Material, list[str]]:
    """A corpus of half of the shipped recordings, with all noise and rooms, and the ids of the other half."""
    shipped = datasets_folder()
    lines = (shipped / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines if line.strip()]
    speech = [entry for entry in entries if entry["kind"] == "speech"]
    public = {entry["id"] for entry in speech[::2]}
    kept = [entry for entry in entries if entry["id"] not in public]
    for entry in kept:
        target = folder / entry["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shipped / entry["file"], target)
    text = "".join(f"{json.dumps(entry)}\n" for entry in kept)
    (folder / "manifest.jsonl").write_text(text, encoding="utf-8")
    return Material(corpus=folder), sorted(public)
