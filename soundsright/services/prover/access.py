"""The checks of requests to a prover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from soundsright.services.http import Admit, Throttle


@dataclass(frozen=True)
class ProverAccess:
    """The checks of requests.

    `admit` verifies a signature. `throttle` counts the requests of an address. `check_caller` raises
    `RequestRefused` if the hotkey may not call; it may read the chain.
    """

    admit: Admit
    throttle: Throttle
    check_caller: Callable[[str], None]
