"""The errors of a round, beside those of `soundsright.core.errors`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from soundsright.core.errors import InfrastructureFault, ModelFault, SoundsRightError

_log = logging.getLogger(__name__)


class Cancelled(SoundsRightError):
    """The round was stopped. Everything that it recorded stays."""


class EntryStuck(InfrastructureFault):
    """The hub or the sandbox fails for one entry. Only another entry can show whether it fails for all."""

    @classmethod
    def of(cls, fault: InfrastructureFault) -> EntryStuck:
        return cls(fault.problem, fault.remedy)


@contextmanager
def unexpected_errors_as_stuck(sentence: str, *, action: str) -> Iterator[None]:
    """Raise an unexpected error as `EntryStuck`: one entry must not stop the round for the others.

    The error's text stays in the log. Results and health show `sentence` and the error's type, because a model
    could write what it heard into the text.
    """
    try:
        yield
    except SoundsRightError:
        raise
    except Exception as error:
        _log.exception(action.replace("_", " "), extra={"action": action})
        raise EntryStuck(
            f"{sentence} ({type(error).__name__})", "Report it with the traceback in the log."
        ) from error


class ProgramFault(InfrastructureFault):
    """An unexpected error of the program itself. Its cause is chained, and the log has the traceback."""


UNSCORABLE = "unscorable"


class Unscorable(ModelFault):
    """Input that makes a worker's job hang, crash, run out of memory or raise an unexpected error."""

    code = UNSCORABLE
