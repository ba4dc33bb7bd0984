"""What the services need from outside, as protocols. Adapters implement them; a fake of each is in `testing`.

Times are in seconds, sizes in bytes, blocks are counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from soundsright.core.errors import EntryRefused
from soundsright.core.results import ClipResult, Failure, Timing
from soundsright.core.submission import Commitment, FetchedModel, ModelRef, Submission

if TYPE_CHECKING:
    # A miner needs these ports, and no NumPy.
    from soundsright.core.audio import Audio

T = TypeVar("T")


@dataclass(frozen=True)
class BlockRef:
    number: int
    hash: str


@dataclass(frozen=True)
class Neuron:
    """A registered hotkey. `endpoint` is `host:port` where the hotkey serves one.

    `weights_set_at` is the block in which it set weights last, None where it never did or the chain does not say.
    """

    uid: int
    hotkey: str
    registered_at: int
    stake: float = 0.0
    permit: bool = False
    endpoint: str | None = None
    weights_set_at: int | None = None


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


@dataclass(frozen=True)
class SubnetRules:
    """What a chain asks of those who set weights, now. `max_weight` is the greatest share of one hotkey.

    Weights count once every `tempo_blocks`, and may be set again after `rate_limit_blocks`. With `commit_reveal`
    they are sealed when they are set, and opened by the chain.
    """

    tempo_blocks: int = 360
    rate_limit_blocks: int = 0
    min_weights: int = 0
    max_weight: float = 1.0
    commit_reveal: bool = False


class LiveChain(Chain, Protocol):
    """A chain that time passes on, and that miners are found through."""

    def rules(self) -> SubnetRules:
        """What the chain's owner has set, read anew."""
        ...

    def clock_offset_s(self, now_s: float) -> float:
        """How far the chain's clock is ahead of a machine's that shows `now_s`; 0 where it cannot be told."""
        ...

    def timestamp_s(self, number: int) -> float:
        """When that block was made, in seconds since the epoch."""
        ...

    def publish_endpoint(self, hotkey: str, endpoint: str) -> TxResult:
        """Say at which `host:port` the hotkey serves requests."""
        ...


class Timelock(Protocol):
    """Seals a text until a moment, without anybody who could open it sooner; afterwards everybody can."""

    def sealed(self, text: str, *, until_s: float) -> str:
        """The text, to be opened from the first tick of the lock at or after that time (since the epoch)."""
        ...

    def opens_s(self, sealed: str) -> float:
        """When a sealed text opens.

        Raises:
            EntryRefused: `bad_seal`, if it is none.
        """
        ...

    def opened(self, sealed: str) -> str:
        """The text, once its time has come.

        Raises:
            EntryRefused: `bad_seal`.
            PeerUnavailable: what opens it cannot be had now.
        """
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


DISK_IMAGES_AND_INSTALLERS = (
    ".apk",
    ".dmg",
    ".ipa",
    ".iso",
    ".lnk",
    ".msi",
    ".msix",
    ".ova",
    ".qcow2",
    ".scr",
    ".vdi",
    ".vhd",
    ".vhdx",
    ".vmdk",
)
"""Endings of files that no model in a container has a use for."""
_ALWAYS_ALLOWED = re.compile(r"dockerfile|(un)?licen[cs]e.*|copying.*|\.git(attributes|ignore)|\.dockerignore")


@dataclass(frozen=True)
class FetchLimits:
    """Bounds of a fetched repository, enforced while it is fetched: names before, bytes as they come.

    `refused_files` and `allowed_files` hold endings of names, such as `.iso`, and whole names, such as `Makefile`;
    upper and lower case are one. With `allowed_files` every other file is refused, but for the Dockerfile, the
    licence and what Git and Docker read beside them.
    """

    max_bytes: int = 4_000_000_000
    max_files: int = 2_000
    allowed_files: tuple[str, ...] = ()
    refused_files: tuple[str, ...] = DISK_IMAGES_AND_INSTALLERS

    def check_file(self, repository: str, path: str) -> None:
        """Whether the repository may hold a file of that path, relative to its root.

        Raises:
            EntryRefused: `file_type`.

        >>> FetchLimits().check_file("me/model", "weights/model.onnx")
        >>> FetchLimits(allowed_files=(".py", ".onnx")).check_file("me/model", "Dockerfile")
        """
        name = path.rsplit("/", 1)[-1].lower()
        refused = next((kind for kind in self.refused_files if _is_of_kind(name, kind)), None)
        if refused is not None:
            raise EntryRefused(
                "file_type",
                f"{repository} holds {path[:100]!r}; files named *{refused} are refused"
                if refused.startswith(".")
                else f"{repository} holds {path[:100]!r}; files of that name are refused",
                {"file": path[:200], "refused": refused},
            )
        if self.allowed_files and not (
            _ALWAYS_ALLOWED.fullmatch(name) or any(_is_of_kind(name, kind) for kind in self.allowed_files)
        ):
            allowed = ", ".join(self.allowed_files)
            raise EntryRefused(
                "file_type",
                f"{repository} holds {path[:100]!r}; this competition takes only {allowed}",
                {"file": path[:200], "allowed": allowed},
            )


def _is_of_kind(name: str, kind: str) -> bool:
    return name.endswith(kind.lower()) if kind.startswith(".") else name == kind.lower()


class ModelHub(Protocol):
    """Where models are kept."""

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        """The repository at that commit.

        Raises:
            EntryRefused: it does not exist, or breaks a limit.
            HubUnavailable: the hub does not answer.
            InfrastructureFault: this machine cannot keep it.
        """
        ...

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        """What was fetched before, from this machine alone; None where it is not there whole any more."""
        ...

    def forget(self, keep: Collection[str]) -> int:
        """Remove what was fetched, but for those content hashes; says how many. Not while a round runs."""
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

    def prepare(self, model: FetchedModel) -> None:
        """Do ahead what `run` begins with and what needs no processor of the model's, such as building its image.

        Once done, it costs nothing again, in `run` or here; a caller may prepare one model while another runs.

        Raises:
            ModelFault: it cannot be built, or names no command.
            InfrastructureFault: something around it failed.
        """
        ...

    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> AbstractContextManager[RunningModel]:
        """Start the model and wait until it is ready.

        Raises:
            ModelFault: it did not become ready.
            EngineUnavailable: the sandbox itself could not start it.
        """
        ...

    def stop(self) -> None:
        """End every model that is prepared, loaded or run here, from any thread: who waits gets a `ModelFault`."""
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

    def submit(self, function: Callable[..., T], /, *args: Any, deadline_s: float | None = None) -> Future[T]:
        """The job's future. The deadline is in seconds of the job's own processor time.

        Its error is the job's own; or `WorkerDied`, with `JobTimeout` below it, where the job is to blame for
        having no result; or another `InfrastructureFault`, where it is not.
        """
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
