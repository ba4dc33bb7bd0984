"""One competition on which attacks are played: the real round service, on a chain in memory and a hub in a folder.

Everything between the commitments and the weights is the real code. Three things differ from a validator's round:

- The clips of a round are drawn from a pool, which the real generator made once.
- Models run in this process, and the answer of a system to a clip is computed once.
- Scores and evidence of an answer, and the tensors of a file, are computed once.

Shares are percent of a round's emission; blocks are counted.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from soundsright.adapters.hubs import FolderHub
from soundsright.core.competition import Competition
from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.ports import Answer, DegradedClip, SandboxLimits
from soundsright.core.results import Timing
from soundsright.core.rulesets import Ruleset
from soundsright.core.schedule import Round
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Reveal
from soundsright.metrics import floors
from soundsright.services.rounds import RoundContext, RoundOutcome, RoundPlan, RoundService, commitment_to
from soundsright.testing.attacks.pool import ClipPool
from soundsright.testing.attacks.systems import System
from soundsright.testing.entries import salted_reveal
from soundsright.testing.fakes import FakeChain, InlinePool, VirtualClock
from soundsright.testing.state import MemoryState

BURN_HOTKEY = "owner"
VALIDATOR = "validator"
DAY_BLOCKS = 7_200
_BLOCKS_TO_SEED = 10


@dataclass(frozen=True)
class Entrant:
    """An entry: its hotkey, the files that it publishes, and the system that answers for it.

    A sandbox would run the files. Here the two are given separately, so a disguise of the files is free to make.
    """

    hotkey: str
    system: System
    folder: Path


Cast = tuple[Entrant, ...]
"""The entries of a round, in the order of their commitments."""


@dataclass
class Setting:
    """What a stage keeps between rounds: the chain, the state, the published models, and who entered them."""

    chain: FakeChain
    state: MemoryState = field(default_factory=MemoryState)
    reveals: dict[str, Reveal] = field(default_factory=dict)
    models: dict[str, ModelRef] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One competition with its rules and its pool of clips. `folder` is for files that can be thrown away.

    A private corpus is committed on the chain before entries close. `pays_on_public` overrides the rule that public
    recordings pay nobody.
    """

    competition: Competition
    ruleset: Ruleset
    pool: ClipPool
    folder: Path
    clips: int
    seed: int = 0
    pays_on_public: bool = False

    def opened(self, history: Cast) -> Setting:
        """The setting after a first round of `history`, in which the titles were won."""
        chain = FakeChain(seed=self.seed, start_s=1.7e9)
        chain.register(BURN_HOTKEY)
        chain.register(VALIDATOR, permit=True)
        if self.pool.material.is_private:
            chain.publish(VALIDATOR, commitment_to(self.pool.material, self.clips).text)
        setting = Setting(chain)
        self.play(setting, history, number=0)
        return setting

    def continued(
        self, setting: Setting, cast: Cast, *, number: int, after_blocks: int = DAY_BLOCKS
    ) -> RoundOutcome:
        """The outcome of another round, `after_blocks` later. The setting itself does not change."""
        later = copy.deepcopy(setting)
        later.chain.advance(after_blocks)
        return self.play(later, cast, number=number)

    def play(self, setting: Setting, cast: Cast, *, number: int) -> RoundOutcome:
        """Let the cast enter in its order, and play a round. Hotkeys outside the cast reveal nothing."""
        for entrant in cast:
            self._enter(setting, entrant)
        chain = setting.chain
        round_ = Round(f"round-{number:04d}", chain.head().number, chain.head().number + _BLOCKS_TO_SEED)
        chain.advance(2 * _BLOCKS_TO_SEED)
        reveals = {entrant.hotkey: setting.reveals[entrant.hotkey] for entrant in cast}
        folder = self.folder / "round"
        try:
            return RoundService(self._context(setting, round_, cast, folder, number), reveals).run()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _enter(self, setting: Setting, entrant: Entrant) -> None:
        """Publish and commit the entrant's model, unless that is its entry already."""
        model = self._published(entrant)
        setting.chain.register(entrant.hotkey)
        if setting.models.get(entrant.hotkey) == model:
            return
        setting.models[entrant.hotkey] = model
        content = self._hub().content_of(model)
        reveal = salted_reveal(model, entrant.hotkey, self.competition.id, content)
        setting.reveals[entrant.hotkey] = reveal
        setting.chain.publish(entrant.hotkey, reveal.digest(entrant.hotkey))

    def _published(self, entrant: Entrant) -> ModelRef:
        return self._hub().publish(entrant.hotkey, "model", entrant.folder)

    def _hub(self) -> FolderHub:
        return FolderHub(self.folder / "hub", self.folder / "cache")

    def _context(self, setting: Setting, round_: Round, cast: Cast, folder: Path, number: int) -> RoundContext:
        metrics = tuple(dict.fromkeys((*self.competition.metric_weights, "SI_SDR", "ESTOI")))
        plan = RoundPlan(
            round_,
            CompetitionRules((self.competition,), self.ruleset),
            Measures(self.clips, metrics, floors(metrics), self.pool.material),
            burn_uid=setting.chain.register(BURN_HOTKEY),
            batch_audio_s=1e9,
            pay_on_public_corpus=self.pays_on_public,
        )
        return RoundContext(
            plan,
            chain=setting.chain,
            hub=self._hub(),
            sandbox=InProcess({entrant.hotkey: entrant.system for entrant in cast}, self.pool.answer),
            state=setting.state,
            pool=InlinePool(self.pool.jobs(self.seed, number)),
            clock=VirtualClock(1.7e9),
            folder=folder,
            validator=VALIDATOR,
            slots=1,
            workers=1,
        )


@dataclass(frozen=True)
class InProcess:
    """The `Runner` port: the entry of a hotkey answers with its system, in this process."""

    systems: Mapping[str, System]
    answer: Callable[[System, DegradedClip], Answer]
    name: str = "in-process"
    isolated: bool = False

    def prepare(self, model: FetchedModel) -> None:
        """Do nothing: there is no image."""

    @contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[_Answering]:
        yield _Answering(self.systems[model.submission.hotkey], self.answer)

    def stop(self) -> None:
        """Do nothing: there are no processes."""


@dataclass(frozen=True)
class _Answering:
    system: System
    answer: Callable[[System, DegradedClip], Answer]

    @property
    def timing(self) -> Timing:
        return Timing(load_s=1.0)

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        return tuple(self.answer(self.system, clip) for clip in batch)


def shares_of(outcome: RoundOutcome) -> dict[str, float]:
    """What each hotkey earns in the round, from the weights that the validator sets."""
    payable = sum(board.competition.max_score + board.competition.remainder for board in outcome.leaderboards)
    hotkeys = {s.submission.uid: s.submission.hotkey for board in outcome.leaderboards for s in board.standings}
    weights = outcome.weights.by_uid
    return {hotkey: payable * weights.get(uid, 0.0) for uid, hotkey in hotkeys.items()}


def codes_of(outcome: RoundOutcome) -> dict[str, str]:
    """The code with which each refused hotkey was refused."""
    return {refusal.hotkey: refusal.code for refusal in outcome.refusals}
