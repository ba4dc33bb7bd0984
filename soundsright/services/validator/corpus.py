"""A validator's commitment to its private corpus, and the comparison with those of the other validators.

Blocks are counted, times are in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from soundsright.core.corpus_commitment import CorpusCommitment, corpus_commitment_in
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.material import Material
from soundsright.core.ports import Clock, LiveChain, Neuron
from soundsright.core.round_commitment import keeps, reason_to_leave
from soundsright.core.submission import Commitment
from soundsright.core.system_commitments import is_entry_commitment
from soundsright.services.http import Health
from soundsright.services.report import disclose
from soundsright.services.rounds import PRIVATE_FOLDER, commitment_to, retirement

CHECK_EVERY_S = 600.0


def entries_among(commitments: Sequence[Commitment]) -> tuple[Commitment, ...]:
    """The commitments that can be entries, without those to a corpus and of other systems."""
    return tuple(c for c in commitments if is_entry_commitment(c.digest))


def difference(own: CorpusCommitment, hotkey: str, other: CorpusCommitment) -> str:
    """How another validator's commitment differs from one's own, and what to do; empty if it does not."""
    if other == own:
        return ""
    if other.root != own.root:
        return (
            f"The validator {hotkey} committed the corpus {other.root}, and this one has {own.root}: their rounds"
            " differ. Exchange the corpus with `soundsright corpus export`, so that both have the same root."
        )
    return (
        f"The validator {hotkey} has the same corpus {own.root}, but the other parameters of its sets are"
        f" {other.parameters}, and here {own.parameters}: their rounds differ. Use the same SOUNDSRIGHT_CLIPS"
        " and the same speech."
    )


class CorpusKeeper:
    """Keeps the commitment of `hotkey` to its corpus on the chain. Problems show in `health`."""

    def __init__(
        self, chain: LiveChain, hotkey: str, material: Material, clips: int, clock: Clock, health: Health
    ) -> None:
        self._chain = chain
        self._hotkey = hotkey
        self._material = material
        self._clips = clips
        self._clock = clock
        self._health = health
        self._due_s = float("-inf")
        self._present: CorpusCommitment | None = None
        self._committed: CorpusCommitment | None = None

    def tend(self, neurons: Sequence[Neuron]) -> None:
        """Commit to the corpus if the chain does not have its present root, and compare it with the others'.

        Raises:
            ChainUnavailable: the chain does not answer.
            UsageError: the corpus cannot be read.
        """
        if not self._material.is_private:
            return
        own = commitment_to(self._material, self._clips)
        now_s = self._clock.now()
        if own == self._present and now_s < self._due_s:
            return
        self._present, self._due_s = own, now_s + CHECK_EVERY_S
        on_chain = {c.hotkey: c.digest for c in self._chain.commitments()}
        problems = []
        if problem := self._published(on_chain.get(self._hotkey, ""), own):
            problems.append(f"{problem}. Until the corpus {own.root} is committed, rounds pay nobody.")
        validators = [neuron.hotkey for neuron in neurons if neuron.permit and neuron.hotkey != self._hotkey]
        for hotkey in validators:
            other = corpus_commitment_in(on_chain.get(hotkey, ""))
            if other is not None and (sentence := difference(own, hotkey, other)):
                problems.append(sentence)
        self._health.problem("corpus", " ".join(problems) or None)

    def _published(self, present: str, own: CorpusCommitment) -> str:
        """Publish the commitment unless `present` has it or must stay. Returns why it is not published."""
        if corpus_commitment_in(present) == own:
            self._committed = own
            return ""
        if problem := reason_to_leave(present, committed=self._committed if self._committed == own else None):
            return problem
        result = self._chain.publish(self._hotkey, keeps(present, own))
        if not result.ok:
            return f"The chain refused the commitment to the corpus: {result.message or result.code}"
        self._committed = own
        self._health.event("success", f"Committed to the corpus {own.root}", action="corpus_committed")
        return ""

    def disclose(self, rounds: Path, number: int) -> None:
        """Publish what earlier rounds kept private of recordings that retire before round `number`.

        `rounds` has a folder for each round.
        """
        if not self._material.is_private:
            return
        problems = []
        for folder in sorted(path.parent for path in rounds.glob(f"*/{PRIVATE_FOLDER}")):
            if not (folder / "results.json").exists():
                continue  # The round is not finished.
            try:
                disclosure = disclose(folder, retirement(self._material, number))
            except (UsageError, InfrastructureFault) as error:
                problems.append(f"{folder.name}: {error}")
                continue
            if disclosure.published:
                left = f"; {disclosure.still_private} stay private" if disclosure.still_private else ""
                self._health.event(
                    "success",
                    f"Round {folder.name}: {disclosure.published} clips are published{left}",
                    action="disclosed",
                )
        self._health.problem("disclosure", " ".join(problems) or None)
