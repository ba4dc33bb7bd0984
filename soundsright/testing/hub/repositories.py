"""The repositories of the fake hub, and the faults that a test can plant."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class HubRepository:
    """One repository: its commits, each with its files by path."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: bool = False
    gated: bool = False


@dataclass
class HubServer:
    """The contents of the server, its planted faults, and the requests that it received.

    `failing` maps a part of a path to the statuses of its next replies. `cut_at` ends the body of a file after that
    many bytes, once. `corrupt` and `extend` change the bytes of a file. `listed_as` renames a file in the tree.
    `requests` has the method, the path and the range of each request.
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
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    authorizations: set[str] = field(default_factory=set)
    lfs: dict[str, bytes] = field(default_factory=dict)
