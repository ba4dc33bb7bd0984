"""What the services need from outside, as protocols. Adapters implement them; a fake of each is in `testing`.

Times are in seconds, sizes in bytes, blocks are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from soundsright.core.audio import Audio
from soundsright.core.results import ClipResult, Failure, Timing
from soundsright.core.submission import Commitment, FetchedModel, ModelRef, Submission

T = TypeVar("T")


@dataclass(frozen=True)
class BlockRef:
    number: int
    hash: str


@dataclass(frozen=True)
class Neuron:
    """A registered hotkey. `endpoint` is `host:port` where the hotkey serves one."""

    uid: int
    hotkey: str
    registered_at: int
    stake: float = 0.0
    permit: bool = False
    endpoint: str | None = None


@dataclass(frozen=True)
class TxResult:
    """Whether a write landed. `unknown`: it may have; read the state again before a retry."""

    ok: bool
    code: str = ""
    message: str = ""
    block: int | None = None
    retryable: bool = False
    unknown: bool = False


@dataclass(frozen=True)
class Snapshot:
    """Who was registered, and what was committed, as of one block."""

    block: BlockRef
    neurons: tuple[Neuron, ...]
    commitments: tuple[Commitment, ...]


class Chain(Protocol):
    """A ledger of blocks, registrations, commitments and weights.

    Raises, in every method: ChainUnavailable.
    """

    def head(self) -> BlockRef: ...
    def finalized(self) -> BlockRef: ...
    def block_hash(self, number: int) -> str: ...
    def neurons(self) -> tuple[Neuron, ...]: ...
    def commitments(self) -> tuple[Commitment, ...]: ...
    def snapshot(self, number: int | None = None) -> Snapshot:
        """The chain as of that block; None: the head. What came later is not in it."""
        ...

    def publish(self, hotkey: str, digest: str) -> TxResult: ...
    def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult: ...
    def close(self) -> None: ...


class LiveChain(Chain, Protocol):
    """A chain that time passes on, and that miners are found through."""

    def timestamp_s(self, number: int) -> float:
        """When that block was made, in seconds since the epoch."""
        ...

    def publish_endpoint(self, hotkey: str, endpoint: str) -> TxResult:
        """Say at which `host:port` the hotkey serves requests."""
        ...


class Account(Protocol):
    """A hotkey that can sign. `address` is how a chain names it."""

    @property
    def address(self) -> str: ...
    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True)
class Reply:
    """What a peer answered: status and at most as many bytes as were asked for."""

    status: int
    body: bytes


class Peers(Protocol):
    """Other services that speak signed HTTP."""

    def call(self, endpoint: str, receiver: str, path: str, body: bytes, *, timeout_s: float) -> Reply:
        """A signed POST to `host:port`, bound to the hotkey that serves there.

        Raises:
            PeerUnavailable: no answer in time.
        """
        ...


@dataclass(frozen=True)
class FetchLimits:
    """Bounds of a fetched repository, enforced while it is fetched."""

    max_bytes: int = 4_000_000_000
    max_files: int = 2_000


class ModelHub(Protocol):
    """Where models are kept."""

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        """The repository at that commit.

        Raises:
            EntryRefused: it does not exist, or breaks a limit.
            HubUnavailable: the hub does not answer.
        """
        ...


@dataclass(frozen=True)
class SandboxLimits:
    """What a model may use. Deadlines of a batch grow with its audio: `fixed + factor x seconds of audio`."""

    memory_bytes: int = 4_000_000_000
    cpus: float = 1.0
    pids: int = 256
    open_files: int = 1_024
    tmpfs_bytes: int = 512_000_000
    log_bytes: int = 1_000_000
    load_timeout_s: float = 120.0
    step_timeout_s: float = 30.0
    enhance_fixed_s: float = 30.0
    enhance_factor: float = 10.0


@dataclass(frozen=True, eq=False)
class DegradedClip:
    """What a model is given: a name that says nothing, and the degraded signal."""

    clip_id: str
    audio: Audio


@dataclass(frozen=True, eq=False)
class Answer:
    """What came back for one clip: valid audio of the right rate and length, or the named failure."""

    clip_id: str
    audio: Audio | None = None
    failure: Failure | None = None

    def __post_init__(self) -> None:
        if (self.audio is None) == (self.failure is None):
            raise ValueError(f"clip {self.clip_id}: exactly one of audio and failure must be given")


class RunningModel(Protocol):
    """A model that has loaded and waits for clips."""

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        """One answer per clip, in the order of the batch.

        Raises:
            ModelFault: the batch as a whole got no answer (crash, timeout, violation).
            InfrastructureFault: the sandbox failed, not the model.
        """
        ...

    @property
    def timing(self) -> Timing: ...


class Sandbox(Protocol):
    """Runs strangers' models. Removes only what it created."""

    @property
    def name(self) -> str: ...

    @property
    def isolated(self) -> bool:
        """Whether a hostile model is held. False means: for one's own models only."""
        ...

    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> AbstractContextManager[RunningModel]:
        """Start the model and wait until it is ready.

        Raises:
            ModelFault: it did not become ready.
            EngineUnavailable: the sandbox itself could not start it.
        """
        ...

    def stop(self) -> None:
        """End every model that this sandbox runs, from any thread; who waits for one gets a `ModelFault`."""
        ...


class SpeechSource(Protocol):
    """Clean utterances, addressed by number. The same number gives the same samples, on any machine."""

    def __len__(self) -> int: ...
    def utterance_id(self, index: int) -> str: ...
    def speaker(self, index: int) -> str: ...
    def text(self, index: int) -> str | None: ...
    def read(self, index: int, sample_rate_hz: int) -> Audio: ...


class StateStore(Protocol):
    """Everything that a validator must not lose. Each write is one transaction and may be repeated."""

    def begin_round(self, round_id: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Record the round, or return what was recorded of it before."""
        ...

    def step_done(self, round_id: str, step: str) -> Mapping[str, Any] | None:
        """What a finished step left, or None where it is still to be done."""
        ...

    def finish_step(self, round_id: str, step: str, facts: Mapping[str, Any]) -> None: ...
    def add_clip_results(self, round_id: str, entry_id: str, results: Iterable[ClipResult]) -> None: ...
    def clip_results(self, round_id: str, entry_id: str) -> tuple[ClipResult, ...]: ...
    def rounds(self) -> tuple[str, ...]: ...
    def close(self) -> None: ...


class Pool(Protocol):
    """Workers for pure functions of picklable arguments."""

    def submit(self, function: Callable[..., T], /, *args: Any) -> Future[T]:
        """The job's future. Its error is the job's own, or `WorkerDied` where the job ends its process."""
        ...

    def close(self) -> None: ...


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def sleep(self, seconds: float) -> None: ...


class Publisher(Protocol):
    """Where a miner puts a model: the writing half of a hub."""

    def publish(self, namespace: str, name: str, folder: Path) -> ModelRef: ...
