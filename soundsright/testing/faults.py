"""Faults to plant in a port: which calls fail follows from a seed and the calls' names, so that a run replays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from soundsright.testing.fakes import unit_interval


class Killed(BaseException):
    """Stands for SIGKILL in a simulation: nothing but the outermost driver may catch it."""


class Faults:
    """Decides which calls fail: whether the n-th try of a call does, its name and the seed decide.

    Every name succeeds on its fifth try at the latest. `struck` counts the faults by kind.
    """

    MOST_IN_A_ROW = 4

    def __init__(self, seed: object, rate: float) -> None:
        self._seed = seed
        self._rate = rate
        self._tries: dict[str, int] = {}
        self._lock = threading.Lock()
        self.struck: dict[str, int] = {}

    def strike(self, kind: str, name: str) -> bool:
        """Whether this try of the call fails in that way."""
        key = f"{kind}:{name}"
        with self._lock:
            tries = self._tries[key] = self._tries.get(key, 0) + 1
            fails = tries <= self.MOST_IN_A_ROW and unit_interval(self._seed, key, tries) < self._rate
            if fails:
                self.struck[kind] = self.struck.get(kind, 0) + 1
        return fails


class Faulty:
    """A port whose calls fail, before they have an effect or after, as the faults decide.

    `errors` gives what each method raises; methods without one never fail. After an effect, the caller cannot know
    that it happened: that is how a connection drops, and how a process dies.
    """

    def __init__(
        self, port: object, faults: Faults, errors: Mapping[str, Mapping[str, Callable[[], BaseException]]]
    ):
        self._port = port
        self._faults = faults
        self._errors = errors

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in self._errors:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            label = ":".join([name, *(arg for arg in args[:2] if isinstance(arg, str))])
            for kind, error in self._errors[name].items():
                if self._faults.strike(kind, f"before:{label}"):
                    raise error()
            result = found(*args, **kwargs)
            for kind, error in self._errors[name].items():
                if self._faults.strike(kind, f"after:{label}"):
                    raise error()
            return result

        return call
