"""The earlier models of a hotkey that other validators judged, as far as the chain proves them.

A validator judges one task in n, so it may never have judged a model that its author has replaced since. The rows
of others name hotkey, model, block and salt. They are checked: the hotkey's commitment of that block must open to
the model that the hub gives. So a validator that lies makes nobody an earlier holder. If the chain no longer knows
the block, or commitments are sealed, a strict majority of the validators must state the row. Blocks are counted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from soundsright.core.competition import Competition
from soundsright.core.errors import EntryRefused, HistoryGone, HubUnavailable
from soundsright.core.federation import JudgedRow, Verdict
from soundsright.core.ports import Chain
from soundsright.core.sources import ModelRef
from soundsright.core.submission import CommitmentKind, FetchedModel, Reveal, Submission, reveal_of_text
from soundsright.ranking import majority
from soundsright.services.federation import federation_steps
from soundsright.services.federation.federation_steps import HeldModel, HeldStep
from soundsright.services.rounds import EarlierEntry, RoundContext, commitment_of, sketch_of, steps

MAX_FETCHED = 16
"""So many models of a hotkey are fetched in a task, the newest first."""
MAX_LOOKED = 64
"""So many blocks of a hotkey are looked up on the chain in a task."""
MAX_KEPT = 256
"""So many models of a hotkey are kept, the oldest first."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Stated:
    """A model of a hotkey, as verdicts state it: one of its rows, the salts, and the validators."""

    model: ModelRef
    row: JudgedRow
    salts: set[str] = field(default_factory=set)
    validators: set[str] = field(default_factory=set)


class EarlierModels:
    """Finds the earlier models of the hotkeys of a task. Nothing is read before the first call. Use one thread.

    `verdicts` gives what is known of the tasks before, `validators` is the number of validators on the list.
    """

    def __init__(
        self,
        context: RoundContext,
        chain: Chain,
        kind: CommitmentKind,
        verdicts: Callable[[], Iterable[Verdict]],
        validators: int,
    ) -> None:
        self._context = context
        self._chain = chain
        self._kind = kind
        self._verdicts = verdicts
        self._needed = majority(validators)

    def of(self, hotkey: str) -> Sequence[EarlierEntry]:
        """The earlier models of a hotkey. They are recorded, so they stay known after their verdicts are too old.

        Raises:
            ChainUnavailable: the chain does not answer.
            InfrastructureFault: this machine's disk or state fails.
        """
        context, key = self._context, federation_steps.held(hotkey)
        done = steps.read(context.state, context.round_id, key)
        if done is None:
            known = self._recorded(hotkey)
            found = {(each.model, each.block): each for each in (*self._found(hotkey, known), *known)}
            kept = sorted(found.values(), key=lambda each: (each.block, str(each.model)))[:MAX_KEPT]
            done = HeldStep(tuple(kept))
            steps.write(context.state, context.round_id, key, done)
        return [EarlierEntry(each.block, frozenset(each.marks), each.sketch) for each in done.models]

    def _recorded(self, hotkey: str) -> tuple[HeldModel, ...]:
        """The models that were found in an earlier task of this validator."""
        context = self._context
        rounds = context.state.rounds()
        for round_id in reversed(rounds[: rounds.index(context.round_id)]):
            record = steps.read(context.state, round_id, federation_steps.held(hotkey))
            if record is not None:
                return record.models
        return ()

    def _found(self, hotkey: str, known: Sequence[HeldModel]) -> list[HeldModel]:
        stated = self._stated.get(hotkey, {})
        done = {(each.model, each.block) for each in known}
        new = [each for place, each in stated.items() if place not in done]
        found: list[HeldModel] = []
        fetched = 0
        for each in sorted(new, key=lambda one: -one.row.block)[:MAX_LOOKED]:
            self._context.raise_if_cancelled()
            text = self._committed(hotkey, each.row.block)
            is_stated = len(each.validators) >= self._needed
            if text == "" or (text is None and not is_stated):
                continue
            if fetched == MAX_FETCHED:
                break
            fetched += 1
            model = self._fetched(each.row)
            if model is not None and (text is None or _opens(text, each, model.content_hash)):
                marks = (str(each.model), model.content_hash, *model.checkpoint_hashes)
                sketch = sketch_of(model, self._context.pool)
                found.append(HeldModel(each.model, each.row.block, marks, sketch))
        return found

    @cached_property
    def _stated(self) -> Mapping[str, Mapping[tuple[ModelRef, int], _Stated]]:
        """By hotkey, every model and block that a row of a known verdict names."""
        found: dict[str, dict[tuple[ModelRef, int], _Stated]] = {}
        for verdict in self._verdicts():
            for row in verdict.rows:
                if isinstance(row.model, ModelRef) and row.competition in self._competitions:
                    each = found.setdefault(row.hotkey, {}).setdefault(
                        (row.model, row.block), _Stated(row.model, row)
                    )
                    each.salts.add(row.salt)
                    each.validators.add(verdict.validator)
        return found

    @cached_property
    def _competitions(self) -> Mapping[str, Competition]:
        return {competition.id: competition for competition in self._context.plan.rules.competitions}

    def _committed(self, hotkey: str, block: int) -> str | None:
        """The text of the commitment that a hotkey made in a block; empty for none, None if nobody can say."""
        if self._kind is CommitmentKind.SEALED:
            return None
        if block >= self._context.plan.round.seed_block:
            return ""
        try:
            found = commitment_of(self._chain.snapshot(block).commitments, hotkey)
        except HistoryGone:
            return None
        return found.digest if found is not None and found.block == block else ""

    def _fetched(self, row: JudgedRow) -> FetchedModel | None:
        """The model of a row; None if the hub does not give it. Its owner loses by that, and nobody else waits."""
        entry = Submission(row.uid, row.hotkey, self._competitions[row.competition], row.model, row.block)
        try:
            return self._context.hub.fetch(entry, limits=self._context.plan.rules.fetch_limits)
        except (EntryRefused, HubUnavailable) as error:
            facts = {"action": "earlier_model_unread", "hotkey": row.hotkey, "reason": str(error)}
            _log.info("an earlier model cannot be fetched", extra=facts)
            return None


def _opens(text: str, stated: _Stated, content_hash: str) -> bool:
    """Whether the commitment's text is one of the stated model with that content."""
    model, row = stated.model, stated.row
    for salt in stated.salts:
        reveal = Reveal(model, row.competition, salt, content_hash if salt else "")
        if reveal.digest(row.hotkey) == text:
            return True
    try:
        plain = reveal_of_text(text, row.hotkey)
    except EntryRefused:
        return False
    is_same = (plain.model, plain.competition_id) == (model, row.competition)
    return is_same and plain.content_hash in ("", content_hash)
