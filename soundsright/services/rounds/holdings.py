"""Since when a hotkey has had the contents of its entry, read from earlier rounds.

Without this, a miner who improves a model and commits again would look younger than someone who copied the first
version. The block that counts is that of the hotkey's earliest commitment with the same mark (a reference, a
content hash, the hash of a weights file) or with the same tensors. A hotkey that was deregistered and came back is
a new one. If this state has no earlier commitment, the block of the present one counts. Blocks are those of the
chain.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from soundsright.copies import sketch_holds
from soundsright.core.sources import Source
from soundsright.core.submission import FetchedModel
from soundsright.services.rounds import steps
from soundsright.services.rounds.context import EarlierEntry, RoundContext


class Holdings:
    """The earlier entries of the hotkeys of a round's models. The state is read at the first call."""

    def __init__(self, context: RoundContext, models: Collection[FetchedModel]) -> None:
        self._context = context
        self._entries = {model.submission.entry_id: model.submission for model in models}

    def mark_since(self, entry_id: str, mark: str) -> int:
        """The block since which the entry's hotkey has had the mark."""
        entry = self._entries[entry_id]
        blocks = (other.block for other in self._earlier(entry.hotkey) if mark in other.marks)
        return min(blocks, default=entry.block)

    def tensors_since(self, entry_id: str, sketch: str) -> int:
        """The block since which the entry's hotkey has had nearly all tensors of the sketch."""
        entry = self._entries[entry_id]
        blocks = (other.block for other in self._earlier(entry.hotkey) if sketch_holds(other.sketch or "", sketch))
        return min(blocks, default=entry.block)

    def _earlier(self, hotkey: str) -> Iterator[EarlierEntry]:
        yield from self._by_hotkey.get(hotkey, ())
        since = self._registered_at.get(hotkey, math.inf)
        yield from (other for other in self._context.held_before(hotkey) if other.block >= since)

    @cached_property
    def _registered_at(self) -> Mapping[str, int]:
        context = self._context
        neurons = context.chain.snapshot(context.plan.round.entries_close_block).neurons
        return {neuron.hotkey: neuron.registered_at for neuron in neurons}

    @cached_property
    def _by_hotkey(self) -> Mapping[str, Sequence[EarlierEntry]]:
        context = self._context
        rounds = context.state.rounds()
        earlier_rounds = rounds[: rounds.index(context.round_id)]
        if not earlier_rounds:
            return {}
        hotkeys = {entry.hotkey for entry in self._entries.values()}
        by_model: dict[tuple[str, Source], EarlierEntry] = {}
        for round_id in earlier_rounds:
            context.raise_if_cancelled()
            record = steps.read(context.state, round_id, steps.ENTRIES)
            own = [entry for entry in (record.submissions if record else ()) if entry.hotkey in hotkeys]
            own = [entry for entry in own if entry.block >= self._registered_at.get(entry.hotkey, math.inf)]
            self._add_entries(round_id, own, by_model)
        by_hotkey: dict[str, list[EarlierEntry]] = {}
        for (hotkey, _), entry in by_model.items():
            by_hotkey.setdefault(hotkey, []).append(entry)
        return by_hotkey

    def _add_entries(
        self,
        round_id: str,
        entries: Sequence[steps.RecordedEntry],
        by_model: dict[tuple[str, Source], EarlierEntry],
    ) -> None:
        """Add the entries of one round. A model that is already there with its sketch is not read again."""
        state = self._context.state
        unread = []
        for entry in entries:
            earlier = by_model.get((entry.hotkey, entry.source))
            if earlier is None or earlier.sketch is None:
                unread.append((entry, earlier))
        duplicates = steps.read(state, round_id, steps.DUPLICATES) if unread else None
        sketches = duplicates.sketches if duplicates else {}
        for entry, earlier in unread:
            sketch = sketches.get(entry.entry_id)
            if earlier is not None:
                by_model[entry.hotkey, entry.source] = replace(earlier, sketch=sketch)
                continue
            fetched = steps.read(state, round_id, steps.fetch(entry.entry_id))
            if fetched is not None and fetched.content_hash is not None:
                marks = frozenset({str(entry.source), fetched.content_hash, *fetched.checkpoint_hashes})
                by_model[entry.hotkey, entry.source] = EarlierEntry(entry.block, marks, sketch)
