"""Since when a hotkey has held what its entry is made of, from the rounds before.

Who improves a model commits anew, and would else look younger than whoever copied it in the meantime. What counts
is the earliest block of a commitment of the same hotkey that held the same mark (a reference, a content, a file of
weights) or the same tensors. A hotkey that was deregistered and came back is a new one. Of what this state does not
know the present block counts. Blocks are the chain's.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from soundsright.copies import sketch_holds
from soundsright.core.sources import Source, source_of
from soundsright.core.submission import FetchedModel
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.types import entry_id_of


@dataclass(frozen=True)
class _Held:
    """What a hotkey entered in a round before: marks, and the sketch of its tensors where one is recorded."""

    block: int
    marks: frozenset[str]
    sketch: str | None


class Holdings:
    """What the hotkeys of a round's models held before. The state is read when it is first asked."""

    def __init__(self, context: RoundContext, models: Collection[FetchedModel]) -> None:
        self._context = context
        self._entries = {model.submission.entry_id: model.submission for model in models}

    def mark_since(self, entry_id: str, mark: str) -> int:
        """The block since which the entry's hotkey has held the mark."""
        entry = self._entries[entry_id]
        held = self._by_hotkey.get(entry.hotkey, ())
        return min((one.block for one in held if mark in one.marks), default=entry.block)

    def tensors_since(self, entry_id: str, shared: str) -> int:
        """The block since which the entry's hotkey has held nearly all of the tensors of that sketch."""
        entry = self._entries[entry_id]
        held = self._by_hotkey.get(entry.hotkey, ())
        return min((one.block for one in held if sketch_holds(one.sketch or "", shared)), default=entry.block)

    @cached_property
    def _by_hotkey(self) -> Mapping[str, Sequence[_Held]]:
        context = self._context
        rounds = context.state.rounds()
        before = rounds[: rounds.index(context.round_id)]
        if not before:
            return {}
        neurons = context.chain.snapshot(context.plan.round.entries_close_block).neurons
        registered_at = {neuron.hotkey: neuron.registered_at for neuron in neurons}
        hotkeys = {entry.hotkey for entry in self._entries.values()}
        found: dict[tuple[str, Source], _Held] = {}
        for round_id in before:
            context.go_on()
            entries = context.state.step_done(round_id, "entries") or {}
            own = [s for s in entries.get("submissions", ()) if s["hotkey"] in hotkeys]
            own = [s for s in own if s["block"] >= registered_at.get(s["hotkey"], math.inf)]
            self._read(round_id, own, found)
        by_hotkey: dict[str, list[_Held]] = {}
        for (hotkey, _), held in found.items():
            by_hotkey.setdefault(hotkey, []).append(held)
        return by_hotkey

    def _read(
        self,
        round_id: str,
        submissions: Sequence[Mapping[str, Any]],
        found: dict[tuple[str, Source], _Held],
    ) -> None:
        """Add what a round recorded of these; a model that stood before is not read again."""
        state = self._context.state
        new = []
        for submission in submissions:
            known = found.get((submission["hotkey"], source_of(submission["model"])))
            if known is None or known.sketch is None:
                new.append((submission, known))
        sketches = (state.step_done(round_id, "duplicates") or {}).get("tensors", {}) if new else {}
        for submission, known in new:
            model = source_of(submission["model"])
            entry_id = entry_id_of(submission)
            sketch = sketches.get(entry_id)
            if known is not None:
                found[submission["hotkey"], model] = replace(known, sketch=sketch)
                continue
            fetched = state.step_done(round_id, f"fetch:{entry_id}") or {}
            if "content_hash" in fetched:
                marks = frozenset({str(model), fetched["content_hash"], *fetched["checkpoint_hashes"]})
                found[submission["hotkey"], model] = _Held(submission["block"], marks, sketch)
