"""The state of a federation as one validator reads it: who had which turn, the ranks, and the latest tasks.

It is a plain file that a validator saves for pages. Nothing in it is signed: the signed verdicts are in the
buckets. Blocks are counted, tasks are numbered by `block // interval`, means are in their metric's unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from soundsright.core.errors import UsageError
from soundsright.core.strict_json import MAX_DEPTH, NotStrictJson, strict_json
from soundsright.ranking import Apart, Judged, JudgedBy
from soundsright.services.records.fields import Count, Number, SafeName, ShortText, first_fault

TABLE_FILE = "federation.json"
AUDIO_FOLDER = "audio"
MAX_TABLE_BYTES = 64 << 20

Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:+-]{1,100}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")]


class TurnState(StrEnum):
    """The outcome of a validator's turn in a task, as the reader of all buckets sees it."""

    ON_TIME = "on time"
    BACKUP = "backup"
    MISSING = "missing"
    REJECTED = "rejected"
    TWO_VERDICTS = "two verdicts"
    UNREAD = "not read"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableTurn(_Part):
    """A validator's turn in a task. `note` says why a verdict was rejected, or why its bucket was not read."""

    task: Count
    validator: Address
    state: TurnState
    note: ShortText = ""


class TableRate(_Part):
    """A miner at one validator: the tasks that it passed, of those that this validator judged."""

    passed: Count
    tasks: Count


class TableRank(_Part):
    """A miner's place in one competition. `score` is the mean over validators of each one's rate."""

    competition: SafeName
    rank: Count | None
    hotkey: Address
    uid: Count
    block: Count
    score: Number
    is_eligible: bool
    rates: Annotated[Mapping[Address, TableRate], Field(max_length=256)]
    note: ShortText = ""


class TableRow(_Part):
    """A miner in one task."""

    competition: SafeName
    hotkey: Address
    model: ShortText
    passed: bool
    failures: Count
    means: Annotated[Mapping[SafeName, Number], Field(max_length=64)]


class TableTask(_Part):
    """A judged task: its canonical verdict. `clips` are the files of its audio that stand beside the table."""

    task: Count
    validator: Address
    block: Count
    block_hash: ShortText
    digest: Digest
    unprocessed: Annotated[Mapping[SafeName, Mapping[SafeName, Number]], Field(max_length=64)]
    rows: Annotated[tuple[TableRow, ...], Field(max_length=4_096)]
    clips: Annotated[tuple[SafeName, ...], Field(max_length=1_000)] = ()


class FederationTable(_Part):
    """The state of a federation at a block.

    `names` are words for addresses, which may be empty. `winners` are by competition, `weights` by hotkey; what no
    hotkey gets burns. `problems` are sentences about what could not be read.
    """

    document: Annotated[Literal["soundsright.federation-table/1"], Field(alias="schema")] = (
        "soundsright.federation-table/1"
    )
    block: Count
    epoch_block: Count
    interval: Annotated[int, Field(ge=1, le=1_000_000)]
    allowlist: Digest
    rules: Digest
    validators: Annotated[tuple[Address, ...], Field(min_length=1, max_length=256)]
    turn: Address
    window: Annotated[tuple[Count, ...], Field(max_length=10_000)] = ()
    turns: Annotated[tuple[TableTurn, ...], Field(max_length=100_000)] = ()
    ranks: Annotated[tuple[TableRank, ...], Field(max_length=16_384)] = ()
    tasks: Annotated[tuple[TableTask, ...], Field(max_length=1_000)] = ()
    winners: Annotated[Mapping[SafeName, Address], Field(max_length=64)] = {}
    weights: Annotated[Mapping[Address, Number], Field(max_length=4_096)] = {}
    names: Annotated[Mapping[Address, ShortText], Field(max_length=8_192)] = {}
    problems: Annotated[tuple[ShortText, ...], Field(max_length=100)] = ()

    def name(self, hotkey: str) -> str:
        """The word for an address, or its first eight characters."""
        return self.names.get(hotkey) or (hotkey if len(hotkey) < 10 else hotkey[:8] + "…")

    def text(self) -> str:
        """The table as JSON."""
        return self.model_dump_json(by_alias=True, indent=1)


def judged_by(ranks: Sequence[TableRank], validators: Sequence[str]) -> JudgedBy:
    """The rates in the ranks by validator. A miner counts once for each competition."""
    return {
        validator: {
            f"{row.competition} {row.hotkey}": Judged(rate.passed, rate.tasks)
            for row in ranks
            if (rate := row.rates.get(validator)) is not None and rate.passed <= rate.tasks
        }
        for validator in validators
    }


def apart_sentence(table: FederationTable, apart: Apart) -> str:
    """The evidence that a validator's verdicts on a miner differ from the others', as a sentence."""
    competition, _, hotkey = apart.miner.partition(" ")
    judge, miner = table.name(apart.validator), table.name(hotkey)
    return (
        f"{judge} let {miner} pass {apart.own.passed} of {apart.own.tasks} tasks in {competition}, the others "
        f"{apart.others.passed} of {apart.others.tasks}. Chance alone would do that with p = {apart.p_value:.1g}."
    )


def write_federation_table(folder: Path, table: FederationTable) -> None:
    """Write the table into a folder, whole or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{TABLE_FILE}.part"
    part.write_text(table.text(), encoding="utf-8")
    part.replace(folder / TABLE_FILE)


def read_federation_table(path: Path) -> FederationTable:
    """The table in a folder, or in its file.

    Raises:
        UsageError: it cannot be read, is too large, or is no such table.
    """
    file = path / TABLE_FILE if path.is_dir() else path
    remedy = "Give a folder that `soundsright federation get-rank --save` wrote."
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_TABLE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror})", remedy) from error
    if len(raw) > MAX_TABLE_BYTES:
        raise UsageError(f"{file} has more than {MAX_TABLE_BYTES >> 20} MiB", remedy)
    try:
        return FederationTable.model_validate(strict_json(raw, MAX_DEPTH))
    except NotStrictJson as error:
        raise UsageError(f"{file} is no table of a federation ({error.fault})", remedy) from error
    except ValidationError as error:
        raise UsageError(f"{file} is no table of a federation ({first_fault(error)})", remedy) from error
