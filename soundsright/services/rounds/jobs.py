"""Who is to blame where a worker's job on a stranger's material has no result."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import TypeVar

from soundsright.core.errors import ModelFault, SoundsRightError, WorkerDied

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Unworkable(ModelFault):
    """Material that no job can work on: it hangs the job, ends its process, or is more than it can hold or read."""

    code = "unscorable"


def result_on(job: Future[T]) -> T:
    """What a job on a stranger's material came to.

    The material is blamed for what a pool blames its job for, and for an error that nobody foresaw: the same
    material would raise it on every machine, and stop every round that it enters.

    Raises:
        ModelFault: the material is to blame.
        SoundsRightError: any other error of this package, such as a worker that was killed from outside.
    """
    try:
        return job.result()
    except WorkerDied as error:
        raise Unworkable(str(error)) from error
    except SoundsRightError:
        raise
    except Exception as error:
        _log.exception("a job failed", extra={"action": "job_failed"})
        raise Unworkable(f"{type(error).__name__}: {str(error)[:200]}") from error
