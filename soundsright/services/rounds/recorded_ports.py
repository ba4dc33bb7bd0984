"""The ports of a replay: they know what is recorded, and nothing else. Nothing here runs, fetches or writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn, Self

from soundsright.core.errors import UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import (
    BlockRef,
    Neuron,
    RunningModel,
    SandboxLimits,
    Snapshot,
    TitleRow,
    TxResult,
)
from soundsright.core.results import ClipResult
from soundsright.core.submission import Commitment, FetchedModel, Submission
from soundsright.services.rounds import steps
from soundsright.services.rounds.recorded_round import RecordedRound
from soundsright.services.rounds.step_parts import Facts

_NEEDED = ("settings", "seed", "corpus", "entries", "fetch", "duplicates", "near_copies", "flags")
"""The kinds of steps that a replay takes as they are recorded."""


def _missing(what: str) -> NoReturn:
    raise UsageError(f"The record of the round lacks {what}", "Ask whoever made the bundle for a whole one.")


class RecordedState:
    """The state of a round without the steps that are computed again. `computed` has their facts by name."""

    def __init__(self, record: RecordedRound, *, without: Collection[str]) -> None:
        self._record = record
        self._without = frozenset(without)
        self._earlier: dict[str, Mapping[str, Facts]] = {each["round"]: each["steps"] for each in record.history}
        self.computed: dict[str, Facts] = {}

    def scoped(self, scope: str) -> Self:
        return self

    def begin_round(self, round_id: str, facts: Facts) -> Facts:
        return self._record.plan

    def round_facts(self, round_id: str) -> Facts | None:
        return self._record.plan if round_id == self._record.round_id else None

    def steps(self, round_id: str) -> Mapping[str, Facts]:
        return self._record.steps if round_id == self._record.round_id else self._earlier.get(round_id, {})

    def rounds(self) -> tuple[str, ...]:
        return (*self._earlier, self._record.round_id)

    def step_done(self, round_id: str, step: str) -> Facts | None:
        """The facts of a step. None means that it is computed, or that the round did not need it.

        Raises:
            UsageError: every round has that step, and the record does not.
        """
        if round_id != self._record.round_id:
            return self._earlier.get(round_id, {}).get(step)
        if step in self._without or step in self.computed:
            return self.computed.get(step)
        facts = self._record.steps.get(step)
        if facts is None and step.split(":")[0] in _NEEDED:
            _missing(f"the step {step}")
        return facts

    def finish_step(self, round_id: str, step: str, facts: Facts, *, titles: Iterable[TitleRow] = ()) -> None:
        self.computed.setdefault(step, dict(facts))

    def titles(self, competition_id: str, *, before: str) -> tuple[TitleRow, ...]:
        return tuple(TitleRow(**row) for row in self._record.titles.get(competition_id, ()))

    def add_clip_results(self, round_id: str, entry_id: str, results: Iterable[ClipResult]) -> None:
        _missing("the results of an entry")

    def clip_results(self, round_id: str, entry_id: str) -> tuple[ClipResult, ...]:
        _missing("the results of an entry")

    def close(self) -> None:
        """Do nothing."""


class RecordedChain:
    """The chain as the round recorded it: the registrations when entries closed. It accepts the weights."""

    def __init__(self, neurons: Sequence[steps.RecordedNeuron], close_block: int, burn_uid: int | None) -> None:
        own = tuple(Neuron(n.uid, n.hotkey, n.registered_at or 0) for n in neurons)
        if burn_uid is not None and burn_uid not in {n.uid for n in own}:
            # It can register after entries closed.
            own = (*own, Neuron(burn_uid, "burn", 0))
        self._snapshot = Snapshot(BlockRef(close_block, ""), own, ())

    def head(self) -> BlockRef:
        return self._snapshot.block

    def finalized(self) -> BlockRef:
        return self._snapshot.block

    def block_hash(self, number: int) -> str:
        _missing("the hash of the seed block")

    def neurons(self) -> tuple[Neuron, ...]:
        return self._snapshot.neurons

    def commitments(self) -> tuple[Commitment, ...]:
        return ()

    def snapshot(self, number: int | None = None) -> Snapshot:
        return self._snapshot

    def publish(self, hotkey: str, digest: str) -> TxResult:
        return TxResult(False, "replay", "A replay writes nothing")

    def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
        return TxResult(True)

    def close(self) -> None:
        """Do nothing."""


class RecordedHub:
    """The hashes of the models that the round fetched, and no files."""

    def __init__(self, record: RecordedRound) -> None:
        self._steps = steps.RoundSteps(record.round_id, record.steps)

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        _missing(f"the model of {submission.hotkey}")

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel:
        fetched = self._steps.get(steps.fetch(submission.entry_id))
        hashes = () if fetched is None else fetched.checkpoint_hashes
        return FetchedModel(submission, Path(submission.entry_id), content_hash, hashes)

    def forget(self, keep: Collection[str]) -> int:
        return 0


_MAX_LAYERS = 10_000


class RecordedImages:
    """A runner that runs nothing, and knows from the record which entries have images of the same layers."""

    name = "replay"

    def __init__(self, record: RecordedRound) -> None:
        near = steps.RoundSteps(record.round_id, record.steps).get(steps.NEAR_COPIES)
        self._layers: dict[str, tuple[str, ...]] = {}
        for pair in near.pairs if near else ():
            count = pair.evidence.get("shared_layers", "")
            if count.isdecimal() and 0 < int(count[:6]) <= _MAX_LAYERS:
                layers = tuple(f"{pair.first}, layer {number}" for number in range(int(count[:6])))
                self._layers[pair.second] = self._layers.setdefault(pair.first, layers)

    @property
    def is_used(self) -> bool:
        """Whether the round found two images of the same layers."""
        return bool(self._layers)

    def image_layers(self, model: FetchedModel) -> tuple[str, ...]:
        return self._layers.get(model.submission.entry_id, ())

    def prepare(self, model: FetchedModel) -> None:
        """Do nothing."""

    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> AbstractContextManager[RunningModel]:
        _missing(f"the answers of {model.submission.hotkey}")

    def stop(self) -> None:
        """Do nothing."""


class NoPool:
    """A pool that does nothing: everything that workers computed is recorded."""

    def submit(self, function: Any, /, *args: Any, deadline_s: float | None = None) -> Future[Any]:
        _missing("a step that needs audio")

    def stop(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class StillClock:
    """A clock that stands."""

    def now(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        """Do nothing."""
