"""Every error of this package.

    SoundsRightError
    ├── UsageError               bad input: names the value and the remedy; exit code 2
    │   ├── AudioFileError           a file that cannot be used as audio
    │   ├── BundleRefused            a bundle that is not what its document says; exit code 3
    │   ├── LogRefused               a log that contradicts itself or its signed heads; exit code 3
    │   ├── OtherColdkey             a hotkey that belongs to another coldkey
    │   └── UnpublishableFolder      a model's folder that cannot be published
    ├── ModelFault               the model is to blame: becomes a clip's failure, scored at the floor
    │   ├── ModelCrashed
    │   │   └── ImageNotPulled           an image that its registry does not provide, or that cannot be used
    │   ├── ModelTimeout
    │   ├── ProtocolViolation        an answer that breaks the protocol
    │   └── AudioRejected            an enhanced clip with the wrong rate, shape, length or content
    ├── EntryRefused             the entry breaks a rule: code, sentence, evidence
    ├── RequestRefused           a stranger's request is refused: code, sentence, HTTP status
    ├── RecordConflict           a name under which other facts are recorded
    ├── BalanceTooLow            an account that cannot pay
    ├── BucketRefusal            a bucket's answer to what it cannot do; it is certain
    │   ├── BucketMissing            there is no such object
    │   ├── BucketExists             there is such an object already
    │   └── BucketTooLarge           more bytes or keys than the caller reads
    └── InfrastructureFault      something around the harness failed: retried, never charged to a miner
        ├── EngineUnavailable
        │   └── RegistryUnavailable      the default registry, or one that the operator trusts
        ├── HubUnavailable
        ├── ChainUnavailable
        │   └── HistoryGone              old blocks that the chain no longer has
        ├── PeerUnavailable          another service, such as a miner's
        ├── StateUnavailable
        ├── BucketUnavailable        nothing is known about the object or the list that was asked for
        ├── BucketForbidden          the bucket refuses these keys
        ├── BucketUnsuitable         the bucket cannot do what it is needed for
        └── WorkerDied               a job ended its worker process, even when it ran alone
            └── JobTimeout               a job was not done by its deadline

A caller decides by the class: `UsageError` ends a command, `ModelFault` becomes a result, `EntryRefused` becomes a
line under the leaderboard, `InfrastructureFault` leads to a retry. `fault_class` says of every error who is to
blame and what follows.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from enum import StrEnum


def printable(text: str) -> str:
    r"""The text with an escape in place of each character that a terminal would not print, but obey.

    >>> print(printable("caf\u00e9 \x1b[2J\u202e"))
    café \x1b[2J\u202e
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class SoundsRightError(Exception):
    """The base of all these errors. Each error can be pickled, because workers raise them too."""

    def __reduce__(self) -> tuple[Callable[..., SoundsRightError], tuple[object, ...]]:
        return _restored, (type(self), self.args, dict(self.__dict__))


def _restored(kind: type[SoundsRightError], args: tuple[object, ...], facts: dict[str, object]) -> SoundsRightError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


class UsageError(SoundsRightError):
    """Bad input. `problem` names the wrong value, `remedy` says what to do, `exit_code` is that of the command."""

    exit_code = 2

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem.rstrip('.')}. {remedy}")
        self.problem = problem
        self.remedy = remedy


class AudioFileError(UsageError):
    """A file that cannot be used as audio. `path` names it."""

    def __init__(self, path: object, problem: str, remedy: str = "Replace or remove the file.") -> None:
        super().__init__(f"{path}: {problem}", remedy)
        self.path = str(path)


class SilentRecording(AudioFileError):
    """A recording without sound where it was read. Its file is intact."""


class BundleRefused(UsageError):
    """A bundle, or a part of one, that is forged, damaged, or not the one that was expected."""

    exit_code = 3

    def __init__(
        self, problem: str, remedy: str = "Do not rely on it. Get the bundle again from its signer."
    ) -> None:
        # A part of the text comes from a stranger. It must not be able to control a terminal.
        super().__init__(printable(problem), remedy)


class LogRefused(UsageError):
    """A transparency log that contradicts itself, its signed heads or another copy, or gives no log's answers.

    `evidence` are signed heads, in their envelopes, that contradict each other.
    """

    exit_code = 3

    def __init__(
        self,
        problem: str,
        remedy: str = "Do not rely on it, and ask whoever keeps it.",
        *,
        evidence: tuple[str, ...] = (),
    ) -> None:
        # A part of the text comes from a stranger. It must not be able to control a terminal.
        super().__init__(printable(problem), remedy)
        self.evidence = evidence


class OtherColdkey(UsageError):
    """The hotkey belongs to another coldkey."""


OVER_MEMORY = "killed: it used more than"
"""The words of a fault of memory, by which a recorded fault is recognised."""


class ModelFault(SoundsRightError):
    """The model is to blame. `code` never changes; the message is for people; `log` is its last output."""

    code = "model_fault"
    log = ""


class ModelCrashed(ModelFault):
    """The model's process ended. `exit_status` is None if it is unknown."""

    code = "crashed"

    def __init__(self, detail: str, exit_status: int | None = None) -> None:
        super().__init__(detail if exit_status is None else f"{detail} (exit status {exit_status})")
        self.exit_status = exit_status

    @classmethod
    def over_memory(cls, limit_bytes: int) -> ModelCrashed:
        """The fault of a model that was killed at its memory limit."""
        return cls(f"{OVER_MEMORY} {limit_bytes / 1e9:g} GB of memory")


class ImageNotPulled(ModelCrashed):
    """A submission's image that cannot be pulled or used. `passing` says whether another try can help."""

    passing = False

    def __init__(self, detail: str, *, passing: bool = False) -> None:
        super().__init__(detail)
        self.passing = passing


class ModelTimeout(ModelFault):
    """A step of the protocol took longer than its limit."""

    code = "timeout"

    def __init__(self, step: str, limit_s: float) -> None:
        super().__init__(f"{step} took longer than {limit_s:g} s")
        self.step = step
        self.limit_s = limit_s


class ProtocolViolation(ModelFault):
    """An answer that breaks the protocol: its status, JSON, size or archive. `status` is a wrong HTTP status."""

    code = "protocol"
    status: int | None = None


class AudioRejected(ModelFault):
    """An enhanced clip that cannot be scored. `code` is missing, rate, shape, length, not_finite or format."""

    def __init__(self, clip_id: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.clip_id = clip_id
        self.code = code


class EntryRefused(SoundsRightError):
    """An entry that breaks a rule: a `code` that never changes, a sentence, and the evidence."""

    def __init__(self, code: str, sentence: str, evidence: Mapping[str, str] | None = None) -> None:
        # A part of the text comes from a stranger. It must not be able to control a terminal.
        self.sentence = printable(sentence)
        super().__init__(self.sentence)
        self.code = code
        self.evidence = {name: printable(value) for name, value in (evidence or {}).items()}


class UnpublishableFolder(UsageError):
    """A model's folder that cannot be published. `refusal` is the refusal of an entry with these files."""

    def __init__(self, refusal: EntryRefused, remedy: str = "Correct or remove the file.") -> None:
        super().__init__(refusal.sentence, remedy)
        self.refusal = refusal


class RequestRefused(SoundsRightError):
    """A refused request. A stranger reads `sentence`, so no secret is in it; `Retry-After` is `retry_after_s`."""

    def __init__(self, code: str, sentence: str, *, status: int = 403, retry_after_s: int | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.status = status
        self.retry_after_s = retry_after_s


class RecordConflict(SoundsRightError):
    """A name under which other facts are recorded. They stay. `name` is what was to be written."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name
        self.problem = problem


class BalanceTooLow(SoundsRightError):
    """An account that cannot pay an amount. Nothing was charged. Amounts are in RAO."""

    def __init__(self, coldkey: str, balance_rao: int, amount_rao: int) -> None:
        super().__init__(f"{coldkey} has {balance_rao} RAO, less than {amount_rao}")
        self.coldkey = coldkey
        self.balance_rao = balance_rao
        self.amount_rao = amount_rao


class InfrastructureFault(SoundsRightError):
    """Something around the harness failed. `remedy` is for the operator."""

    def __init__(self, problem: str, remedy: str = "Try again.") -> None:
        super().__init__(f"{problem.rstrip('.')}. {remedy}")
        self.problem = problem
        self.remedy = remedy


class EngineUnavailable(InfrastructureFault):
    """The container engine or the sandbox program cannot be used."""


class RegistryUnavailable(EngineUnavailable):
    """The engine's default registry, or one that the operator trusts, does not provide an image."""


class HubUnavailable(InfrastructureFault):
    """The model hub does not answer."""


class ChainUnavailable(InfrastructureFault):
    """The chain does not answer."""


class HistoryGone(ChainUnavailable):
    """The chain no longer has a block or a transfer that was asked for, so trying again does not help."""


class PeerUnavailable(InfrastructureFault):
    """Another service does not answer, or its answer cannot be read. `code` never changes."""

    def __init__(self, problem: str, remedy: str = "Try again.", *, code: str = "unavailable") -> None:
        super().__init__(printable(problem), remedy)
        self.code = code


class StateUnavailable(InfrastructureFault):
    """The database does not answer, is locked, or its disk is full."""


class BucketRefusal(SoundsRightError):
    """The bucket answered clearly that the request is impossible. `code` never changes."""

    code = "bucket_refusal"


class BucketMissing(BucketRefusal):
    """The bucket has no object of that key. An answer that leaves any doubt is `BucketUnavailable`."""

    code = "bucket_missing"


class BucketExists(BucketRefusal):
    """The bucket has an object of that key, so a put that must create it changes nothing."""

    code = "bucket_exists"


class BucketTooLarge(BucketRefusal):
    """The object has more bytes, or the list more keys, than the caller reads."""

    code = "bucket_too_large"


class BucketUnavailable(InfrastructureFault):
    """A bucket does not answer, or its answer cannot be relied on: nothing is known about what was asked for.

    `own` says whether the bucket is the operator's own. `status` is the answer's HTTP status, or None without one.
    """

    code = "bucket_unavailable"

    def __init__(
        self, problem: str, remedy: str = "Try again.", *, own: bool = False, status: int | None = None
    ) -> None:
        super().__init__(problem, remedy)
        self.own = own
        self.status = status


class BucketForbidden(InfrastructureFault):
    """A bucket refuses these keys. `own` says whether the bucket is the operator's own."""

    code = "bucket_forbidden"

    def __init__(self, problem: str, remedy: str = "Check the keys.", *, own: bool = False) -> None:
        super().__init__(problem, remedy)
        self.own = own


class BucketUnsuitable(InfrastructureFault):
    """A bucket cannot do what it is needed for, such as a put that only creates."""

    code = "bucket_unsuitable"


class WorkerDied(InfrastructureFault):
    """A worker process ended during a job, and ended again when the job ran alone."""


class JobTimeout(WorkerDied):
    """A job was not done by its deadline, in seconds of processor time, so its worker was ended."""

    def __init__(self, job: str, deadline_s: float) -> None:
        super().__init__(f"{job} was not done after {deadline_s:g} s")
        self.deadline_s = deadline_s


class FaultClass(StrEnum):
    """The blame for an error, and what follows. The classes are the same for every subsystem."""

    BUSY = "busy"
    """The other side has too much to do. Try later; it costs no try."""
    TRANSIENT = "transient"
    """The other side is away. Try again with growing pauses."""
    PERMANENT = "permanent"
    """The other side's answer, which another try does not change. It is a result."""
    LOCAL = "local"
    """This machine or its operator. The subsystem stops, and nobody is charged."""


_TRANSIENT = (ChainUnavailable, HubUnavailable, RegistryUnavailable, PeerUnavailable, BucketUnavailable)
_PASSING_STATUSES = (408, 409, 425)
"""Answers that a later request can change: it came too slowly, not in the present state, or too early."""
_PERMANENT = (EntryRefused, ModelFault, BucketRefusal, BucketForbidden, RecordConflict, BalanceTooLow)


def fault_class(error: BaseException) -> FaultClass:
    """The class of an error. One that this function does not know is LOCAL, so that nobody is charged for it.

    >>> fault_class(PeerUnavailable("It is down")).value, fault_class(OSError("disk")).value
    ('transient', 'local')
    """
    if isinstance(error, queue.Full):
        return FaultClass.BUSY
    if isinstance(error, BucketUnavailable | BucketForbidden) and error.own:
        return FaultClass.LOCAL
    if isinstance(error, BucketUnavailable) and error.status == 429:
        return FaultClass.BUSY
    if isinstance(error, RequestRefused):
        return fault_class_of_status(error.status)
    if isinstance(error, _TRANSIENT) or (isinstance(error, ImageNotPulled) and error.passing):
        return FaultClass.TRANSIENT
    return FaultClass.PERMANENT if isinstance(error, _PERMANENT) else FaultClass.LOCAL


def fault_class_of_status(status: int) -> FaultClass:
    """The class of an answer with an HTTP status that is no success.

    >>> [fault_class_of_status(status).value for status in (404, 429, 503)]
    ['permanent', 'busy', 'transient']
    """
    if status == 429:
        return FaultClass.BUSY
    return FaultClass.TRANSIENT if status >= 500 or status in _PASSING_STATUSES else FaultClass.PERMANENT
