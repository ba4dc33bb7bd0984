"""The competition that `compete` runs: everything that decides its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundsright.core.errors import UnpublishableFolder
from soundsright.core.material import MIXED_NOISE, Material

if TYPE_CHECKING:
    from soundsright.core.competition import Competition
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.services.local import TrialEntry

_USUAL_METRICS = ("PESQ_WB", "ESTOI", "SI_SDR", "SI_SIR", "SI_SAR")


def shown_metrics(competitions: Sequence[Competition]) -> tuple[str, ...]:
    """The metrics to show: the usual ones, and any other that counts for a prize."""
    paying = [name for competition in competitions for name in competition.metric_weights]
    return tuple(dict.fromkeys((*_USUAL_METRICS, *paying)))


@dataclass(frozen=True)
class CompetitionRequest:
    """The competition to run. The fields before `out` decide the result; if one changes, no run continues."""

    rules: CompetitionRules
    clips: int
    seed: int
    entries: tuple[TrialEntry, ...]
    material: Material
    pay_on_public_corpus: bool
    out: Path

    @property
    def metrics(self) -> tuple[str, ...]:
        return shown_metrics(self.rules.competitions)

    def needed_bytes(self) -> float:
        """About how much the run writes: clips, answers, and two copies of each model."""
        from soundsright.data import PUBLISHED_RECIPE

        clip_s = sum(PUBLISHED_RECIPE.duration_s) / 2
        total = 0.0
        for competition in self.rules.competitions:
            signals = 2 + sum(entry.competition.id == competition.id for entry in self.entries)
            total += self.clips * signals * clip_s * competition.sample_rate_hz * 2
        for folder in {entry.folder for entry in self.entries}:
            total += 2 * sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return total

    def identity(self) -> dict[str, Any]:
        """Everything that decides the result, as JSON values."""
        from soundsright.rules import entries_facts

        return {
            "competitions": [
                [c.id, dict(c.metric_weights), c.max_score, c.remainder]
                + ([] if c.has_default_name else [c.task.value, c.sample_rate_hz])
                for c in self.rules.competitions
            ],
            "clips": self.clips,
            "seed": self.seed,
            "ruleset": self.rules.ruleset.digest,
            "rules_of_entry": entries_facts(self.rules),
            "entries": [[e.miner, _content_of(e.folder), e.competition.id, e.incumbent] for e in self.entries],
            "corpus": str(self.material.corpus.resolve()) if self.material.corpus else None,
            **self._other_choices(),
        }

    def _other_choices(self) -> dict[str, Any]:
        """The settings that decide the result and are not the default. So runs of old versions continue."""
        from soundsright.services.rounds import material_digest

        facts: dict[str, Any] = {"pay_on_public_corpus": True} if self.pay_on_public_corpus else {}
        if self.material.noise != MIXED_NOISE:
            facts["noise"] = self.material.noise
        if self.material.is_private:
            facts |= {"corpus_root": material_digest(self.material), "corpus_round": self.material.round_number}
        return facts


def _content_of(folder: Path) -> str:
    """The content hash under which the entry is published, or the reason why it cannot be published."""
    from soundsright.adapters.hubs import folder_hash

    try:
        return folder_hash(folder)
    except UnpublishableFolder as error:
        return error.problem
