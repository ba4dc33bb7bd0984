"""Compiles inner loops so that every machine computes the same bits.

There is no fast-math: sums run in the written order, and a fast sum has its several accumulators in the source.
Machine code is cached beside the module, or in the user's cache if the package is read-only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from soundsright.core.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function as machine code, with IEEE 754 division. It releases the interpreter's lock.

    Raises:
        UsageError: numba is not installed.
    """
    try:
        import numba
    except ImportError as error:
        raise UsageError(
            "The metrics need numba, which is not installed", "Run `pip install soundsright`."
        ) from error
    try:
        return cast(Callable[P, R], numba.njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:
        # numba found no folder that it can write to, so compile in memory, once per process.
        return cast(Callable[P, R], numba.njit(nogil=True, error_model="numpy")(function))
