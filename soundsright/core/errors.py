"""Every error of this package.

    SoundsRightError
    ├── UsageError               bad input: names the value and the remedy; exit code 2
    │   ├── AudioFileError           a file that cannot be used as audio
    │   └── UnpublishableFolder      a model's folder that cannot be published
    ├── ModelFault               the model is to blame: becomes a clip's failure, scored at the floor
    │   ├── ModelCrashed
    │   ├── ModelTimeout
    │   ├── ProtocolViolation        an answer that breaks the protocol
    │   └── AudioRejected            an enhanced clip with the wrong rate, shape, length or content
    ├── EntryRefused             the entry breaks a rule: code, sentence, evidence
    ├── RequestRefused           a stranger's request is refused: code, sentence, HTTP status
    ├── RecordConflict           a name under which other facts are recorded
    ├── BalanceTooLow            an account that cannot pay
    └── InfrastructureFault      something around the harness failed: retried, never charged to a miner
        ├── EngineUnavailable
        ├── HubUnavailable
        ├── ChainUnavailable
        ├── PeerUnavailable          another service, such as a miner's
        ├── StateUnavailable
        └── WorkerDied               a job ended its worker process, even when it ran alone
            └── JobTimeout               a job was not done by its deadline

A caller decides by the class: `UsageError` ends a command, `ModelFault` becomes a result, `EntryRefused` becomes a
line under the leaderboard, `InfrastructureFault` leads to a retry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping


def printable(text: str) -> str:
    """The text with `?` in place of each character that cannot be printed, such as a terminal's escape.

    >>> printable("a\x1b[2Jb")
    'a?[2Jb'
    """
    return "".join(c if c.isprintable() else "?" for c in text)


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
    """Bad input. `problem` names the wrong value, `remedy` says what to do."""

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
    """A request that is refused. Its sentence contains no secret, because a stranger reads it."""

    def __init__(self, code: str, sentence: str, *, status: int = 403) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.status = status


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


class HubUnavailable(InfrastructureFault):
    """The model hub does not answer."""


class ChainUnavailable(InfrastructureFault):
    """The chain does not answer."""


class PeerUnavailable(InfrastructureFault):
    """Another service does not answer, or its answer cannot be read. `code` never changes."""

    def __init__(self, problem: str, remedy: str = "Try again.", *, code: str = "unavailable") -> None:
        super().__init__(printable(problem), remedy)
        self.code = code


class StateUnavailable(InfrastructureFault):
    """The database does not answer, is locked, or its disk is full."""


class WorkerDied(InfrastructureFault):
    """A worker process ended during a job, and ended again when the job ran alone."""


class JobTimeout(WorkerDied):
    """A job was not done by its deadline, in seconds of processor time, so its worker was ended."""

    def __init__(self, job: str, deadline_s: float) -> None:
        super().__init__(f"{job} was not done after {deadline_s:g} s")
        self.deadline_s = deadline_s
