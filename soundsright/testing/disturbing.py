"""Disturbs a program at chosen calls of its ports, in a process of its own that may die.

A driver lists the calls of an undisturbed run, disturbs each of them in turn, and lets a second process go on from
what the first one left.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsright.core.errors import InfrastructureFault

BOTH = ("before", "after")

Disturb = Callable[[str, str], None]
"""Receives every call as (moment, method). The moment is `before` or `after` the effect of the call."""


class Watched:
    """A port that reports each call of `names` before and after its effect.

    `label` gives the name under which a call is reported, from the method and its arguments.
    """

    def __init__(
        self,
        port: object,
        names: tuple[str, ...],
        tell: Disturb,
        label: Callable[[str, tuple[Any, ...]], str] = lambda name, _arguments: name,
    ) -> None:
        self._port, self._names, self._tell, self._label = port, names, tell, label

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if name not in self._names:
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            label = self._label(name, args)
            self._tell("before", label)
            result = attribute(*args, **kwargs)
            self._tell("after", label)
            return result

        return call


@dataclass(frozen=True)
class Disturbance:
    """An event at the n-th call of `methods`, and at the calls after it: at `calls` calls in all."""

    name: str
    methods: tuple[str, ...]
    moments: tuple[str, ...]
    act: Callable[[Path], Any]
    calls: int = 1

    def at(self, number: int, folder: Path) -> Disturb:
        count = 0

        def tell(moment: str, method: str) -> None:
            nonlocal count
            if moment in self.moments and method in self.methods:
                count += 1
                if number <= count < number + self.calls:
                    self.act(folder)

        return tell

    def points(self, calls: Sequence[tuple[str, str]], every: int, offset: int) -> list[int]:
        """The calls of an undisturbed run that are disturbed: every N-th, and at least one."""
        count = sum(moment in self.moments and method in self.methods for moment, method in calls)
        return list(range(1 + offset % min(every, count), count + 1, every))


def killed(_folder: Path) -> None:
    """End this process at once, as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def raising(error: type[InfrastructureFault]) -> Callable[[Path], None]:
    """An event that raises this error out of the call."""

    def act(_folder: Path) -> None:
        raise error("planted")

    return act


def forked(work: Callable[[], None]) -> int:
    """Do the work in a new process. Returns its exit status: 0, 3 after an `InfrastructureFault`, 4 after another
    error, or the negative number of the signal that ended it.
    """
    pid = os.fork()
    if pid == 0:
        code = 4
        try:
            work()
            code = 0
        except InfrastructureFault:
            code = 3
        finally:
            # After any error, the child must not continue with the driver's code.
            if code == 4:
                traceback.print_exc()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
