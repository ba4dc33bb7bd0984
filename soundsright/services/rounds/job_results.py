"""Decides whether the miner is to blame if a worker's job on its files or audio fails."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import TypeVar

from soundsright.core.errors import SoundsRightError, WorkerDied
from soundsright.services.rounds.faults import Unscorable

T = TypeVar("T")

_log = logging.getLogger(__name__)


def result_of(job: Future[T]) -> T:
    """The result of a job on a miner's files or audio.

    The miner's input is to blame if its job kills the worker or exceeds its deadline, and also for unexpected
    errors. The same input would raise them on every machine and stop every round that it enters.

    Raises:
        ModelFault: the input is to blame.
        SoundsRightError: any other error of this package, such as a worker that was killed from outside.
    """
    try:
        return job.result()
    except WorkerDied as error:
        raise Unscorable(str(error)) from error
    except SoundsRightError:
        raise
    except Exception as error:
        _log.exception("a job failed", extra={"action": "job_failed"})
        raise Unscorable(f"{type(error).__name__}: {str(error)[:200]}") from error
