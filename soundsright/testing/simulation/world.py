"""A subnet of made-up miners on a fake chain and hub, in which rounds are simulated.

Blocks are counted, times are in seconds. Everything follows from one `numpy.random.Generator`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from soundsright.core.audio import Audio, digest_of_digests
from soundsright.core.competition import Competition
from soundsright.core.errors import (
    EngineUnavailable,
    HubUnavailable,
    InfrastructureFault,
    ModelCrashed,
    ModelTimeout,
    ProtocolViolation,
)
from soundsright.core.results import Failure
from soundsright.core.schedule import DAY_S, Round, Schedule
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Reveal
from soundsright.metrics import ClipEvidence
from soundsright.services.rounds import DrawnClips, Scored, SetRequest, read_wav, write_wav
from soundsright.testing import Behaviour, FakeChain, FakeHub, FakeRepository, salted_reveal, unit_interval

FIRST_DAY = 20_000
SCHEDULE = Schedule(time_of_day_s=9 * 3_600, every_days=1, first_day=FIRST_DAY, seed_delay_blocks=10)
BURN_HOTKEY = "owner"

_SAMPLES = 16
_QUALITY_SCALE = 0.9  # The sample that `FakeRunningModel` writes for a quality of 1.


class Kind(StrEnum):
    """The kinds of miners."""

    HONEST = "honest"
    COPIES_REFERENCE = "copies a reference"
    COPIES_CONTENT = "copies a content"
    COPIES_CHECKPOINT = "copies a checkpoint"
    COLLUDES = "colludes"
    CRASHES = "crashes"
    NEVER_LOADS = "never loads"
    STALLS = "stalls"
    TRUNCATES = "truncates"
    COMES_LATE = "comes late"
    MISREVEALS = "reveals another model"
    HIDES = "reveals nothing"
    VANISHES = "deletes its model"
    IDLES = "returns its input"
    CANNOT_RUN = "needs a base image that does not exist"
    WITHHELD = "has a model that the hub never gives"


_STUCK = (Kind.CANNOT_RUN, Kind.WITHHELD)
_COPIES = (Kind.COPIES_REFERENCE, Kind.COPIES_CONTENT, Kind.COPIES_CHECKPOINT)


@dataclass
class Miner:
    hotkey: str
    kind: Kind
    competition: Competition
    quality: float
    entered: bool = False


@dataclass
class World:
    """Miners, chain, hub and reveals. `since_blocks` gives the block of the first entry by hotkey and mark.

    A mark is a model's reference, or one of its hashes. Two entries that share a mark are copies.
    """

    rng: np.random.Generator
    chain: FakeChain
    hub: FakeHub
    miners: list[Miner]
    reveals: dict[str, Reveal] = field(default_factory=dict)
    entries_made: int = 0
    since_blocks: dict[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def of_seed(cls, seed: int, *, competitions: tuple[Competition, ...], validators: int, folder: Path) -> World:
        """A new world: an owner, validators with a permit, and five to twelve miners."""
        rng = np.random.default_rng(seed)
        chain = FakeChain(seed=seed, start_s=FIRST_DAY * DAY_S)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Dockerfile").write_text("FROM base\n")
        world = cls(rng, chain, FakeHub(folder), [])
        chain.register(BURN_HOTKEY)
        for number in range(validators):
            chain.register(validator_hotkey(number), permit=True)
        # One honest miner always stays. If no model runs, a validator cannot tell whether the models are to blame.
        world._arrive(competitions, Kind.HONEST)
        for _ in range(int(rng.integers(4, 12))):
            world._arrive(competitions)
        return world

    def _arrive(self, competitions: tuple[Competition, ...], kind: Kind | None = None) -> None:
        kinds = list(Kind)
        odds = np.array([8.0 if each is Kind.HONEST else 1.0 for each in kinds])
        kind = kind or kinds[int(self.rng.choice(len(kinds), p=odds / odds.sum()))]
        if kind in _STUCK and any(miner.kind is kind for miner in self.miners):
            # If more models are stuck than run, validators wait. See `of_seed`.
            kind = Kind.HONEST
        competition = competitions[int(self.rng.integers(len(competitions)))]
        self.entries_made += 1
        miner = Miner(f"miner-{self.entries_made:04d}", kind, competition, float(self.rng.uniform(0.1, 0.9)))
        self.chain.register(miner.hotkey)
        self.miners.append(miner)

    def play_until_close(self, number: int, competitions: tuple[Competition, ...]) -> Round:
        """Let miners leave, arrive, enter and improve until round `number` closes and its seed is final.

        Raises:
            AssertionError: the schedule changed the blocks of the round.
        """
        rng = self.rng
        for miner in self.miners[1:]:
            if rng.random() < 0.05:
                self.chain.deregister(miner.hotkey)
                self.miners.remove(miner)
        for _ in range(int(rng.integers(0, 3))):
            self._arrive(competitions)
        for position in rng.permutation(len(self.miners)):
            miner = self.miners[int(position)]
            if miner.kind is not Kind.COMES_LATE and (not miner.entered or rng.random() < 0.15):
                self._enter(miner)
                self.chain.advance(int(rng.integers(0, 3)))
        start_s = SCHEDULE.start_s(number)
        while self.chain.timestamp_s(self.chain.head().number) < start_s:
            left_s = start_s - self.chain.timestamp_s(self.chain.head().number)
            stall_s = 0.0 if rng.random() < 0.8 else float(rng.uniform(0, 1_800))
            self.chain.advance(min(2_000, 1 + int(left_s / self.chain.BLOCK_S)), delay_s=stall_s)
        plan = None
        while plan is None:
            plan = self._plan(number)
            self.chain.advance()
        for miner in self.miners:
            if miner.kind is Kind.COMES_LATE and rng.random() < 0.5:
                self._enter(miner)
        while self.chain.head().number < plan.seed_block:
            self.chain.advance()
        if rng.random() < 0.3:
            self.chain.reorganise()
        assert self._plan(number) == plan, "the blocks of the round have changed"
        return plan

    def _plan(self, number: int) -> Round | None:
        return SCHEDULE.plan(number, finalized=self.chain.finalized().number, timestamp_s=self.chain.timestamp_s)

    def _enter(self, miner: Miner) -> None:
        """Publish a model, commit to it and reveal it, in the way of the miner's kind."""
        self.entries_made += 1
        entry = self.entries_made
        miner.entered = True
        miner.quality = float(np.clip(miner.quality + self.rng.uniform(-0.02, 0.08), 0.0, 1.0))
        model = ModelRef(miner.hotkey, f"model-{entry}", f"{entry:040x}")
        repository = FakeRepository(f"content-{entry}", (f"checkpoint-{entry}",), _behaviour(miner))
        victim = self._victim(miner)
        if victim is not None:
            target, original = victim
            if miner.kind is Kind.COPIES_REFERENCE:
                model, repository = target, original
            elif miner.kind is Kind.COPIES_CONTENT:
                repository = original
            else:
                repository = FakeRepository(f"content-{entry}", original.checkpoint_hashes, original.behaviour)
        if miner.kind is Kind.COLLUDES:
            # All colluding miners enter one checkpoint under many names.
            ring = f"ring-{miner.competition.id}"
            repository = FakeRepository(f"content-{entry}", (ring, f"own-{entry}"), Behaviour(0.6))
        if miner.kind is Kind.WITHHELD:
            repository = replace(repository, hub_fault=HubUnavailable("The hub answered 403"))
        self.hub.repositories[model] = repository
        reveal = salted_reveal(model, miner.hotkey, miner.competition.id, repository.content_hash)
        self.chain.publish(miner.hotkey, reveal.digest(miner.hotkey))
        for mark in self._marks(model):
            self.since_blocks.setdefault((miner.hotkey, mark), self.chain.head().number)
        self.reveals[miner.hotkey] = reveal
        if miner.kind is Kind.MISREVEALS:
            other = ModelRef("other", "model", f"{entry:040x}")
            self.reveals[miner.hotkey] = replace(reveal, model=other, content_hash="other")
        elif miner.kind is Kind.HIDES:
            del self.reveals[miner.hotkey]
        elif miner.kind is Kind.VANISHES:
            del self.hub.repositories[model]

    def entered_at(self, hotkey: str, other: str) -> tuple[int, int]:
        """The first block in which a miner entered a mark that it shares with the other, and its uid."""
        own_marks, other_marks = (self._marks(self.reveals[name].model) for name in (hotkey, other))
        shared_marks = own_marks & other_marks
        return min(self.since_blocks[hotkey, mark] for mark in shared_marks), self.chain.register(hotkey)

    def _marks(self, model: ModelRef) -> set[str]:
        repository = self.hub.repositories[model]
        return {str(model), repository.content_hash, *repository.checkpoint_hashes}

    def _victim(self, miner: Miner) -> tuple[ModelRef, FakeRepository] | None:
        """A revealed model of the same competition for a copying miner to copy; None if there is none."""
        if miner.kind not in _COPIES:
            return None
        candidates = [
            reveal.model
            for hotkey, reveal in sorted(self.reveals.items())
            if hotkey != miner.hotkey
            and reveal.competition_id == miner.competition.id
            and reveal.model in self.hub.repositories
            and not is_stuck(self.hub.repositories[reveal.model])
        ]
        if not candidates:
            return None
        target = candidates[int(self.rng.integers(len(candidates)))]
        return target, self.hub.repositories[target]


def is_stuck(repository: FakeRepository) -> bool:
    """Whether the hub or the sandbox fails for this model on every validator."""
    return repository.hub_fault is not None or repository.behaviour.engine_fault is not None


def validator_hotkey(number: int) -> str:
    return f"validator-{number}"


def _behaviour(miner: Miner) -> Behaviour:
    if miner.kind is Kind.CRASHES:
        return Behaviour(miner.quality, batch_fault=ModelCrashed("The process ended", 139))
    if miner.kind is Kind.NEVER_LOADS:
        return Behaviour(miner.quality, load_fault=ProtocolViolation("/status/ answered 500"))
    if miner.kind is Kind.STALLS:
        return Behaviour(miner.quality, batch_fault=ModelTimeout("enhance", 30.0))
    if miner.kind is Kind.TRUNCATES:
        return Behaviour(miner.quality, clip_failure=Failure("length", "half a second short"))
    if miner.kind is Kind.CANNOT_RUN:
        return Behaviour(miner.quality, engine_fault=EngineUnavailable("The image base cannot be pulled"))
    return Behaviour(0.0 if miner.kind is Kind.IDLES else miner.quality)


def draw_fake_clips(request: SetRequest, indices: tuple[int, ...]) -> DrawnClips:
    """Replaces `draw_to_disk`: clips of 16 samples. The first sample is the difficulty of the clip."""
    digests: dict[str, str] = {}
    for index in indices:
        clip_id = f"clip-{index:04d}"
        paths = [request.folder / kind / f"{clip_id}.wav" for kind in ("clean", "degraded")]
        if not paths[1].exists():  # Otherwise it was written before the last kill, with the same samples.
            samples = np.zeros((2, _SAMPLES), dtype=np.float32)
            samples[0, 0] = 0.9 * unit_interval("hard", request.seed, index)
            for path, signal in zip(paths, samples, strict=True):
                write_wav(path, Audio(signal, request.competition.sample_rate_hz))
        digests[clip_id] = digest_of_digests({clip_id: f"{request.seed}:{index}"})
    return DrawnClips(digests, {clip_id: {} for clip_id in digests}, dict.fromkeys(digests, 1.0), 0.0)


def score_fake_clip(clean: Path, _degraded: Path, enhanced: Path, names: tuple[str, ...]) -> Scored:
    """Replaces `score_files`: the score grows with the quality in the enhanced clip, and falls on hard clips."""
    hardness = float(read_wav(clean).samples[0])
    quality, chance = (float(value) / _QUALITY_SCALE for value in read_wav(enhanced).samples[:2])
    level = 0.3 + 0.5 * quality + 0.02 * chance - 0.2 * hardness
    return Scored({name: 4.0 * level if name == "PESQ_WB" else level for name in names}, 0.0)


def see_fake_clip(_clean: Path, _degraded: Path, enhanced: Path) -> ClipEvidence:
    """Replaces `evidence_of_files`: no signs of tampering. The enhanced file must exist."""
    if not enhanced.is_file():
        raise InfrastructureFault(f"{enhanced} is missing")
    return ClipEvidence(deleted=0.0, hallucinated=0.0, likeness_to_input_db=10.0)
