"""The names of all steps, and how they are read from the state and written to it.

    seed = steps.read(state, round_id, steps.SEED)
    steps.write(state, round_id, steps.fetch(entry_id), steps.FetchStep(content_hash))

Each record has a version, which is stored with it. Records without one were written by soundsright 0.1.0 and are
read as well. `services/rounds/run.py` and `services/validator/service.py` list the steps in their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from soundsright.core.ports import StateStore, TitleRow
from soundsright.core.submission import Commitment
from soundsright.services.rounds.settings_step import SettingsStep
from soundsright.services.rounds.step_parts import (
    BatchFault,
    Facts,
    RecordedApart,
    RecordedChampion,
    RecordedEntry,
    RecordedNeuron,
    StepRecord,
)
from soundsright.services.rounds.step_records import (
    ApartStep,
    BatchStep,
    CorpusStep,
    DecideStep,
    DuplicatesStep,
    EntriesStep,
    FetchStep,
    FlagsStep,
    ImageStep,
    LookStep,
    NearCopiesStep,
    SeedStep,
    SetAsideStep,
    SetStep,
    WeightsStep,
)
from soundsright.services.rounds.validator_records import (
    BundleStep,
    CollectedStep,
    CommittedStep,
    DeliveredStep,
    FeedbackStep,
    FinishedStep,
    LoggedStep,
    PayeesStep,
    RevealStep,
    WeightsSetStep,
)

__all__ = [
    "BUNDLE",
    "COLLECTED",
    "COMMITTED",
    "CORPUS",
    "DUPLICATES",
    "ENTRIES",
    "FEEDBACK",
    "FINISHED",
    "FLAGS",
    "NEAR_COPIES",
    "PAYEES",
    "SEED",
    "SETTINGS",
    "WEIGHTS",
    "WEIGHTS_SET",
    "ApartStep",
    "BatchFault",
    "BatchStep",
    "BundleStep",
    "CollectedStep",
    "CommittedStep",
    "CorpusStep",
    "DecideStep",
    "DeliveredStep",
    "DuplicatesStep",
    "EntriesStep",
    "FeedbackStep",
    "FetchStep",
    "FinishedStep",
    "FlagsStep",
    "ImageStep",
    "LoggedStep",
    "LookStep",
    "NearCopiesStep",
    "PayeesStep",
    "RecordedApart",
    "RecordedChampion",
    "RecordedEntry",
    "RecordedNeuron",
    "RevealStep",
    "RoundSteps",
    "SeedStep",
    "SetAsideStep",
    "SetStep",
    "SettingsStep",
    "StepKey",
    "StepRecord",
    "WeightsSetStep",
    "WeightsStep",
    "apart",
    "batch",
    "commitment_key",
    "decide",
    "delivered",
    "fetch",
    "latest",
    "logged",
    "look",
    "read",
    "record_of",
    "reveal",
    "second_reveal",
    "set_aside",
    "set_of",
    "write",
]

Record = TypeVar("Record", bound=StepRecord)


@dataclass(frozen=True)
class StepKey(Generic[Record]):
    """The name of one step in the state, and the class of its record."""

    name: str
    record: type[Record]


SETTINGS = StepKey("settings", SettingsStep)
SEED = StepKey("seed", SeedStep)
CORPUS = StepKey("corpus", CorpusStep)
ENTRIES = StepKey("entries", EntriesStep)
DUPLICATES = StepKey("duplicates", DuplicatesStep)
NEAR_COPIES = StepKey("near_copies", NearCopiesStep)
FLAGS = StepKey("flags", FlagsStep)
WEIGHTS = StepKey("weights", WeightsStep)
COLLECTED = StepKey("collected", CollectedStep)
PAYEES = StepKey("payees", PayeesStep)
WEIGHTS_SET = StepKey("weights_set", WeightsSetStep)
FEEDBACK = StepKey("feedback", FeedbackStep)
FINISHED = StepKey("finished", FinishedStep)
BUNDLE = StepKey("bundle", BundleStep)
COMMITTED = StepKey("committed", CommittedStep)


def fetch(entry_id: str) -> StepKey[FetchStep]:
    return StepKey(f"fetch:{entry_id}", FetchStep)


def image(entry_id: str) -> StepKey[ImageStep]:
    return StepKey(f"image:{entry_id}", ImageStep)


def set_of(competition_id: str) -> StepKey[SetStep]:
    return StepKey(f"set:{competition_id}", SetStep)


def batch(entry_id: str, first_clip_id: str) -> StepKey[BatchStep]:
    return StepKey(f"enhanced:{entry_id}:{first_clip_id}", BatchStep)


def look(competition_id: str, number: int) -> StepKey[LookStep]:
    """A look at a competition before its set ends. The first has the number 1."""
    return StepKey(f"look:{competition_id}:{number}", LookStep)


def set_aside(entry_id: str) -> StepKey[SetAsideStep]:
    return StepKey(f"set_aside:{entry_id}", SetAsideStep)


def apart(competition_id: str) -> StepKey[ApartStep]:
    return StepKey(f"apart:{competition_id}", ApartStep)


def decide(competition_id: str) -> StepKey[DecideStep]:
    return StepKey(f"decide:{competition_id}", DecideStep)


def reveal(commitment: Commitment) -> StepKey[RevealStep]:
    return StepKey(f"reveal:{commitment_key(commitment)}", RevealStep)


def second_reveal(commitment: Commitment) -> StepKey[RevealStep]:
    """A reveal of the commitment that differs from the first. Its miner signed both."""
    return StepKey(f"reveal:{commitment_key(commitment)}:2", RevealStep)


def delivered(hotkey: str) -> StepKey[DeliveredStep]:
    return StepKey(f"delivered:{hotkey}", DeliveredStep)


def logged(log_id: str) -> StepKey[LoggedStep]:
    """The round's document in a log. `log_id` is a short name of the log's address."""
    return StepKey(f"logged:{log_id}", LoggedStep)


def commitment_key(commitment: Commitment) -> str:
    """A short name for a commitment: its hotkey, and the start of the SHA-256 of its text."""
    return f"{commitment.hotkey}:{hashlib.sha256(commitment.digest.encode()).hexdigest()[:16]}"


_RECORDS: Mapping[str, type[StepRecord]] = {
    **{
        key.name: key.record
        for key in (
            *(SETTINGS, SEED, CORPUS, ENTRIES, DUPLICATES, NEAR_COPIES, FLAGS),
            *(WEIGHTS, COLLECTED, PAYEES, WEIGHTS_SET, FEEDBACK, FINISHED, BUNDLE, COMMITTED),
        )
    },
    "fetch": FetchStep,
    "image": ImageStep,
    "set": SetStep,
    "enhanced": BatchStep,
    "look": LookStep,
    "set_aside": SetAsideStep,
    "apart": ApartStep,
    "decide": DecideStep,
    "reveal": RevealStep,
    "delivered": DeliveredStep,
    "logged": LoggedStep,
}
"""The class of a step's record, by the part of its name before the first colon."""


def read(state: StateStore, round_id: str, key: StepKey[Record]) -> Record | None:
    """The record of a finished step; None if the step is not done.

    Raises:
        UsageError: the record is newer than this program, or damaged.
        StateUnavailable: the state does not answer.
    """
    facts = state.step_done(round_id, key.name)
    return None if facts is None else _parsed(round_id, key.name, key.record, facts)


def write(
    state: StateStore, round_id: str, key: StepKey[Record], record: Record, titles: Iterable[TitleRow] = ()
) -> None:
    """Record that a step is done, with the titles that follow from it. Earlier records stay.

    Raises:
        StateUnavailable: the state does not answer.
    """
    state.finish_step(round_id, key.name, record.to_facts(), titles=titles)


def latest(state: StateStore, key: StepKey[Record]) -> tuple[str, Record] | None:
    """The latest round in which a step is done, and its record; None if there is no such round.

    Raises:
        UsageError: the record is newer than this program, or damaged.
        StateUnavailable: the state does not answer.
    """
    for round_id in reversed(state.rounds()):
        record = read(state, round_id, key)
        if record is not None:
            return round_id, record
    return None


def record_of(round_id: str, name: str, facts: Facts) -> StepRecord:
    """The record of a step of any kind, by its name in the state.

    Raises:
        UsageError: the record is newer than this program, or damaged.
        KeyError: no step has such a name.
    """
    return _parsed(round_id, name, _RECORDS[name.split(":")[0]], facts)


def _parsed(round_id: str, name: str, record: type[Record], facts: Facts) -> Record:
    return record.from_facts(facts, source=f"Round {round_id}, step {name}")


class RoundSteps:
    """All finished steps of one round, from the `steps` method of a state. `get` parses the record."""

    def __init__(self, round_id: str, facts: Mapping[str, Facts]) -> None:
        self._round_id = round_id
        self._facts = facts

    def __contains__(self, key: StepKey[Record]) -> bool:
        return key.name in self._facts

    def __len__(self) -> int:
        return len(self._facts)

    def get(self, key: StepKey[Record]) -> Record | None:
        """The record of a step; None if the step is not done."""
        facts = self._facts.get(key.name)
        return None if facts is None else _parsed(self._round_id, key.name, key.record, facts)

    def batches(self, entry_id: str) -> Iterator[BatchStep]:
        """The batches of an entry, in the order of their clips."""
        return (record for own, record in self.all_batches() if own == entry_id)

    def all_batches(self) -> Iterator[tuple[str, BatchStep]]:
        """The batches of all entries with their entry's id, in the order of their names."""
        for name in sorted(self._facts):
            kind, _, rest = name.partition(":")
            if _RECORDS.get(kind) is BatchStep:
                yield rest.rpartition(":")[0], _parsed(self._round_id, name, BatchStep, self._facts[name])

    def any_decided(self) -> bool:
        """Whether a competition of the round is decided."""
        return any(_RECORDS.get(name.split(":")[0]) is DecideStep for name in self._facts)
