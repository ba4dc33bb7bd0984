"""Stage a competition on one machine: register the miners, then publish, commit and reveal their models.

After that, a validator runs its normal round. Nothing here scores or ranks. The chain's time is in blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from soundsright.core.competition import Competition, competition_by_id
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.corpus_commitment import CorpusCommitment
from soundsright.core.errors import EntryRefused, InfrastructureFault, UnpublishableFolder, UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import BlockRef, Chain, ModelHub, Publisher
from soundsright.core.schedule import Round
from soundsright.core.sources import ModelRef, hub_model
from soundsright.core.submission import FetchedModel, Reveal, Submission, commitment_digest
from soundsright.core.text_files import text_of_file, toml_table
from soundsright.core.toml_location import TomlLocation

VALIDATOR = "validator"
RESERVED = frozenset({VALIDATOR, "unprocessed"})
SEED_BLOCKS = 1_000
"""The number of the seed's block is a multiple of this, so that a trial with fewer entries draws the same clips."""
MAX_ENTRIES = 256
MAX_FILE_BYTES = 1_000_000
_KEYS = {"miner", "model", "competition", "incumbent", "needs"}
_EXAMPLE = "`soundsright init-competition` writes an example."
_NO_REVISION = "0" * 40
"""The revision in the commitment of a folder that could not be published. No published model has it."""


class StagedChain(Chain, Protocol):
    """A local chain, on which this program registers hotkeys and makes blocks."""

    def register(self, hotkey: str, *, stake: float = 0.0, permit: bool = False) -> int: ...
    def advance(self, blocks: int = 1) -> BlockRef: ...


@dataclass(frozen=True)
class TrialEntry:
    """One miner of a trial: its hotkey, the folder of its model, and its competition.

    `needs` names the packages, as pip does, that the model imports and that no extra of SoundsRight installs.
    """

    miner: str
    folder: Path
    competition: Competition
    incumbent: bool = False
    needs: tuple[str, ...] = ()

    @property
    def missing_packages(self) -> tuple[str, ...]:
        """The packages in `needs` that this environment lacks."""
        return tuple(name for name in self.needs if not _is_installed(name))


@dataclass(frozen=True)
class Staged:
    """The input of the round: its blocks, and the reveals of the miners by hotkey."""

    round: Round
    reveals: dict[str, Reveal]


class OwnHub(ModelHub, Publisher, Protocol):
    """A local hub, to which this program also publishes."""


@dataclass(frozen=True)
class StagedHub:
    """The `ModelHub` of a trial. It refuses each entry whose folder could not be published.

    `folders` are by hotkey.
    """

    hub: OwnHub
    folders: Mapping[str, Path]

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        model = hub_model(submission.source)
        if model.revision == _NO_REVISION:
            try:
                self.hub.publish(model.namespace, model.name, self.folders[submission.hotkey])
            except UnpublishableFolder as error:
                raise error.refusal from error
        return self.hub.fetch(submission, limits=limits)

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        return self.hub.cached(submission, content_hash)

    def forget(self, keep: Collection[str]) -> int:
        return self.hub.forget(keep)


def read_entries(
    path: Path, competitions: Sequence[Competition], chosen_ids: Collection[str]
) -> tuple[TrialEntry, ...]:
    """The entries of a TOML file for the competitions whose ids are in `chosen_ids`.

    Raises:
        UsageError: the file has a mistake, or no entry for these competitions.
    """
    table = toml_table(text_of_file(path, MAX_FILE_BYTES, _EXAMPLE), str(path), _EXAMPLE)
    location = TomlLocation(str(path))
    rows = location.table(table, {"entry"}).get("entry")
    if isinstance(rows, dict):
        raise location.error("`[entry]` needs double brackets: [[entry]]", _EXAMPLE)
    if not isinstance(rows, list) or not rows:
        raise location.error("the file has no [[entry]]", f"Add one. {_EXAMPLE}")
    if len(rows) > MAX_ENTRIES:
        raise location.error(
            f"the file has {len(rows)} [[entry]]; at most {MAX_ENTRIES} are allowed", "Remove some."
        )
    entries = [
        _entry(location.under(f"entry {n}"), path.parent, row, competitions) for n, row in enumerate(rows, 1)
    ]
    miners = [entry.miner for entry in entries]
    repeated = next((miner for miner in miners if miners.count(miner) > 1), None)
    if repeated is not None:
        raise UsageError(
            f"{path}: miner {repeated!r} enters twice", "A hotkey has one entry. Rename one of the miners."
        )
    for competition in {entry.competition.id for entry in entries}:
        if sum(entry.incumbent and entry.competition.id == competition for entry in entries) > 1:
            raise UsageError(f"{path}: {competition} has two incumbents", "Mark only one entry as incumbent.")
    chosen = tuple(entry for entry in entries if entry.competition.id in chosen_ids)
    if not chosen:
        names = ", ".join(sorted(chosen_ids))
        raise UsageError(f"{path} has no entry for {names}", "Add an entry, or choose another competition.")
    return chosen


def _entry(location: TomlLocation, beside: Path, row: object, competitions: Sequence[Competition]) -> TrialEntry:
    table = location.table(row, _KEYS)
    miner, model, competition_id = (
        location.under(key).text(location.required(table, key)) for key in ("miner", "model", "competition")
    )
    incumbent = location.under("incumbent").true_or_false(table.get("incumbent", False))
    if miner in RESERVED:
        raise location.error(f"the name {miner!r} is reserved", "Give the miner another name.")
    folder = beside / model
    if not folder.is_dir():
        raise location.error(f"{folder} is not a folder", "`soundsright init-model` writes an example.")
    try:
        ModelRef(miner, folder.name, _NO_REVISION)
    except EntryRefused as error:
        raise location.error(str(error), "Use only letters, digits and - _ . in names.") from error
    competition = location.built(lambda: competition_by_id(competition_id, competitions))
    return TrialEntry(miner, folder, competition, incumbent, location.under("needs").names(table.get("needs", [])))


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def trial_rules(rules: CompetitionRules) -> CompetitionRules:
    """The rules of a trial on one machine. Its commitments have no salt, because nobody else can see them."""
    return replace(rules, entry_rules=replace(rules.entry_rules, unsalted=True))


def stage(
    entries: Sequence[TrialEntry],
    *,
    chain: StagedChain,
    hub: Publisher,
    round_id: str,
    corpus: CorpusCommitment | None = None,
) -> Staged:
    """Register, publish, commit and reveal one miner after the other. Then make blocks up to the seed's block.

    The validator commits to its private `corpus` first, if it has one. An entry whose folder cannot be published is
    committed too: `StagedHub` refuses it, and the others compete.

    Raises:
        EntryRefused: the name of a miner or folder is not a valid name on a hub.
        InfrastructureFault: the chain refused a commitment.
    """
    chain.register(VALIDATOR, stake=1_000.0, permit=True)
    if corpus is not None:
        committed = chain.publish(VALIDATOR, corpus.text)
        if not committed.ok:
            raise InfrastructureFault(f"The chain refused the commitment to the corpus: {committed.message}")
    for entry in entries:
        chain.register(entry.miner)
    reveals: dict[str, Reveal] = {}
    for entry in entries:
        try:
            model = hub.publish(entry.miner, entry.folder.name, entry.folder)
        except UnpublishableFolder:
            model = ModelRef(entry.miner, entry.folder.name, _NO_REVISION)
        result = chain.publish(entry.miner, commitment_digest(model, entry.miner, entry.competition.id))
        if not result.ok:
            raise InfrastructureFault(f"The chain refused {entry.miner}'s commitment: {result.message}")
        reveals[entry.miner] = Reveal(model, entry.competition.id)
    close = chain.head().number
    seed_block = chain.advance(SEED_BLOCKS - close % SEED_BLOCKS).number
    return Staged(Round(round_id, close, seed_block), reveals)
