"""The outcome of one comparison with a worked example."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One comparison of an example: its title, whether it passed, and the expected and the actual values."""

    title: str
    passed: bool
    expected: str = ""
    got: str = ""
