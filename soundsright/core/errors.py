"""Every error that this package raises on purpose.

    SoundsRightError
    ├── UsageError               bad input: names the value and the remedy; exit code 2
    │   ├── AudioFileError           a file that cannot be used as audio
    │   └── UnpublishableFolder      a model's folder that no hub would give as it is
    ├── ModelFault               the model is to blame: becomes a clip's failure, scored at the floor
    │   ├── ModelCrashed
    │   ├── ModelTimeout
    │   ├── ProtocolViolation        an answer that the protocol does not allow
    │   └── AudioRejected            an enhanced clip of the wrong rate, shape, length or content
    ├── EntryRefused             the entry breaks a rule: code, sentence, evidence
    ├── RequestRefused           a stranger's request that is not answered: code, sentence, HTTP status
    └── InfrastructureFault      the harness's own surroundings: retried, never charged to a miner
        ├── EngineUnavailable
        ├── HubUnavailable
        ├── ChainUnavailable
        ├── PeerUnavailable          another service, such as a miner's
        ├── StateUnavailable
        └── WorkerDied               a job that ends its own process, even alone
            └── JobTimeout               a job that is not done by its deadline

A caller decides by the branch: `UsageError` ends a command, `ModelFault` becomes a result, `EntryRefused` a line
under the leaderboard, `InfrastructureFault` a retry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping


def printable(text: str) -> str:
    """The text with `?` for each character that is none to print, such as a terminal's escape.

    >>> printable("a\x1b[2Jb")
    'a?[2Jb'
    """
    return "".join(c if c.isprintable() else "?" for c in text)


class SoundsRightError(Exception):
    """Root of the tree. Each can be pickled, whatever its constructor takes: workers raise them too."""

    def __reduce__(self) -> tuple[Callable[..., SoundsRightError], tuple[object, ...]]:
        return _made_again, (type(self), self.args, dict(self.__dict__))


def _made_again(
    kind: type[SoundsRightError], args: tuple[object, ...], facts: dict[str, object]
) -> SoundsRightError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


class UsageError(SoundsRightError):
    """Bad input. `problem` names the value, `remedy` says what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem.rstrip('.')}. {remedy}")
        self.problem = problem
        self.remedy = remedy


class AudioFileError(UsageError):
    """A file that should hold audio and cannot be used. `path` names it."""

    def __init__(self, path: object, problem: str, remedy: str = "Replace or remove the file.") -> None:
        super().__init__(f"{path}: {problem}", remedy)
        self.path = str(path)


class ModelFault(SoundsRightError):
    """The model is to blame. `code` is stable, the message is for people, `log` the end of what the model wrote."""

    code = "model_fault"
    log = ""


class ModelCrashed(ModelFault):
    """The model's process ended, with its exit status where that is known."""

    code = "crashed"

    def __init__(self, detail: str, exit_status: int | None = None) -> None:
        super().__init__(detail if exit_status is None else f"{detail} (exit status {exit_status})")
        self.exit_status = exit_status


class ModelTimeout(ModelFault):
    """A step of the protocol took longer than allowed."""

    code = "timeout"

    def __init__(self, step: str, limit_s: float) -> None:
        super().__init__(f"{step} took longer than {limit_s:g} s")
        self.step = step
        self.limit_s = limit_s


class ProtocolViolation(ModelFault):
    """An answer of the wrong form: status, JSON, size, archive. `status` is HTTP's, where that was wrong."""

    code = "protocol"
    status: int | None = None


class AudioRejected(ModelFault):
    """An enhanced clip that cannot be scored. `code` is one of missing, rate, shape, length, not_finite, format."""

    def __init__(self, clip_id: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.clip_id = clip_id
        self.code = code


class EntryRefused(SoundsRightError):
    """An entry that breaks a rule of entry: a stable `code`, one sentence, and the evidence."""

    def __init__(self, code: str, sentence: str, evidence: Mapping[str, str] | None = None) -> None:
        # The words are partly a stranger's: none of them may steer a terminal.
        self.sentence = printable(sentence)
        super().__init__(self.sentence)
        self.code = code
        self.evidence = {name: printable(value) for name, value in (evidence or {}).items()}


class UnpublishableFolder(UsageError):
    """A model's folder that cannot be published. `refusal` is what an entry with such files is refused with."""

    def __init__(self, refusal: EntryRefused, remedy: str = "Mend or remove it.") -> None:
        super().__init__(refusal.sentence, remedy)
        self.refusal = refusal


class RequestRefused(SoundsRightError):
    """A request that is not answered. The sentence tells nothing that a stranger may not know."""

    def __init__(self, code: str, sentence: str, *, status: int = 403) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.status = status


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
    """Another service does not answer, or answers what nobody can read."""


class StateUnavailable(InfrastructureFault):
    """The database does not answer, is locked, or its disk is full."""


class WorkerDied(InfrastructureFault):
    """A worker process ended in the middle of a job, and did so again when it had nothing else to do."""


class JobTimeout(WorkerDied):
    """A job used up its deadline, in seconds of processor time, and its worker was ended."""

    def __init__(self, job: str, deadline_s: float) -> None:
        super().__init__(f"{job} was not done after {deadline_s:g} s")
        self.deadline_s = deadline_s
