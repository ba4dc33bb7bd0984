"""How the inner loops are compiled: in IEEE order, so that every machine gets the same bits.

No fast-math: sums run in the order that is written, and where speed asks for several accumulators the source holds
them. Machine code is kept on disk beside the module, or in the user's cache where the package is read-only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from soundsright.core.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function as machine code, with division as IEEE 754 has it, free of the interpreter's lock.

    Raises:
        UsageError: if numba is not installed.
    """
    try:
        import numba
    except ImportError as error:
        raise UsageError(
            "The measures need numba, which is not installed", "Run pip install soundsright."
        ) from error
    try:
        return cast(Callable[P, R], numba.njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:
        # numba found no folder that it may write to: compile in memory, once per process.
        return cast(Callable[P, R], numba.njit(nogil=True, error_model="numpy")(function))
