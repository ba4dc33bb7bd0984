"""The checks that a validator makes before it pays a round: seed, set, and whether its recordings are public.

The validator decides itself. What the executor says against its own interest is believed: that its recordings are
public, or that it has no new speech. Everything else counts only if the validator has the same corpus or the same
program for speech, and draws the same set. What it cannot know is treated as public. Blocks are counted.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from soundsright.core.canonical import canonical_json
from soundsright.core.competition import Competition
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.errors import ChainUnavailable
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.image_rounds import image_round_at
from soundsright.core.images import Challenge
from soundsright.core.material import Material
from soundsright.core.ports import LiveChain
from soundsright.core.schedule import Schedule
from soundsright.core.unpaid import NOT_COMMITTED, PUBLIC_CORPUS
from soundsright.services.executor.openness import possible_corpus_rounds
from soundsright.services.executor.paying import bad_table
from soundsright.services.executor.redrawing import Redrawing
from soundsright.services.executor.results import RoundResults
from soundsright.services.rounds import committed_block, material_digest, public_competitions, roots_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """Whether a round is paid. `reason` is the code why not, and empty if it is; `sentence` says it to people."""

    reason: str = ""
    sentence: str = ""


class RoundCheck(Protocol):
    """Decides whether a round is paid. `basis` names the settings that the verdict depends on."""

    @property
    def basis(self) -> str: ...
    def __call__(self, results: RoundResults) -> Verdict: ...


@dataclass(frozen=True)
class ResultsCheck:
    """A validator's check of a round's results. `material` is what this validator has.

    With `pays_on_public`, rounds are paid also on recordings that anybody may have heard. Without `redrawing`, no
    set can be drawn, so all recordings are treated as public.
    """

    organiser: CompetitionRules
    chain: LiveChain
    material: Material
    pays_on_public: bool = False
    schedule: Schedule | None = None
    redrawing: Redrawing | None = None

    @property
    def basis(self) -> str:
        """The SHA-256 of this validator's choice, recordings, speech and schedule.

        Raises:
            UsageError: there is no corpus, or it cannot be read.
        """
        speech = self.material.speech
        facts = {
            "pays_on_public": self.pays_on_public,
            "corpus": material_digest(self.material),
            "is_private": self.material.is_private,
            "noise": self.material.noise,
            "speech": None if speech is None else dict(speech.facts),
            "schedule": None if self.schedule is None else asdict(self.schedule),
            "draws": self.redrawing is not None,
        }
        return hashlib.sha256(canonical_json(facts).encode()).hexdigest()

    def __call__(self, results: RoundResults) -> Verdict:
        """Check results whose signature is that of the executor.

        Raises:
            PeerUnavailable: `bad_table`, if the results contradict the chain or their own set.
            InfrastructureFault: the chain does not know the seed's block yet, or does not answer.
            UsageError: the recordings of this machine cannot be read.
        """
        challenge = results.challenge
        competition = self._checked_seed(challenge)
        own = self._own_material(results, competition)
        is_public = own is None or bool(public_competitions(own, (competition,)))
        if is_public and not self.pays_on_public:
            return Verdict(PUBLIC_CORPUS, _public_sentence(results, known=own is not None))
        if own is None or self.redrawing is None:
            _log.info(
                "round %s: its set was not drawn again, because this validator lacks its recordings or speech",
                results.round_id,
                extra={"action": "set_not_drawn"},
            )
            return Verdict()
        if difference := self.redrawing.difference(results, competition, own):
            raise bad_table(f"round {results.round_id}: {difference}")
        if own.is_private and not is_public:
            committed = committed_block(self.chain, results.signer, roots_of(own), challenge.seed_block)
            if committed is None:
                return Verdict(
                    NOT_COMMITTED,
                    f"Nobody is paid on round {results.round_id}, because its executor had not committed to its"
                    f" corpus {challenge.corpus_digest[:16]} on the chain before block {challenge.seed_block}",
                )
        return Verdict()

    def _checked_seed(self, challenge: Challenge) -> Competition:
        """The competition of the challenge, if block, hash and competition are those of the chain and the rules."""
        block = challenge.seed_block
        due = image_round_at(block, (self.organiser.executor or ExecutorRules()).update_blocks)
        if due is None or (due.seed_block, due.id) != (block, challenge.round_id):
            raise bad_table(f"round {challenge.round_id[:60]} cannot begin with block {block}")
        competition = due.competition(self.organiser.competitions)
        if competition.id != challenge.competition_id:
            raise bad_table(
                f"round {challenge.round_id} is of {challenge.competition_id[:60]}, and it is the turn of"
                f" {competition.id}"
            )
        if self.chain.finalized().number < block:
            raise ChainUnavailable(
                f"Block {block}, from which round {challenge.round_id} was drawn, is not final here yet",
                "Wait until this validator's node has it.",
            )
        own = self.chain.block_hash(block)
        if own.removeprefix("0x").lower() != challenge.block_hash.removeprefix("0x").lower():
            raise bad_table(
                f"round {challenge.round_id} was drawn from the hash {challenge.block_hash[:12]} of block {block},"
                f" and the chain has {own[:12]} there"
            )
        return competition

    def _own_material(self, results: RoundResults, competition: Competition) -> Material | None:
        """The material of this machine from which the set can be drawn again; None if it has another one."""
        stated, material = results.material, self.material
        if stated is None or self.redrawing is None:
            return None
        if material.is_private:
            possible = possible_corpus_rounds(self.chain, self.schedule, results.challenge.seed_block)
            if stated.corpus_round not in possible:
                return None
            material = replace(material, round_number=stated.corpus_round)
        if results.challenge.corpus_digest not in roots_of(material):
            return None
        if not stated.speech:
            return replace(material, speech=None)
        speech = material.speech_for(competition.sample_rate_hz)
        same = speech is not None and speech.repeats_itself and dict(speech.facts) == dict(stated.speech)
        return material if same else None


def _public_sentence(results: RoundResults, *, known: bool) -> str:
    shown = results.challenge.corpus_digest[:16]
    why = (
        "are public"
        if known or (results.material is not None and results.material.is_public)
        else "may be public: this validator does not have them"
    )
    return (
        f"Nobody is paid on round {results.round_id}, because its recordings {why} (corpus {shown}). An image could"
        " contain the clean speech. Use the executor's private corpus or its program for speech here too, or pay"
        " anyway with SOUNDSRIGHT_PAY_ON_PUBLIC_CORPUS=true"
    )
