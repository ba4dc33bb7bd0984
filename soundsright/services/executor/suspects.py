"""Images of a round whose output is nearly that of an earlier submission's. `judged_copies` has what follows.

Times are in whole seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from soundsright.copies import Likeness
from soundsright.core.images import SubmittedImage
from soundsright.services.executor.copied_images import Claim


@dataclass(frozen=True)
class Suspects:
    """The images of a round that are alike. `entries` are their entry ids, in the order in which they came.

    `since_s` are the times from which their claims count. A pair has two places in `entries`: the second image is
    suspected to copy the first.

    Raises:
        ValueError: the lists do not fit each other, or the entries are not in the order of their claims.
    """

    entries: tuple[str, ...] = ()
    since_s: tuple[int, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if len(self.since_s) != len(self.entries) or len(set(self.entries)) != len(self.entries):
            raise ValueError("the suspected copies do not have one time each")
        if len(set(self.pairs)) != len(self.pairs):
            raise ValueError("a pair of suspected copies is there twice")
        for pair in self.pairs:
            if len(pair) != 2 or not 0 <= pair[0] < pair[1] < len(self.entries):
                raise ValueError(f"{str(pair)[:60]} is not a pair of an earlier and a later image")
        since = zip(self.entries, self.since_s, strict=True)
        order = [(*_claim(entry_id, since_s), entry_id) for entry_id, since_s in since]
        if order != sorted(order):
            raise ValueError("the suspected copies are not in the order in which they came")

    def originals(self, place: int) -> Sequence[int]:
        """The places of the images that the one at `place` is suspected to copy, the earliest first."""
        return self._earlier[place]

    def copies(self, place: int) -> Sequence[int]:
        """The places of the images that are suspected to copy the one at `place`, the earliest first."""
        return self._later[place]

    @cached_property
    def _earlier(self) -> Sequence[list[int]]:
        earlier: list[list[int]] = [[] for _ in self.entries]
        for first, second in sorted(self.pairs):
            earlier[second].append(first)
        return earlier

    @cached_property
    def _later(self) -> Sequence[list[int]]:
        later: list[list[int]] = [[] for _ in self.entries]
        for first, second in sorted(self.pairs):
            later[first].append(second)
        return later


NO_SUSPECTS = Suspects()


def _claim(entry_id: str, since_s: int) -> tuple[int, int]:
    """The claim of an entry: its time, and the time of its submission.

    Raises:
        ValueError: the claim counts before the image was submitted.
    """
    submitted_s = int(entry_id.rpartition("-")[2])
    if since_s < submitted_s:
        raise ValueError(f"{entry_id[:80]} was submitted after the time of its claim")
    return since_s, submitted_s


def suspects_of_facts(facts: Mapping[str, Any]) -> Suspects:
    """The suspected copies in JSON values.

    Raises:
        ValueError: as `Suspects`.
    """
    pairs = tuple((first, second) for first, second in facts["pairs"])
    return Suspects(tuple(facts["entries"]), tuple(facts["since_s"]), pairs)


def suspects_of(
    entries: Sequence[SubmittedImage], pairs: Sequence[Likeness], claim_of: Callable[[SubmittedImage], Claim]
) -> Suspects:
    """The suspected copies among the entries. Of two that are alike, the later one is suspected."""
    alike = {entry_id for pair in pairs for entry_id in (pair.first, pair.second)}
    claims = {entry: claim_of(entry) for entry in entries if entry.entry_id in alike}
    in_order = sorted(claims, key=lambda entry: (claims[entry], entry.entry_id))
    place = {entry.entry_id: number for number, entry in enumerate(in_order)}
    numbers = {tuple(sorted((place[pair.first], place[pair.second]))) for pair in pairs}
    return Suspects(
        tuple(entry.entry_id for entry in in_order),
        tuple(claims[entry].since_s for entry in in_order),
        tuple(sorted((first, second) for first, second in numbers)),
    )
