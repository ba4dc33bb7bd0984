"""Fetches the models of a round again, and finds again which of them the round had to refuse.

A model that the round accepted must have the files that the round recorded, and no fault for which entries are
refused. One that was refused must have that fault. The tensors of all accepted models are compared with each other,
so that a copy that was spared, and an honest entry that was called a copy, are found.

A refusal that does not follow from files rests on the chain, on a miner's answer or on the hub of that day. It is
listed as unchecked, and so is one whose files are not at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from soundsright.core.content import SEALED_FILE
from soundsright.core.entry_rules import NO_RULES, EntryRules
from soundsright.core.errors import EntryRefused, HubUnavailable
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.results import Refusal
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.replay.answering import RunPorts
from soundsright.services.rounds import (
    Difference,
    RecordedRound,
    check_fetched,
    checked_dockerfile,
    same_tensor_pairs,
    steps,
)

FILES = "models with the recorded files"
REFUSED = "refusals found again in their files"
PAIRS = "pairs of models whose tensors were compared"
_ACCEPTED = "accepted"
_ON_CHAIN = "It follows from the chain and from the miner's answer, which a replay does not read."
_SEALED = "The model is sealed, and the bundle has no key of it."
_BANNED = "The organiser's ban rests on the record. The files are those that it names."


@dataclass
class FoundModels:
    """The accepted models that are at hand, by entry id, and what was found about the refusals.

    `checked` are counts by name, `unchecked` pairs of a part and the reason. `difference` is the first difference.
    """

    models: dict[str, FetchedModel] = field(default_factory=dict)
    checked: dict[str, int] = field(default_factory=dict)
    unchecked: list[tuple[str, str]] = field(default_factory=list)
    difference: Difference | None = None

    def count(self, name: str, number: int = 1) -> None:
        self.checked[name] = self.checked.get(name, 0) + number


@dataclass(frozen=True)
class _Entry:
    """An entry, and what the round recorded when it fetched its model."""

    submission: Submission
    recorded: steps.FetchStep

    def differs(self, step: str, before: object, now: object) -> Difference:
        return Difference(self.submission.competition.id, step, self.submission.hotkey, before, now)

    @property
    def part(self) -> str:
        """The name of this entry's part in a list of unchecked ones."""
        what = "answers" if self.recorded.refusal is None else f"the refusal ({self.recorded.refusal.code})"
        return f"{self.submission.competition.id}: {what} of {self.submission.hotkey}"


def models_again(record: RecordedRound, ports: RunPorts, wanted: Sequence[str] | None = None) -> FoundModels:
    """Fetch the models of the round, check their files, and find the refusals that follow from them again.

    With `wanted`, which are entry ids, only these models are fetched and no refusal is looked at.

    Raises:
        InfrastructureFault: a worker failed.
    """
    found = FoundModels()
    entries = [e for e in _entries(record) if wanted is None or e.submission.entry_id in wanted]
    for number, entry in enumerate(entries):
        ports.fetching(number, len(entries))
        if entry.recorded.refusal is None:
            _accepted(entry, ports, found)
        elif wanted is None:
            _refused(entry, entry.recorded.refusal, ports, found)
        if found.difference is not None:
            return found
    ports.fetching(len(entries), len(entries))
    if wanted is None:
        found.unchecked += _of_chain(record)
        _compare_tensors(record, entries, ports, found)
    return found


def _entries(record: RecordedRound) -> Iterator[_Entry]:
    recorded = steps.RoundSteps(record.round_id, record.steps)
    entries = recorded.get(steps.ENTRIES)
    by_id = {competition.id: competition for competition in record.round_plan.rules.competitions}
    for each in entries.submissions if entries else ():
        fetched = recorded.get(steps.fetch(each.entry_id))
        yield _Entry(each.submission(by_id), fetched or steps.FetchStep())


def _of_chain(record: RecordedRound) -> Iterator[tuple[str, str]]:
    """The refusals that need no files."""
    entries = steps.RoundSteps(record.round_id, record.steps).get(steps.ENTRIES)
    for refusal in entries.refusals if entries else ():
        yield f"refusals at screening ({refusal.code})", _ON_CHAIN


def _model(entry: _Entry, ports: RunPorts) -> FetchedModel:
    """The model that the hub gives now.

    Raises:
        EntryRefused, HubUnavailable: it gives none.
    """
    recorded = entry.recorded.content_hash
    kept = ports.hub.cached(entry.submission, recorded) if recorded else None
    return kept or ports.hub.fetch(entry.submission, limits=FetchLimits())


def _accepted(entry: _Entry, ports: RunPorts, found: FoundModels) -> None:
    """Check the files of a model that the round accepted."""
    try:
        model = _model(entry, ports)
    except (EntryRefused, HubUnavailable) as error:
        found.unchecked.append((entry.part, _not_given(error)))
        return
    recorded = entry.recorded
    if _is_closed(model) and model.content_hash != recorded.content_hash:
        found.unchecked.append((entry.part, _SEALED))
    elif model.content_hash != recorded.content_hash:
        found.difference = entry.differs("content", recorded.content_hash, model.content_hash)
    elif sorted(model.checkpoint_hashes) != sorted(recorded.checkpoint_hashes):
        before, now = (" ".join(sorted(each)) for each in (recorded.checkpoint_hashes, model.checkpoint_hashes))
        found.difference = entry.differs("content of the weights", before, now)
    elif code := _fault(model, NO_RULES):
        found.difference = entry.differs("fetch", _ACCEPTED, f"the refusal {code}")
    else:
        found.models[entry.submission.entry_id] = model
        found.count(FILES)


def _refused(entry: _Entry, refusal: Refusal, ports: RunPorts, found: FoundModels) -> None:
    """Look for the fault for which a model was refused."""
    try:
        model = _model(entry, ports)
    except HubUnavailable as error:
        found.unchecked.append((entry.part, _not_given(error)))
        return
    except EntryRefused as refused:
        if refused.code == refusal.code:
            found.count(REFUSED)
        else:
            found.unchecked.append((entry.part, f"The hub gives another refusal now ({refused.code})."))
        return
    recorded = entry.recorded.content_hash
    if _is_closed(model) and model.content_hash != recorded:
        found.unchecked.append((entry.part, _SEALED))
    elif recorded is None:
        found.unchecked.append((entry.part, "The hub gives the model now, and the round did not record its files."))
    elif model.content_hash != recorded:
        found.unchecked.append((entry.part, "The hub gives other files now."))
    else:
        code = _fault(model, _rules_of(refusal))
        if code != refusal.code:
            found.difference = entry.differs("fetch", f"the refusal {refusal.code}", code or _ACCEPTED)
            return
        found.count(REFUSED)
        if code == "banned_content":
            found.unchecked.append((entry.part, _BANNED))


def _not_given(error: EntryRefused | HubUnavailable) -> str:
    sentence = error.sentence if isinstance(error, EntryRefused) else error.problem
    return f"The hub does not give the model ({sentence.rstrip('.')})."


def _is_closed(model: FetchedModel) -> bool:
    """Whether the model lies in a sealed archive whose key is not known here: a bundle has no keys."""
    return not model.submission.archive_key and (model.path / SEALED_FILE).is_file()


def _rules_of(refusal: Refusal) -> EntryRules:
    """The rules under which an entry can have been refused so. The record has no list of bans."""
    if refusal.code == "banned_content":
        banned = {refusal.evidence.get(name, "") for name in ("content_hash", "checkpoint_hash")}
        return replace(NO_RULES, banned_content=frozenset(banned - {""}))
    return replace(NO_RULES, needs_licence=refusal.code == "no_licence")


def _fault(model: FetchedModel, rules: EntryRules) -> str:
    """The code of the first fault in the files of a model; empty if there is none."""
    try:
        check_fetched(model, rules)
        checked_dockerfile(model)
    except EntryRefused as refused:
        return refused.code
    return ""


def _compare_tensors(record: RecordedRound, entries: Sequence[_Entry], ports: RunPorts, found: FoundModels) -> None:
    """Compare the tensors of all models at hand, and the pairs that the round found."""
    own = {entry.submission.entry_id: entry.submission for entry in entries}
    step = steps.RoundSteps(record.round_id, record.steps).get(steps.DUPLICATES)
    recorded = {_pair(each.first, each.second) for each in step.same_tensors} if step else set()
    models = list(found.models.values())
    compared = same_tensor_pairs(models, ports.pool)
    again = {_pair(each.first, each.second) for each in compared.pairs}
    unread = {*compared.unread, *(step.unread if step else ())}
    found.count(PAIRS, len(models) * (len(models) - 1) // 2)
    for pair in sorted(recorded | again):
        if not set(pair) <= own.keys():
            continue
        first, second = (own[each] for each in pair)
        part = f"{first.competition.id}: the same tensors of {first.hotkey} and {second.hotkey}"
        if not set(pair) <= found.models.keys():
            found.unchecked.append((part, "A model of the two is not at hand."))
        elif (pair in recorded) != (pair in again):
            if unread.intersection(pair):
                found.unchecked.append((part, "A file of the two could not be read on one of the two machines."))
                continue
            before, now = (_alike(pair in each) for each in (recorded, again))
            field = f"{first.hotkey} and {second.hotkey}"
            found.difference = Difference(first.competition.id, "duplicates", field, before, now)
            return


def _pair(first: str, second: str) -> tuple[str, str]:
    """The two entries in one order: which one came first follows from their blocks."""
    return (first, second) if first < second else (second, first)


def _alike(is_alike: bool) -> str:
    return "the same tensors" if is_alike else "other tensors"
