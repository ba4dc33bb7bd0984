"""The errors of a round, beside those of `soundsright.core.errors`."""

from __future__ import annotations

from soundsright.core.errors import InfrastructureFault, ModelFault, SoundsRightError


class Cancelled(SoundsRightError):
    """The round was stopped. Everything that it recorded stays."""


class EntryStuck(InfrastructureFault):
    """The hub or the sandbox fails for one entry. Only another entry can show whether it fails for all."""

    @classmethod
    def of(cls, fault: InfrastructureFault) -> EntryStuck:
        return cls(fault.problem, fault.remedy)


class ProgramFault(InfrastructureFault):
    """An unexpected error of the program itself. Its cause is chained, and the log has the traceback."""


class Unscorable(ModelFault):
    """Input that makes a worker's job hang, crash, run out of memory or raise an unexpected error."""

    code = "unscorable"
