"""Faults to plant in a port. A seed and the names of the calls decide which calls fail, so runs are repeatable."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from soundsright.testing.fakes import unit_interval


class Killed(BaseException):
    """SIGKILL in a simulation. Only the outermost driver may catch it."""


class Faults:
    """Decides which calls fail, from the seed, the name of the call and the number of the try.

    Every call succeeds on its fifth try at the latest. `struck` counts the faults by kind.
    """

    MAX_IN_A_ROW = 4

    def __init__(self, seed: object, rate: float) -> None:
        self._seed = seed
        self._rate = rate
        self._tries: dict[str, int] = {}
        self._lock = threading.Lock()
        self.struck: dict[str, int] = {}

    def strike(self, kind: str, name: str) -> bool:
        """Whether this try of the call fails with this kind of fault."""
        key = f"{kind}:{name}"
        with self._lock:
            tries = self._tries[key] = self._tries.get(key, 0) + 1
            fails = tries <= self.MAX_IN_A_ROW and unit_interval(self._seed, key, tries) < self._rate
            if fails:
                self.struck[kind] = self.struck.get(kind, 0) + 1
        return fails


class Faulty:
    """A port whose calls fail, before or after their effect, as the faults decide.

    `errors` gives the error of each method by kind; other methods never fail. A failure after the effect stands for
    a dropped connection or a killed process: the caller cannot know that the call took effect.
    """

    def __init__(
        self, port: object, faults: Faults, errors: Mapping[str, Mapping[str, Callable[[], BaseException]]]
    ):
        self._port = port
        self._faults = faults
        self._errors = errors

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if name not in self._errors:
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            label = ":".join([name, *(arg for arg in args[:2] if isinstance(arg, str))])
            for kind, error in self._errors[name].items():
                if self._faults.strike(kind, f"before:{label}"):
                    raise error()
            result = attribute(*args, **kwargs)
            for kind, error in self._errors[name].items():
                if self._faults.strike(kind, f"after:{label}"):
                    raise error()
            return result

        return call
