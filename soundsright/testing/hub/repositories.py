"""What the fake hub stores, and the faults that a test plants in it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class HubRepository:
    """One repository: its commits, each with its files."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: bool = False
    gated: bool = False


@dataclass
class HubServer:
    """What the server holds, what it should do wrong, and what it was asked.

    `failing` maps a part of a path to the statuses of the next answers to it. `cut_at` ends a body after that many
    bytes, once; `corrupt` and `extend` change the bytes of a file; `listed_as` renames a file in the tree.
    """

    url: str = ""
    token: str = "hf_good"
    page: int = 1_000
    repositories: dict[str, HubRepository] = field(default_factory=dict)
    failing: dict[str, list[int]] = field(default_factory=dict)
    cut_at: dict[str, int] = field(default_factory=dict)
    corrupt: set[str] = field(default_factory=set)
    extend: set[str] = field(default_factory=set)
    listed_as: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    authorizations: set[str] = field(default_factory=set)
    lfs: dict[str, bytes] = field(default_factory=dict)
