"""Fakes of the ports in memory. They use no random numbers and read only their own clock.

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
    """A number in [0, 1), computed from the parts.

    >>> unit_interval("a", 1) == unit_interval("a", 1) != unit_interval("a", 2)
    True
    """
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


class VirtualClock:
    """The `Clock` port. Time passes only in `sleep` and `jump`."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s

    def now(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        self._now_s += seconds

    def jump(self, seconds: float) -> None:
        """Set the clock forward or back, as an operator or a time server does."""
        self._now_s += seconds


class InlinePool:
    """The `Pool` port without workers. `submit` runs the job at once and raises its errors.

    `instead` replaces functions by cheaper ones with the same arguments. Deadlines are ignored.
    """

    def __init__(self, instead: Mapping[Callable[..., Any], Callable[..., Any]] | None = None) -> None:
        self._instead = dict(instead or {})

    def submit(self, function: Callable[..., T], /, *args: Any, deadline_s: float | None = None) -> Future[T]:
        instead: Callable[..., T] = self._instead.get(function, function)
        future: Future[T] = Future()
        future.set_result(instead(*args))
        return future

    def stop(self) -> None:
        """Do nothing: there are no workers."""

    def close(self) -> None:
        """Do nothing: there are no workers."""


class FakeChain:
    """The `Chain` port in memory, with methods that make blocks and registrations.

    Hashes follow from `seed`. The latest `unfinal` blocks are not final: `reorganise` gives them other hashes.
    `landed` lists every write of weights that took effect, as (validator, block, weights by hotkey).
    """

    BLOCK_S = 12.0

    def __init__(self, *, seed: int = 0, start_s: float = 0.0, unfinal: int = 3) -> None:
        self._seed = seed
        self._unfinal = unfinal
        self._times_s = array("d", [start_s])  # Eight bytes for each of the 7200 blocks of a day.
        self._forks: dict[int, int] = {}
        self._neurons: dict[str, Neuron] = {}
        self._commitments: list[Commitment] = []
        self.landed: list[tuple[str, int, dict[str, float]]] = []

    def advance(self, blocks: int = 1, *, delay_s: float = 0.0) -> BlockRef:
        """Append blocks. The first of them comes `delay_s` late."""
        for number in range(blocks):
            self._times_s.append(self._times_s[-1] + self.BLOCK_S + (delay_s if number == 0 else 0.0))
        return self.head()

    def reorganise(self) -> None:
        """Replace the blocks that are not final."""
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
            raise ChainUnavailable(f"Block {number} does not exist yet", "Wait until the chain has made it.")
        return self._block(number).hash

    def _block(self, number: int) -> BlockRef:
        text = f"{self._seed}:{number}:{self._forks.get(number, 0)}"
        return BlockRef(number, "0x" + hashlib.sha256(text.encode()).hexdigest())

    def register(self, hotkey: str, *, permit: bool = False) -> int:
        """The uid of a hotkey. A new hotkey gets the lowest free uid."""
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
        latest: dict[str, Commitment] = {}
        first: dict[tuple[str, str], int] = {}
        for c in self._commitments:
            if c.block <= block.number:
                latest[c.hotkey] = replace(c, first_block=first.setdefault((c.hotkey, c.digest), c.block))
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
        """Do nothing: there is no connection."""


@dataclass(frozen=True)
class Behaviour:
    """The behaviour of a fake model. `quality` is between 0, which returns the input, and 1.

    `load_fault` is raised at the start, `batch_fault` for every batch. `clip_failure` is the answer to every third
    clip. `engine_fault` is raised by the sandbox instead of starting the model.
    """

    quality: float = 0.5
    load_fault: ModelFault | None = None
    batch_fault: ModelFault | None = None
    clip_failure: Failure | None = None
    engine_fault: InfrastructureFault | None = None


@dataclass(frozen=True)
class FakeRepository:
    """A repository at one commit: its hashes, its model's behaviour, and a fault that the hub raises instead."""

    content_hash: str
    checkpoint_hashes: tuple[str, ...] = ()
    behaviour: Behaviour = field(default_factory=Behaviour)
    hub_fault: HubUnavailable | None = None


class FakeHub:
    """The `ModelHub` port over a mapping that the test fills. All fetched models have their files in `folder`.

    `cache` has the fetched repositories by content hash.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.repositories: dict[ModelRef, FakeRepository] = {}
        self.cache: dict[str, FakeRepository] = {}

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        repository = self.repositories.get(hub_model(submission.source))
        if repository is None:
            raise EntryRefused("not_found", f"The hub has no {submission.source}")
        if repository.hub_fault is not None:
            raise repository.hub_fault
        self.cache[repository.content_hash] = repository
        return FetchedModel(submission, self._folder, repository.content_hash, repository.checkpoint_hashes)

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        repository = self.cache.get(content_hash)
        if repository is None:
            return None
        return FetchedModel(submission, self._folder, content_hash, repository.checkpoint_hashes)

    def forget(self, keep: Collection[str]) -> int:
        unwanted = self.cache.keys() - set(keep)
        for content_hash in unwanted:
            del self.cache[content_hash]
        return len(unwanted)

    def behaviour(self, model: FetchedModel) -> Behaviour:
        return self.cache[model.content_hash].behaviour


class FakeSandbox:
    """The `Sandbox` port without processes. Models do what their `Behaviour` says.

    The first sample of an enhanced clip is the model's quality. The second is a number computed from the model and
    the clip. If enhanced clips are mixed up, scores that depend on these samples show it.

    `enhanced` counts how often each (model, clip) was requested.
    """

    name = "fake"
    isolated = False

    def __init__(self, behaviour: Callable[[FetchedModel], Behaviour]) -> None:
        self._behaviour = behaviour
        self._lock = threading.Lock()
        self.enhanced: dict[tuple[str, str], int] = {}

    def prepare(self, model: FetchedModel) -> None:
        """Do nothing: no image is built."""

    @contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[FakeRunningModel]:
        behaviour = self._behaviour(model)
        if behaviour.engine_fault is not None:
            raise behaviour.engine_fault
        if behaviour.load_fault is not None:
            raise behaviour.load_fault
        yield FakeRunningModel(self, model, behaviour)

    def stop(self) -> None:
        """Do nothing: there are no processes."""

    def count(self, content_hash: str, clip_id: str) -> None:
        with self._lock:
            key = (content_hash, clip_id)
            self.enhanced[key] = self.enhanced.get(key, 0) + 1


class FakeRunningModel:
    """The `RunningModel` port. Its answers follow from the behaviour."""

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
