"""Fakes of the ports that hold everything in memory, draw no chance of their own and read no clock but their own.

Times are in seconds, blocks are counted, signals are float32 `(n,)`.
"""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.errors import (
    ChainUnavailable,
    EntryRefused,
    HubUnavailable,
    InfrastructureFault,
    ModelFault,
)
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import (
    Answer,
    BlockRef,
    DegradedClip,
    Neuron,
    SandboxLimits,
    Snapshot,
    TxResult,
)
from soundsright.core.results import Failure, Timing
from soundsright.core.sources import ModelRef, hub_model
from soundsright.core.submission import Commitment, FetchedModel, Submission

T = TypeVar("T")


def unit_interval(*parts: object) -> float:
    """A number in [0, 1) that follows from the parts alone.

    >>> unit_interval("a", 1) == unit_interval("a", 1) != unit_interval("a", 2)
    True
    """
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


class VirtualClock:
    """The `Clock` port: time passes only when somebody sleeps, or `jump` is called."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s

    def now(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        self._now_s += seconds

    def jump(self, seconds: float) -> None:
        """Set the clock by that much, forward or back, as an operator or a time server does."""
        self._now_s += seconds


class InlinePool:
    """The `Pool` port without workers: a job is done when it is handed in, and its errors are raised there.

    `instead` replaces functions by cheaper ones with the same arguments. Nothing ends a job at its deadline.
    """

    def __init__(self, instead: Mapping[Callable[..., Any], Callable[..., Any]] | None = None) -> None:
        self._instead = dict(instead or {})

    def submit(self, function: Callable[..., T], /, *args: Any, deadline_s: float | None = None) -> Future[T]:
        instead: Callable[..., T] = self._instead.get(function, function)
        future: Future[T] = Future()
        future.set_result(instead(*args))
        return future

    def close(self) -> None:
        """Nothing to end."""


class FakeChain:
    """The `Chain` port in memory, and the ledger's own side: blocks, registration, finality.

    Hashes follow from `seed`. The `unfinal` latest blocks are not final: `reorganise` gives them other hashes.
    `landed` holds every write of weights that took effect, as (validator, block, weights by hotkey).
    """

    BLOCK_S = 12.0

    def __init__(self, *, seed: int = 0, start_s: float = 0.0, unfinal: int = 3) -> None:
        self._seed = seed
        self._unfinal = unfinal
        self._times_s = array("d", [start_s])  # Eight bytes a block: a day has 7200 of them.
        self._forks: dict[int, int] = {}
        self._neurons: dict[str, Neuron] = {}
        self._commitments: list[Commitment] = []
        self.landed: list[tuple[str, int, dict[str, float]]] = []

    def advance(self, blocks: int = 1, *, delay_s: float = 0.0) -> BlockRef:
        """Append blocks; the first of them comes `delay_s` late."""
        for number in range(blocks):
            self._times_s.append(self._times_s[-1] + self.BLOCK_S + (delay_s if number == 0 else 0.0))
        return self.head()

    def reorganise(self) -> None:
        """Replace the blocks that are not final by others."""
        for number in range(self.finalized().number + 1, len(self._times_s)):
            self._forks[number] = self._forks.get(number, 0) + 1

    def timestamp_s(self, number: int) -> float:
        return self._times_s[number]

    def head(self) -> BlockRef:
        return self._block(len(self._times_s) - 1)

    def finalized(self) -> BlockRef:
        return self._block(max(0, len(self._times_s) - 1 - self._unfinal))

    def block_hash(self, number: int) -> str:
        if not 0 <= number < len(self._times_s):
            raise ChainUnavailable(f"There is no block {number} yet", "Wait for it.")
        return self._block(number).hash

    def _block(self, number: int) -> BlockRef:
        text = f"{self._seed}:{number}:{self._forks.get(number, 0)}"
        return BlockRef(number, "0x" + hashlib.sha256(text.encode()).hexdigest())

    def register(self, hotkey: str, *, permit: bool = False) -> int:
        """The uid of a hotkey; a new one takes the lowest that is free."""
        if hotkey not in self._neurons:
            taken = {neuron.uid for neuron in self._neurons.values()}
            uid = next(uid for uid in range(len(taken) + 1) if uid not in taken)
            self._neurons[hotkey] = Neuron(uid, hotkey, self.head().number, permit=permit)
        return self._neurons[hotkey].uid

    def deregister(self, hotkey: str) -> None:
        del self._neurons[hotkey]

    def neurons(self) -> tuple[Neuron, ...]:
        return tuple(sorted(self._neurons.values(), key=lambda neuron: neuron.uid))

    def commitments(self) -> tuple[Commitment, ...]:
        return self.snapshot().commitments

    def snapshot(self, number: int | None = None) -> Snapshot:
        block = self.head() if number is None else self._block(number)
        latest = {c.hotkey: c for c in self._commitments if c.block <= block.number}
        return Snapshot(
            block,
            tuple(neuron for neuron in self.neurons() if neuron.registered_at <= block.number),
            tuple(sorted(latest.values(), key=lambda c: (c.block, c.hotkey))),
        )

    def publish(self, hotkey: str, digest: str) -> TxResult:
        block = self.advance().number
        self._commitments.append(Commitment(hotkey, digest, block))
        return TxResult(True, block=block)

    def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
        if hotkey not in self._neurons or not self._neurons[hotkey].permit:
            return TxResult(False, "no_permit", f"{hotkey} may not set weights")
        block = self.advance().number
        self._neurons[hotkey] = replace(self._neurons[hotkey], weights_set_at=block)
        self.landed.append((hotkey, block, dict(by_hotkey)))
        return TxResult(True, block=block)

    def close(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True)
class Behaviour:
    """What a fake model does. `quality` is from 0, which returns the input, to 1.

    `load_fault` is raised instead of loading, `batch_fault` instead of answering any batch; `clip_failure` is the
    answer to every third clip. `engine_fault` is what the sandbox comes to with it.
    """

    quality: float = 0.5
    load_fault: ModelFault | None = None
    batch_fault: ModelFault | None = None
    clip_failure: Failure | None = None
    engine_fault: InfrastructureFault | None = None


@dataclass(frozen=True)
class FakeRepository:
    """What the fake hub holds at a commit: hashes, how the model behaves, and what the hub says in its place."""

    content_hash: str
    checkpoint_hashes: tuple[str, ...] = ()
    behaviour: Behaviour = field(default_factory=Behaviour)
    hub_fault: HubUnavailable | None = None


class FakeHub:
    """The `ModelHub` port over a mapping that the test fills. `folder` stands for every fetched model's files.

    `cache` holds what was fetched, by content hash.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.repositories: dict[ModelRef, FakeRepository] = {}
        self.cache: dict[str, FakeRepository] = {}

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        found = self.repositories.get(hub_model(submission.source))
        if found is None:
            raise EntryRefused("not_found", f"The hub has no {submission.source}")
        if found.hub_fault is not None:
            raise found.hub_fault
        self.cache[found.content_hash] = found
        return FetchedModel(submission, self._folder, found.content_hash, found.checkpoint_hashes)

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        found = self.cache.get(content_hash)
        if found is None:
            return None
        return FetchedModel(submission, self._folder, content_hash, found.checkpoint_hashes)

    def forget(self, keep: Collection[str]) -> int:
        gone = self.cache.keys() - set(keep)
        for content_hash in gone:
            del self.cache[content_hash]
        return len(gone)

    def behaviour(self, model: FetchedModel) -> Behaviour:
        return self.cache[model.content_hash].behaviour


class FakeSandbox:
    """The `Sandbox` port without processes, over models that behave as they are said to.

    An answer's first sample is the model's quality, its second a small number that belongs to the model and the
    clip: scores that depend on them show a mixed-up answer.

    `enhanced` counts how often each (model, clip) was asked for.
    """

    name = "fake"
    isolated = False

    def __init__(self, behaviour: Callable[[FetchedModel], Behaviour]) -> None:
        self._behaviour = behaviour
        self._lock = threading.Lock()
        self.enhanced: dict[tuple[str, str], int] = {}

    def prepare(self, model: FetchedModel) -> None:
        """Nothing is built."""

    @contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[FakeRunningModel]:
        behaviour = self._behaviour(model)
        if behaviour.engine_fault is not None:
            raise behaviour.engine_fault
        if behaviour.load_fault is not None:
            raise behaviour.load_fault
        yield FakeRunningModel(self, model, behaviour)

    def stop(self) -> None:
        """No process to end."""

    def count(self, content_hash: str, clip_id: str) -> None:
        with self._lock:
            key = (content_hash, clip_id)
            self.enhanced[key] = self.enhanced.get(key, 0) + 1


class FakeRunningModel:
    """The `RunningModel` port: answers as its behaviour says."""

    def __init__(self, sandbox: FakeSandbox, model: FetchedModel, behaviour: Behaviour) -> None:
        self._sandbox = sandbox
        self._model = model
        self._behaviour = behaviour
        self._timing = Timing(load_s=1.0)

    @property
    def timing(self) -> Timing:
        return self._timing

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        if self._behaviour.batch_fault is not None:
            raise self._behaviour.batch_fault
        return tuple(self._answer(clip) for clip in batch)

    def _answer(self, clip: DegradedClip) -> Answer:
        self._sandbox.count(self._model.content_hash, clip.clip_id)
        chance = unit_interval(self._model.content_hash, clip.clip_id)
        if self._behaviour.clip_failure is not None and unit_interval("fails", clip.clip_id) < 1 / 3:
            return Answer(clip.clip_id, failure=self._behaviour.clip_failure, elapsed_s=0.0)
        samples = clip.audio.samples.copy()
        samples[:2] = on_pcm16_grid(np.array([self._behaviour.quality, chance]) * 0.9)
        return Answer(clip.clip_id, Audio(samples, clip.audio.sample_rate_hz), elapsed_s=0.0)
