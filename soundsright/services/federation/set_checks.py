"""The sets that others' verdicts name, compared with those that this machine draws from the same seeds.

A set follows from the seed, the rules and the recordings. So whoever has the same recordings can tell a verdict on
other clips. A set that was drawn is recorded, so that each task is drawn once. The stream `federation:sets` has a
record for each task and everything that it was drawn from, with the digests by competition:

    {"sets": {"DENOISING_16000HZ": "5a…"}}
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import Enum

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import RecordConflict, UsageError
from soundsright.core.federation import Verdict
from soundsright.core.material import Material
from soundsright.core.ports import Record, Records
from soundsright.core.ports.tables import MAX_ROWS
from soundsright.services.federation.bucket_reader import Unknown
from soundsright.services.federation.task import TaskSettings
from soundsright.services.federation.verdict import hash_digits
from soundsright.services.federation.verdict_reader import Found, ReadVerdict, Refused
from soundsright.services.rounds import material_digest

SETS = "federation:sets"
NOT_DRAWN = Unknown("its sets are not drawn yet here")
"""The reading of a verdict whose sets this machine will draw."""

_log = logging.getLogger(__name__)


class SetState(Enum):
    """Whether a verdict's sets are those of its seed. It will show, or it cannot be known on this machine."""

    RIGHT = "right"
    WRONG = "wrong"
    UNDRAWN = "undrawn"
    UNKNOWABLE = "unknowable"


class SetChecks:
    """Compares the sets of verdicts with the recorded ones. Use one thread.

    `settings` are those by which a sampler of this state draws sets, one for each material. Without any, verdicts
    are compared only with what another process has recorded.
    """

    def __init__(self, records: Records, rules_digest: str, settings: Sequence[TaskSettings] = ()) -> None:
        self._records = records
        self._rules_digest = rules_digest
        self._settings = settings
        self._drawn: dict[str, Mapping[str, str]] = {}
        self._read_up_to = 0
        self._logged: set[str] = set()

    def checked(
        self, results: Mapping[tuple[int, str], ReadVerdict], own: str | None
    ) -> dict[tuple[int, str], ReadVerdict]:
        """The same results, but a verdict on other sets is refused, and one that waits for a drawing is unknown.

        The verdicts of `own` are not compared: this machine has drawn their sets.

        Raises:
            StateUnavailable: the state does not answer.
            UsageError: a record is damaged.
        """
        self.refresh()
        return {
            place: self._checked(result) if isinstance(result, Found) and place[1] != own else result
            for place, result in results.items()
        }

    def _checked(self, found: Found) -> ReadVerdict:
        state, verdict = self.state(found.verdict), found.verdict
        if state is SetState.UNDRAWN:
            return NOT_DRAWN
        if state is not SetState.WRONG:
            return found
        if found.digest not in self._logged:
            self._logged.add(found.digest)
            facts = {"action": "verdict_refused", "task": verdict.task, "peer": verdict.validator}
            _log.warning(
                "the verdict of %s on task %d was made on other clips than the task's seed gives",
                verdict.validator,
                verdict.task,
                extra={**facts, "reason": "wrong_set"},
            )
        return Refused("wrong_set", "The verdict was made on other clips than the task's seed gives")

    def state(self, verdict: Verdict) -> SetState:
        """The state of a verdict's sets, as of the last `refresh`."""
        drawn = self._drawn.get(_key(verdict))
        if drawn is not None:
            return SetState.RIGHT if dict(drawn) == dict(verdict.sets) else SetState.WRONG
        return SetState.UNKNOWABLE if self.settings(verdict) is None else SetState.UNDRAWN

    def settings(self, verdict: Verdict) -> TaskSettings | None:
        """The settings by which this machine draws the sets that a verdict names; None if it cannot."""
        stated = verdict.material
        if stated is None or verdict.rules != self._rules_digest:
            return None
        for each in self._settings:
            speech = each.material.speech
            facts = {} if speech is None else dict(speech.facts)
            with suppress(UsageError):  # Without recordings, nothing can be drawn here.
                if material_digest(each.material) == stated.digest and facts == dict(stated.speech):
                    return each
        return None

    def record(self, verdict: Verdict, sets: Mapping[str, str]) -> None:
        """Record the sets that were drawn from what a verdict names. The first record stays.

        Raises:
            StateUnavailable: the state does not answer.
            UsageError: a record is damaged.
        """
        with suppress(RecordConflict):
            self._records.append(SETS, _key(verdict), {"sets": dict(sets)})
        self.refresh()

    def refresh(self) -> None:
        """Read what was recorded since the last time, by this process or by another one. Raises as `record`."""
        while rows := self._records.read(SETS, after=self._read_up_to, limit=MAX_ROWS):
            self._drawn.update((row.key, _sets_of(row)) for row in rows)
            self._read_up_to = rows[-1].position


def drawing_settings(settings: TaskSettings) -> tuple[TaskSettings, ...]:
    """The settings by which a sampler can draw the sets of others: with its recordings, and with the shipped ones.

    A private corpus is not among them: nobody else has it. Nor is speech that never sounds the same twice.
    """
    own = settings.material
    speech = own.speech if own.speech is not None and own.speech.repeats_itself else None
    shipped = Material(noise=own.noise)
    chosen = [replace(shipped, speech=speech), shipped]
    if not own.is_private:
        chosen.insert(0, replace(own, speech=speech))
    return tuple(TaskSettings(settings.rules, settings.organiser, each) for each in dict.fromkeys(chosen))


def _key(verdict: Verdict) -> str:
    stated = verdict.material
    source = [
        verdict.rules,
        hash_digits(verdict.block_hash),
        stated and stated.digest,
        stated and dict(stated.speech),
    ]
    return f"{verdict.task}-{hashlib.sha256(canonical_json(source).encode()).hexdigest()[:32]}"


def _sets_of(record: Record) -> Mapping[str, str]:
    sets = record.facts.get("sets")
    if isinstance(sets, dict) and all(isinstance(each, str) for each in (*sets, *sets.values())):
        return sets
    raise UsageError(
        f"The record {record.position} of {SETS} is damaged", "Restore the last backup of the state database."
    )
